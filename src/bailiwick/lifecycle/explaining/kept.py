"""Explanations that were made, as files of this machine: another look at the same costs nothing."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from bailiwick.lifecycle.explaining.model import FORMAT, Asked, Explanation

MOST = 2_000
_decode = msgspec.json.Decoder(Explanation).decode


class KeptExplanations:
    """One file each, readable by their owner only; the oldest go when there are more than two thousand."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: bytes, asked: Asked) -> Explanation | None:
        """The explanation of a prediction under exactly these settings."""
        try:
            found = _decode(self._path(key, asked).read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return found if found.format == FORMAT else None

    def put(self, key: bytes, made: Explanation) -> None:
        """Keep it whole, or not at all: a full disk costs only the time that it was to save."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".")
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(made))
            Path(temporary).replace(self._path(key, made.asked))
            self._prune()
        except OSError:
            return

    def _path(self, key: bytes, asked: Asked) -> Path:
        told = key + b"\0" + msgspec.json.encode(asked, order="deterministic") + b"\0%d" % FORMAT
        return self._folder / f"{hashlib.sha256(told).hexdigest()}.json"

    def _prune(self) -> None:
        files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in files[: max(0, len(files) - MOST)]:
            path.unlink(missing_ok=True)
