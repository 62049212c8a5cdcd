"""Blobs: bytes addressed by their SHA-256, in a folder, S3, GCS or Azure by URL (obstore)."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import Conflict, Corrupted, InvalidInput, NotFound, Unavailable
from bailiwick.store.parts.choice import can_sign, parted_store, sign
from bailiwick.store.parts.model import PartedStore
from bailiwick.store.staging import StagedFile, make_folder, sweep, sync_folder

PART_BYTES = 8 << 20
MAX_COPIED_BYTES = 5 << 30
"""As much as S3 copies at once; what is larger is sent again."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as a listing finds it; `modified` in UTC milliseconds by the store's own clock."""

    digest: str
    size_bytes: int
    modified: int


class BlobStore:
    """Immutable bytes by digest. Writing the same bytes twice stores them once; a reader gets all of a blob or an error."""

    def __init__(self, url: str, *, incoming: Path | None = None) -> None:
        """`incoming` is where blobs for a remote store are written until their digest is known; a temporary folder by default."""
        self.url = url
        self._store = _opened(url)
        self._folder = Path(unquote(urlsplit(url).path)) if urlsplit(url).scheme == "file" else None
        if self._folder is not None:
            incoming = self._folder / "incoming"
        self._incoming = incoming or Path(tempfile.gettempdir()) / "bailiwick-incoming"

    def put(self, data: bytes) -> str:
        """Store and return the digest; durable against a killed process when it returns (temporary file, then rename)."""
        digest = sha256_hex(data)
        if not self.exists(digest):
            try:
                obstore.put(self._store, _path(digest), data)
            except (OSError, obstore.exceptions.BaseError) as error:
                raise Unavailable(
                    f"The blob store refused {len(data)} bytes: {error}.", hint="Is the disk full? Nothing was stored."
                ) from error
        return digest

    def writer(self) -> BlobWriter:
        """Write a blob of any size piece by piece, in constant memory: `with blobs.writer() as writer: …`."""
        return BlobWriter(self, StagedFile(self._incoming))

    def keep(self, staged: StagedFile) -> str:
        """Store a file that was written aside under its digest, durably, unless the same bytes are there already."""
        digest = staged.seal()
        if self._holds(digest, staged.size):
            return digest
        try:
            if self._folder is None:
                obstore.put(self._store, _path(digest), staged.path, chunk_size=PART_BYTES, max_concurrency=4)
            else:
                target = self._folder / _path(digest)
                make_folder(target.parent)
                staged.name(target)
                sync_folder(target.parent)
        except (OSError, obstore.exceptions.BaseError) as error:
            raise Unavailable(
                f"The blob store refused {staged.size} bytes: {str(error).partition(chr(10))[0]}.",
                hint="Is the disk full? Nothing was stored.",
            ) from error
        return digest

    def _holds(self, digest: str, size: int) -> bool:
        try:
            return self.size(digest) == size
        except NotFound:
            return False

    def get(self, digest: str) -> bytes:
        """The bytes, checked against their digest. Raises NotFound, Corrupted, Unavailable."""
        with _translated(digest):
            data = bytes(obstore.get(self._store, _path(digest)).bytes())
        if sha256_hex(data) != digest:
            raise Corrupted(f"Blob {digest} does not match its digest; the stored bytes were changed.")
        return data

    def stream(self, digest: str, chunk_bytes: int = PART_BYTES) -> Iterator[bytes]:
        """The bytes in chunks, in constant memory. Raises Corrupted before the last chunk if the digest does not match."""
        with self.open(digest) as reader:
            yield from reader.checked(chunk_bytes)

    def open(self, digest: str) -> BlobReader:
        """A blob to read from, also in part, that stays readable when it is deleted from a folder. Raises NotFound."""
        size = self.size(digest)
        if self._folder is None:
            return BlobReader(self._store, digest, size, -1)
        with _translated(digest):
            return BlobReader(self._store, digest, size, os.open(self._folder / _path(digest), os.O_RDONLY))

    def delete(self, digests: Iterable[str]) -> None:
        """Remove blobs; those that are gone already are no error."""
        for digest in digests:
            with suppress(NotFound), _translated(digest):
                obstore.delete(self._store, _path(digest))

    def stored(self) -> Iterator[StoredBlob]:
        """Every blob there is, in no order."""
        with _translated("listing"):
            for chunk in obstore.list(self._store, "sha256", chunk_size=1000):
                for found in chunk:
                    digest = "".join(found["path"].split("/")[-2:])
                    if _DIGEST.fullmatch(digest):
                        yield StoredBlob(digest, int(found["size"]), int(found["last_modified"].timestamp() * 1000))

    def sweep(self, *, older_than_ms: int) -> int:
        """Remove what killed writers left behind half-written. Returns how many files."""
        return sweep(self._incoming, older_than_ms=older_than_ms)

    @cached_property
    def parts(self) -> PartedStore | None:
        """The way to send bytes in parts past this process, to keys that `arriving` gives; None where there is none."""
        return parted_store(self._store)

    @staticmethod
    def arriving(name: str) -> str:
        """The key at which parts are joined until the digest is known."""
        return f"incoming/{name}"

    def arrived(self, name: str) -> int:
        """How many bytes arrived; 0 for none."""
        try:
            with _translated(name):
                return int(obstore.head(self._store, self.arriving(name))["size"])
        except NotFound:
            return 0

    def adopt(self, name: str) -> tuple[str, int]:
        """Store what arrived under its digest, in constant memory; returns digest and size. Raises NotFound for what did not."""
        key, seen, size = self.arriving(name), hashlib.sha256(), 0
        with _translated(name):
            for data in obstore.get(self._store, key).stream(min_chunk_size=PART_BYTES):
                seen.update(data)
                size += len(data)
        digest = seen.hexdigest()
        if not self._holds(digest, size):
            with _translated(name):
                if size <= MAX_COPIED_BYTES:
                    obstore.copy(self._store, key, _path(digest))
                else:
                    arrived = obstore.get(self._store, key).stream(min_chunk_size=PART_BYTES)
                    obstore.put(
                        self._store, _path(digest), map(bytes, arrived), chunk_size=PART_BYTES, max_concurrency=4
                    )
        return digest, size

    def forget(self, name: str) -> None:
        """Remove what arrived; nothing there is no error."""
        with suppress(NotFound), _translated(name):
            obstore.delete(self._store, self.arriving(name))

    @cached_property
    def signs(self) -> bool:
        """Whether `signed_url` works: on S3, GCS and Azure with credentials that can sign, and not in a folder."""
        return can_sign(self._store)

    def signed_url(self, digest: str, *, seconds: int) -> str:
        """A URL from which anyone can read the blob for a while. Raises Conflict for a folder, which has no such thing."""
        if not self.signs:
            raise Conflict(f"The blob store {self.url} is a folder, which cannot sign URLs.")
        return sign(self._store, "GET", _path(digest), seconds=seconds)

    def size(self, digest: str) -> int:
        """Size in bytes. Raises NotFound."""
        with _translated(digest):
            return int(obstore.head(self._store, _path(digest))["size"])

    def exists(self, digest: str) -> bool:
        """Whether the blob is stored."""
        try:
            self.size(digest)
        except NotFound:
            return False
        return True


