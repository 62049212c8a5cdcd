"""A version's files into a folder: out of what the platform keeps, or as somebody who has them hands them over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput, LimitExceeded
from bailiwick.lifecycle.platform import Platform
from bailiwick.pyfunc.archive import files_of, safe_path
from bailiwick.registry.contents import content_digest
from bailiwick.registry.model import ModelVersion
from bailiwick.registry.ports import StoredFile

MAX_MODEL_BYTES = 16 << 30
MAX_MODEL_FILES = 10_000


def fetch(platform: Platform, version: ModelVersion, target: Path) -> None:
    """The version's files, as far as the platform keeps them. Raises Conflict where it does not, LimitExceeded."""
    target.mkdir(mode=0o755)
    size = count = 0
    for path, pieces in platform.registry.content(version):
        count += 1
        if count > MAX_MODEL_FILES:
            raise LimitExceeded(f"A model has at most {MAX_MODEL_FILES} files here.")
        size += _written(_place(target, path), pieces, MAX_MODEL_BYTES - size)
    if not count:
        raise Conflict(
            f"The files of {version.model} version {version.number} are not kept here, so it cannot be packaged.",
            hint=f"It was registered from {version.source[:200]!r}. Download it from there and give the folder with --files, "
            "or log the model through this server.",
        )


def take(version: ModelVersion, given: Path, target: Path) -> str:
    """The files of a folder that somebody says are the version's; gives their digest.

    Raises InvalidInput for what is no folder of plain files, CheckFailed where the version is known to have others.
    """
    if not given.is_dir():
        raise InvalidInput(f"{str(given)!r} is no folder.", hint="Give the one that holds the file MLmodel.")
    files = files_of(given)
    size = sum(each.size_bytes for each in files)
    if len(files) > MAX_MODEL_FILES or size > MAX_MODEL_BYTES:
        raise LimitExceeded(f"A model has at most {MAX_MODEL_FILES} files and {MAX_MODEL_BYTES} bytes here.")
    digest = content_digest([StoredFile(each.path, each.sha256, each.size_bytes) for each in files])
    if version.digest and digest != version.digest:
        raise CheckFailed(
            f"These are not the files of {version.model} version {version.number}: their digest is {digest[:12]}…, not "
            f"{version.digest[:12]}…."
        )
    target.mkdir(mode=0o755)
    for each in files:
        place = _place(target, each.path)
        shutil.copyfile(given / each.path, place)
        place.chmod(0o644)
    if content_digest([StoredFile(each.path, each.sha256, each.size_bytes) for each in files_of(target)]) != digest:
        raise CheckFailed("The files changed while they were read.")
    return digest


def _place(target: Path, path: str) -> Path:
    place = target / safe_path(path)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    return place


def _written(place: Path, pieces: Iterator[bytes], most: int) -> int:
    size = 0
    with place.open("xb") as file:
        for piece in pieces:
            size += len(piece)
            if size > most:
                raise LimitExceeded(f"A model has at most {MAX_MODEL_BYTES} bytes here.")
            file.write(piece)
    place.chmod(0o644)
    return size
