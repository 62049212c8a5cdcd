"""A version as one file: a ZIP whose manifest names every member with its SHA-256 and size, and nothing else is in it.

    manifest.json        canonical JSON: format, model, number, digest of record, members [{path, sha256, size_bytes}]
    version.json         the version's record, canonical JSON
    files/…              package.onnx, reference_profile.json, artifacts/<path>, and what the caller adds (card, proof)

Reading refuses what a hostile file may hold: members outside `files/`, repeated, encrypted or unlisted ones, links, more
bytes than are announced, and announcements past the limits.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from bailiwick.core.canonical import canonical_json, from_canonical, sha256_hex
from bailiwick.core.errors import InvalidInput, LimitExceeded, Unavailable

FORMAT = 1
MANIFEST, RECORD, FILES = "manifest.json", "version.json", "files/"
MAX_RECORD_BYTES = 16 << 20
MAX_MEMBERS = 10_000
MAX_TOTAL_BYTES = 64 << 30
_CHUNK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # one time for all members, so that equal versions are equal files


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive; `path` is below `files/`."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Archive:
    """What an archive says it holds, checked against its own manifest except for the members' bytes."""

    model: str
    number: int
    record: Mapping[str, Any]
    members: tuple[Member, ...]
    sha256: str

    def member(self, path: str) -> Member | None:
        """The member of that path."""
        return next((each for each in self.members if each.path == path), None)


def write_archive(
    target: Path, *, model: str, number: int, record: Mapping[str, Any], files: Iterable[tuple[str, Iterable[bytes]]]
) -> Archive:
    """Write an archive, whole or not at all. `files` are paths below `files/` with their bytes in pieces."""
    aside = target.with_name(f".{target.name}.part")
    encoded = canonical_json(dict(record))
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED, allowZip64=True) as bundle:
            members = tuple(_write(bundle, path, pieces) for path, pieces in files)
            manifest = {
                "format": FORMAT,
                "model": model,
                "number": number,
                "record_sha256": sha256_hex(encoded),
                "members": [msgspec.to_builtins(each) for each in members],
            }
            bundle.writestr(_entry(RECORD), encoded)
            bundle.writestr(_entry(MANIFEST), canonical_json(manifest))
        aside.replace(target)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)
    return Archive(model, number, record, members, _digest_of(target))


def read_archive(source: Path) -> Archive:
    """Check everything about an archive but the bytes of its members. Raises InvalidInput, LimitExceeded."""
    with _opened(source) as bundle:
        manifest, record = _described(bundle)
        members = tuple(
            Member(str(each["path"]), str(each["sha256"]), int(each["size_bytes"])) for each in manifest["members"]
        )
        _check_members(bundle, members)
    return Archive(str(manifest["model"]), int(manifest["number"]), record, members, _digest_of(source))


def member_bytes(source: Path, member: Member) -> Iterator[bytes]:
    """A member's bytes in pieces. Raises InvalidInput after the last one unless they are what the manifest says."""
    seen, size = hashlib.sha256(), 0
    with _opened(source) as bundle:
        try:
            with bundle.open(FILES + member.path) as stream:
                while piece := stream.read(_CHUNK):
                    size += len(piece)
                    if size > member.size_bytes:
                        raise InvalidInput(f"{member.path!r} has more than the {member.size_bytes} bytes it announces.")
                    seen.update(piece)
                    yield piece
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise InvalidInput(f"{member.path!r} in {source} cannot be read: {error}.") from error
    if seen.hexdigest() != member.sha256 or size != member.size_bytes:
        raise InvalidInput(f"{member.path!r} is not what the manifest says: its digest or size differs.")


def _opened(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InvalidInput(f"{source} is no exported version: {error}.") from error


def _described(bundle: zipfile.ZipFile) -> tuple[dict[str, Any], dict[str, Any]]:
    manifest = _document(bundle, MANIFEST)
    encoded = _small(bundle, RECORD)
    record = _document(bundle, RECORD)
    try:
        listed = manifest["members"]
        whole = (manifest["format"], manifest["record_sha256"], manifest["model"], int(manifest["number"]))
        for each in listed:
            _check_announced(str(each["path"]), str(each["sha256"]), int(each["size_bytes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"The manifest is not whole: {error!r}.") from error
    if whole[0] != FORMAT:
        raise InvalidInput(f"The archive has format {whole[0]!r}; this version reads format {FORMAT}.")
    if sha256_hex(encoded) != whole[1]:
        raise InvalidInput("The record is not what the manifest says: its digest differs.")
    return manifest, record


def _check_announced(path: str, digest: str, size: int) -> None:
    plain = PurePosixPath(path)
    inside = path == plain.as_posix() and not plain.is_absolute() and ".." not in plain.parts and path != "."
    if not inside or "\\" in path or not path.isprintable():
        raise InvalidInput(f"The archive names a file {path[:200]!r}, which is no path inside it.")
    if len(digest) != 64 or size < 0:
        raise InvalidInput(f"The manifest gives {path[:200]!r} no digest or size.")


def _check_members(bundle: zipfile.ZipFile, members: tuple[Member, ...]) -> None:
    if len(members) > MAX_MEMBERS or sum(each.size_bytes for each in members) > MAX_TOTAL_BYTES:
        raise LimitExceeded(f"An archive has at most {MAX_MEMBERS} files and {MAX_TOTAL_BYTES} bytes.")
    expected = {MANIFEST: None, RECORD: None} | {FILES + each.path: each.size_bytes for each in members}
    found = bundle.infolist()
    if len(found) != len(expected) or {info.filename for info in found} != expected.keys():
        raise InvalidInput("The archive holds other files than its manifest lists, or one twice.")
    for info in found:
        size = expected[info.filename]
        special = stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}
        if special or info.flag_bits & 0x1 or info.is_dir():
            raise InvalidInput(f"{info.filename!r} is encrypted, or no plain file.")
        if size is not None and info.file_size != size:
            raise InvalidInput(f"{info.filename!r} has {info.file_size} bytes; the manifest says {size}.")


def _document(bundle: zipfile.ZipFile, name: str) -> dict[str, Any]:
    try:
        value = from_canonical(_small(bundle, name))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} in the archive is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} in the archive is no JSON object.")
    return value


def _small(bundle: zipfile.ZipFile, name: str) -> bytes:
    try:
        with bundle.open(name) as stream:
            data = stream.read(MAX_RECORD_BYTES + 1)
    except KeyError:
        raise InvalidInput(f"This is no exported version: it holds no {name}.") from None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InvalidInput(f"{name} in the archive cannot be read: {error}.") from error
    if len(data) > MAX_RECORD_BYTES:
        raise LimitExceeded(f"{name} in the archive is over {MAX_RECORD_BYTES} bytes.")
    return data


def _write(bundle: zipfile.ZipFile, path: str, pieces: Iterable[bytes]) -> Member:
    seen, size = hashlib.sha256(), 0
    with bundle.open(_entry(FILES + path), "w", force_zip64=True) as stream:
        for piece in pieces:
            seen.update(piece)
            size += len(piece)
            stream.write(piece)
    return Member(path, seen.hexdigest(), size)


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _digest_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
