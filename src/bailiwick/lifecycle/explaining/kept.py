"""Explanations that were made, as files of this machine: another look at the same costs nothing.

They hold the inputs of a prediction and rows of training, and thus what people may want gone from the records that those come
from. So none is kept for longer than a week, whether or not anybody asks again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

import msgspec

from bailiwick.lifecycle.explaining.model import FORMAT, Asked, Explanation

MOST = 2_000
KEPT_SECONDS = 7 * 86_400
FOLDER = "explanations"
_decode = msgspec.json.Decoder(Explanation).decode


class KeptExplanations:
    """One file each, readable by their owner only; they go after a week, and the oldest when there are more than two thousand."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: bytes, asked: Asked) -> Explanation | None:
        """The explanation of a prediction under exactly these settings."""
        path = self._path(key, asked)
        try:
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                return None
            found = _decode(path.read_bytes())
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
            self.prune()
        except OSError:
            return

    def _path(self, key: bytes, asked: Asked) -> Path:
        told = key + b"\0" + msgspec.json.encode(asked, order="deterministic") + b"\0%d" % FORMAT
        return self._folder / f"{hashlib.sha256(told).hexdigest()}.json"

    def prune(self) -> int:
        """Remove what is too old or too much, and what a killed process left half-written; how many files that were."""
        old = time.time() - KEPT_SECONDS
        found = sorted((changed, path) for path in self._folder.glob("*") if (changed := _changed(path)) is not None)
        gone = [path for place, (changed, path) in enumerate(found) if changed < old or place < len(found) - MOST]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)


def _changed(path: Path) -> float | None:
    """None for a file that another process has removed meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
