"""Blobs: bytes addressed by their SHA-256, in a folder, S3, GCS or Azure by URL (obstore)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import Corrupted, InvalidInput, NotFound, Unavailable

_DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Immutable bytes by digest. Writing the same bytes twice stores them once; a reader gets all of a blob or an error."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = _opened(url)

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

    def get(self, digest: str) -> bytes:
        """The bytes, checked against their digest. Raises NotFound, Corrupted, Unavailable."""
        with _translated(digest):
            data = bytes(obstore.get(self._store, _path(digest)).bytes())
        if sha256_hex(data) != digest:
            raise Corrupted(f"Blob {digest} does not match its digest; the stored bytes were changed.")
        return data

    def stream(self, digest: str, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """The bytes in chunks, in constant memory; raises Corrupted after the last chunk if the digest does not match."""
        with _translated(digest):
            response = obstore.get(self._store, _path(digest))
        seen = hashlib.sha256()
        for chunk in response.stream(min_chunk_size=chunk_bytes):
            data = bytes(chunk)
            seen.update(data)
            yield data
        if seen.hexdigest() != digest:
            raise Corrupted(f"Blob {digest} does not match its digest; the stored bytes were changed.")

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
