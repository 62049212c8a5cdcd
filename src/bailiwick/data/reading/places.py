"""Where the bytes of a source are: files of this machine, objects of a store, things behind https."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import io
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import obstore
import pyarrow as pa
from obstore.store import ObjectStore, from_url

from bailiwick.core.errors import InvalidInput, NotFound, Unavailable
from bailiwick.data.reading.model import FileMark

REMOTE = ("s3", "s3a", "gs", "az", "abfs", "abfss", "azure", "https", "http")
_CHUNK = 4 << 20


class Place(Protocol):
    """One file somewhere."""

    name: str
    short: str

    def state(self) -> str:
        """Changes whenever the bytes do."""

    def written(self) -> int:
        """When it was last written, in UTC milliseconds."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes from the beginning."""

    def opened(self) -> Any:
        """The bytes in any order, as a file that Arrow reads from."""

    def mark(self) -> FileMark:
        """Name, size and digest, for the record."""


class LocalFile:
    """A file of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.name = str(path)
        self.short = path.name

    def state(self) -> str:
        """Inode, size and time of change."""
        found = self.path.stat()
        return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"

    def written(self) -> int:
        """The file's time of change."""
        return self.path.stat().st_mtime_ns // 1_000_000

    def chunks(self) -> Iterator[bytes]:
        """In pieces of 4 MiB."""
        with self.path.open("rb") as file:
            while data := file.read(_CHUNK):
                yield data

    def opened(self) -> Any:
        """Read, not mapped: a mapped file that shrinks kills the process."""
        return pa.OSFile(str(self.path), "rb")

    def mark(self) -> FileMark:
        """With the SHA-256 of all bytes."""
        digest = hashlib.sha256()
        for data in self.chunks():
            digest.update(data)
        return FileMark(self.name, self.path.stat().st_size, f"sha256:{digest.hexdigest()}")


class StoredFile:
    """An object of S3, GCS or Azure, or what a URL leads to; credentials are those of the environment, as for all stores."""

    def __init__(self, store: ObjectStore, path: str, url: str) -> None:
        self._store = store
        self._path = path
        self.name = url
        self.short = path.rpartition("/")[2]

    def state(self) -> str:
        """The store's entity tag, size and time."""
        found = self._head()
        return f"{found.get('e_tag')}:{found['size']}:{found['last_modified']}"

    def written(self) -> int:
        """What the store says."""
        return int(self._head()["last_modified"].timestamp() * 1000)

    def chunks(self) -> Iterator[bytes]:
        """As they arrive."""
        for data in obstore.get(self._store, self._path).stream(min_chunk_size=_CHUNK):
            yield bytes(data)

    def opened(self) -> Any:
        """By ranges."""
        return pa.PythonFile(io.BufferedReader(_Seekable(obstore.open_reader(self._store, self._path))), "r")

    def mark(self) -> FileMark:
        """With the entity tag where there is one, which saves reading everything twice."""
        found = self._head()
        tag = str(found.get("e_tag") or "")
        if tag:
            return FileMark(self.name, int(found["size"]), f"etag:{tag}")
        digest = hashlib.sha256()
        for data in self.chunks():
            digest.update(data)
        return FileMark(self.name, int(found["size"]), f"sha256:{digest.hexdigest()}")

    def _head(self) -> Any:
        try:
            return obstore.head(self._store, self._path)
        except FileNotFoundError:
            raise InvalidInput(f"{self.name} does not exist.") from None
        except (OSError, obstore.exceptions.BaseError) as error:
            raise Unavailable(f"{self.name} cannot be reached: {str(error).partition(chr(10))[0]}.") from error


class _Seekable(io.RawIOBase):
    """obstore's reader as Python's own kind of file."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._reader.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._reader.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        data = bytes(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)


def is_remote(source: str) -> bool:
    """Whether `source` is the URL of an object store or of a web server."""
    return source.partition("://")[0].lower() in REMOTE and "://" in source


def places(source: str, base: Path) -> list[Place]:
    """The files that a path, URL or glob names, in order of name. Raises InvalidInput for none."""
    if is_remote(source):
        return _stored(source)
    if source.startswith("file://"):
        source = unquote(urlsplit(source).path)
    if "://" in source:
        kinds = "s3://, gs://, az://, https://, file://, postgresql://, sqlite:// or duckdb://"
        raise InvalidInput(f"Source {source!r} is a URL of an unknown kind; use {kinds}.")
    return [LocalFile(path) for path in _local(source, base)]


def _local(source: str, base: Path) -> list[Path]:
    named = base / source
    if named.is_file():
        return [named]
    matches = glob.glob(str(named), recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    found = sorted(path for path in map(Path, matches) if path.is_file())
    if found:
        return found
    if named.is_dir():
        raise InvalidInput(
            f"Source {source!r} is a folder.", hint=f"Name its files, e.g. {source.rstrip('/')}/*.parquet"
        )
    if glob.has_magic(source):
        raise InvalidInput(f"No file matches {named}.", hint="Check the pattern and the folder it is relative to.")
    neighbours = [path.name for path in named.parent.iterdir()] if named.parent.is_dir() else []
    near = get_close_matches(named.name, neighbours, n=1)
    raise InvalidInput(f"File {named} does not exist.", hint=f"Did you mean {near[0]!r}?" if near else "")


def _stored(url: str) -> list[Place]:
    root, path = _root(url)
    store = open_store(root)
    if not glob.has_magic(path) or root.startswith("http"):
        return [StoredFile(store, path, url)]
    parts = path.split("/")
    literal = "/".join(parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
    try:
        listed = [str(found["path"]) for chunk in obstore.list(store, literal or None) for found in chunk]
    except (OSError, obstore.exceptions.BaseError) as error:
        raise Unavailable(f"{url} cannot be listed: {str(error).partition(chr(10))[0]}.") from error
    found = sorted(name for name in listed if _matches(name, path))
    if not found:
        raise InvalidInput(f"No object matches {url}.", hint="Check the pattern and the bucket.")
    return [StoredFile(store, name, f"{root}/{name}") for name in found]


def open_store(root: str) -> ObjectStore:
    """The store of a URL. Raises InvalidInput for one that cannot be used."""
    try:
        if root.startswith("http://"):
            return from_url(root, client_options={"allow_http": True})
        return from_url(root)
    except (ValueError, NotFound, obstore.exceptions.BaseError) as error:
        raise InvalidInput(f"Source {root!r} cannot be used: {str(error).partition(chr(10))[0]}.") from error


def _root(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}", path


def _matches(name: str, pattern: str) -> bool:
    """A glob in which `*` stays within one folder and `**` does not."""
    names, patterns = name.split("/"), pattern.split("/")
    return _parts_match(names, patterns)


def _parts_match(names: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(_parts_match(names[i:], patterns[1:]) for i in range(len(names) + 1))
    return bool(names) and fnmatch.fnmatchcase(names[0], patterns[0]) and _parts_match(names[1:], patterns[1:])
