"""The package of a composition: one tar file, the same for the same parts, with the parts' packages in it byte for byte.

It holds all that it needs, so it is loaded as one and swapped as one, and answers as it did when a part is long deleted.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from bailiwick.composing.model import Composition, in_order, signature_of
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import BailiwickError, Corrupted

FORMAT = "1"
MANIFEST = "bailiwick-composition.json"
PARTS = "parts/"
MAX_MANIFEST_BYTES = 4 << 20
_MAGIC = MANIFEST.encode() + b"\0"
_CHUNK = 1 << 20


class Manifest(Struct, frozen=True):
    """What the package says of itself; `signature` is as ONNX packages write it."""

    format: str
    signature: dict[str, Any]
    composition: Composition


def is_composition(package: Path) -> bool:
    """Whether a package file is of this kind."""
    with package.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def write_archive(target: IO[bytes], composition: Composition, parts: dict[str, Path]) -> dict[str, Any]:
    """Write the package; `parts` has the file of each package by digest. Returns the signature."""
    signature = signature_of(composition)
    manifest = canonical_json(msgspec.to_builtins(Manifest(FORMAT, signature, composition)))
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(_member(MANIFEST, len(manifest)), io.BytesIO(manifest))
        for digest in sorted({step.package for step in composition.steps}):
            with parts[digest].open("rb") as file:
                archive.addfile(_member(PARTS + digest, parts[digest].stat().st_size), file)
    return signature


def read_manifest(package: Path) -> Manifest:
    """Raises Corrupted for what is no package of the known format."""
    with _opened(package) as archive:
        return _manifest(archive)


def unpack(package: Path, target: Path) -> Manifest:
    """Write each part to `target / DIGEST`, checked. Raises Corrupted."""
    with _opened(package) as archive:
        manifest = _manifest(archive)
        wanted = {PARTS + step.package for step in manifest.composition.steps}
        for member in archive:
            if member.name == MANIFEST:
                continue
            if member.name not in wanted or not member.isreg():
                raise Corrupted(f"The composition holds {member.name[:200]!r}, which its manifest does not name.")
            wanted.discard(member.name)
            _copy(archive, member, target)
        if wanted:
            raise Corrupted(f"The composition lacks {min(wanted)}.")
        return manifest


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    digest, seen = member.name.removeprefix(PARTS), hashlib.sha256()
    source = archive.extractfile(member)
    assert source is not None
    with (target / digest).open("xb") as file:
        while data := source.read(_CHUNK):
            seen.update(data)
            file.write(data)
    if seen.hexdigest() != digest:
        raise Corrupted(f"Part {digest[:12]} of the composition is not what its name says.")


def _manifest(archive: tarfile.TarFile) -> Manifest:
    first = archive.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MAX_MANIFEST_BYTES:
        raise Corrupted("The composition does not begin with its manifest.")
    source = archive.extractfile(first)
    assert source is not None
    try:
        manifest = msgspec.json.decode(source.read(), type=Manifest)
        in_order(manifest.composition)
    except (msgspec.DecodeError, BailiwickError, KeyError, StopIteration) as error:
        raise Corrupted(f"The composition's manifest cannot be read: {error}.") from error
    if manifest.format != FORMAT:
        raise Corrupted(f"The composition has format {manifest.format!r}; this version knows {FORMAT!r}.")
    return manifest


@contextmanager
def _opened(package: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(package, mode="r:") as archive:
            yield archive
    except (tarfile.TarError, EOFError, FileExistsError) as error:
        raise Corrupted(f"{package.name} is no composition, or a damaged one: {error}.") from error


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member