class BlobReader:
    """An open blob; `size` in bytes. To be closed."""

    def __init__(self, store: ObjectStore, digest: str, size: int, file: int) -> None:
        self.digest = digest
        self.size = size
        self._store = store
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end`. A part cannot be checked against the digest of the whole."""
        with _translated(self.digest):
            if self._file < 0:
                return bytes(obstore.get_range(self._store, _path(self.digest), start=start, end=end))
            return os.pread(self._file, end - start, start)

    def chunks(self, start: int, end: int, chunk_bytes: int = PART_BYTES) -> Iterator[bytes]:
        """Bytes from `start` up to `end` in chunks, unchecked."""
        for at in range(start, end, chunk_bytes):
            yield self.read(at, min(at + chunk_bytes, end))

    def checked(self, chunk_bytes: int = PART_BYTES) -> Iterator[bytes]:
        """All bytes in chunks, the last only after all of them match the digest. Raises Corrupted."""
        seen, held = hashlib.sha256(), b""
        for data in self.chunks(0, self.size, chunk_bytes):
            if held:
                yield held
            seen.update(data)
            held = data
        if seen.hexdigest() != self.digest:
            raise Corrupted(f"Blob {self.digest} does not match its digest; the stored bytes were changed.")
        if held:
            yield held

    def close(self) -> None:
        """Let go. May be called again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class BlobWriter:
    """One blob being written. Nothing is stored before `commit`; leaving the block without it leaves nothing behind."""

    def __init__(self, blobs: BlobStore, staged: StagedFile) -> None:
        self._blobs = blobs
        self._staged = staged

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._staged.size

    def write(self, data: bytes) -> None:
        """Append. Raises Unavailable when the disk is full."""
        self._staged.write(data)

    def commit(self) -> str:
        """Store the blob durably and return its digest; the same bytes are stored once."""
        return self._blobs.keep(self._staged)

    def discard(self) -> None:
        """Drop what was not committed. May be called again."""
        self._staged.discard()


@contextmanager
def _translated(digest: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound.of("Blob", digest) from None
    except (OSError, obstore.exceptions.BaseError) as error:
        reason = str(error).partition("\n")[0]
        raise Unavailable(f"Blob {digest} cannot be read: {reason}.") from error


def _opened(url: str) -> ObjectStore:
    if urlsplit(url).scheme == "file":
        folder = Path(unquote(urlsplit(url).path))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"Blobs cannot be kept in {folder}: {error.strerror}.") from error
        return LocalStore(folder)
    try:
        return from_url(url)
    except (ValueError, obstore.exceptions.BaseError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(
            f"blobs_url {url!r} cannot be used: {reason}.", hint="Use file:///…, s3://…, gs://… or az://…"
        ) from error


def _path(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput(f"{digest!r} is not a SHA-256 digest: 64 lower-case hex digits.")
    return f"sha256/{digest[:2]}/{digest[2:]}"
