"""Endpoints that a client of the inference port has unloaded on this machine; one file that its workers share."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path


class Shelf:
    """A set of names. It outlives workers, and knows nothing of what is deployed."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "unloaded.json"

    def names(self) -> frozenset[str]:
        """Empty where there is no file, or none that can be read: then everything deployed is served."""
        try:
            said = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return frozenset()
        return frozenset(name for name in said if isinstance(name, str)) if isinstance(said, list) else frozenset()

    def change(self, name: str, *, unloaded: bool) -> None:
        """Add or remove a name. May be repeated; several workers may do it at once."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = self.names() | {name} if unloaded else self.names() - {name}
            temporary = self._file.with_name(f".unloaded-{os.getpid()}")
            temporary.write_text(json.dumps(sorted(names)), encoding="utf-8")
            temporary.replace(self._file)
