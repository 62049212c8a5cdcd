"""The package of a model that stays Python: one tar file that is the same for the same files, with a manifest first.

`bailiwick.json` names the format, the signature, how the model is loaded, and path, SHA-256 and size of each file below
`model/`. A reader takes nothing that the manifest does not name, and nothing that is not a plain file.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

import msgspec
from msgspec import Struct

from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import Corrupted, InvalidInput, LimitExceeded

FORMAT, OF_DOCUMENTS = "1", "2"
"""Of packages of models that take rows; and of those that take documents, which versions before knew nothing of."""

MANIFEST = "bailiwick.json"
MODEL = "model/"
MAX_FILES = 10_000
MAX_MANIFEST_BYTES = 16 << 20
_MAGIC = MANIFEST.encode() + b"\0"
_CHUNK = 1 << 20


class File(Struct, frozen=True):
    """One file of the model, by its path below the model's folder."""

    path: str
    sha256: str
    size_bytes: int


class Manifest(Struct, frozen=True, omit_defaults=True):
    """What a package says of itself. `signature` is as `bailiwick.signature` of ONNX packages writes it.

    `flavours` and `tensors` say how the model is loaded and fed (see `worker/`); `inputs` has what the signature cannot
    say of each input. `environment` is the digest of the requirements it was logged with, `example` a document that it answers.
    """

    format: str
    signature: dict[str, Any]
    flavours: dict[str, dict[str, Any]]
    inputs: tuple[dict[str, Any], ...]
    tensors: bool
    environment: str
    python: str
    files: tuple[File, ...]
    example: str = ""

    @property
    def documents(self) -> bool:
        """Whether a request is a document."""
        return self.format == OF_DOCUMENTS


def manifest_format(signature: Mapping[str, Any]) -> str:
    """The oldest that knows all that the signature says."""
    return OF_DOCUMENTS if signature.get("documents") else FORMAT


def is_archive(package: Path) -> bool:
    """Whether a package file is of this kind; ONNX packages begin otherwise."""
    with package.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def files_of(folder: Path) -> tuple[File, ...]:
    """The files below a model's folder, by path. Raises InvalidInput for what is no plain file."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InvalidInput(f"{path.relative_to(folder)} is no plain file, so it cannot be packaged.")
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found.append(File(path.relative_to(folder).as_posix(), digest, path.stat().st_size))
    if len(found) > MAX_FILES:
        raise LimitExceeded(f"A model has at most {MAX_FILES} files; this one has {len(found)}.")
    return tuple(found)


def write_archive(target: IO[bytes], folder: Path, manifest: Manifest) -> None:
    """The package, byte for byte the same for the same manifest: no times, owners or modes of this machine."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        described = canonical_json(msgspec.to_builtins(manifest))
        archive.addfile(_member(MANIFEST, len(described)), io.BytesIO(described))
        for each in manifest.files:
            with (folder / each.path).open("rb") as file:
                try:
                    archive.addfile(_member(MODEL + each.path, each.size_bytes), file)
                except ValueError as error:
                    raise InvalidInput(f"{each.path[:200]} cannot be a path in a package: {error}.") from error


def read_manifest(package: Path) -> Manifest:
    """Raises Corrupted for what is no package of the known format."""
    with _opened(package) as archive:
        return _manifest(archive)


def unpack(package: Path, target: Path) -> Manifest:
    """Write the model's files below `target`, each checked. Raises Corrupted for anything that is not as it says."""
    try:
        with _opened(package) as archive:
            return _unpacked(archive, target)
    except (tarfile.TarError, EOFError, FileExistsError, NotADirectoryError) as error:
        raise Corrupted(f"The package {package.name} is damaged: {error}.") from error


def _unpacked(archive: tarfile.TarFile, target: Path) -> Manifest:
    manifest = _manifest(archive)
    expected = {MODEL + each.path: each for each in manifest.files}
    for member, about in _members(archive, expected):
        path = target / about.path
        path.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None
        if _copied(source, path) != about.sha256:
            raise Corrupted(f"{about.path} in the package is not what the manifest says.")
    if expected:
        raise Corrupted(f"The package lacks {next(iter(expected))}.")
    return manifest


def safe_path(text: str) -> PurePosixPath:
    """A relative path that stays below where it is put. Raises InvalidInput."""
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or "\0" in text or "\\" in text or not path.parts:
        raise InvalidInput(f"{text[:200]!r} is not a path that a model's file may have.")
    return path


def _members(archive: tarfile.TarFile, expected: dict[str, File]) -> Iterator[tuple[tarfile.TarInfo, File]]:
    for member in archive:
        if member.name == MANIFEST:
            continue
        about = expected.pop(member.name, None)
        if about is None or member.type != tarfile.REGTYPE or member.size != about.size_bytes:
            raise Corrupted(f"The package holds {member.name[:200]!r}, which its manifest does not describe so.")
        yield member, about


def _copied(source: IO[bytes], target: Path) -> str:
    seen = hashlib.sha256()
    with target.open("xb") as file:
        while data := source.read(_CHUNK):
            seen.update(data)
            file.write(data)
    target.chmod(0o644)
    return seen.hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def _opened(package: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(package, mode="r:")
    except (tarfile.TarError, EOFError) as error:
        raise Corrupted(f"{package.name} is no package: {error}.") from error


def _manifest(archive: tarfile.TarFile) -> Manifest:
    try:
        first = archive.next()
        if first is None or first.name != MANIFEST or not first.isreg() or first.size > MAX_MANIFEST_BYTES:
            raise Corrupted("The package does not begin with its manifest.")
        source = archive.extractfile(first)
        assert source is not None
        manifest = msgspec.json.decode(source.read(), type=Manifest)
    except (tarfile.TarError, msgspec.DecodeError, json.JSONDecodeError) as error:
        raise Corrupted(f"The package's manifest cannot be read: {error}.") from error
    if manifest.format not in {FORMAT, OF_DOCUMENTS}:
        raise Corrupted(
            f"The package has format {manifest.format!r}; this version knows {FORMAT!r} and {OF_DOCUMENTS!r}."
        )
    for each in manifest.files:
        safe_path(each.path)
    return manifest
