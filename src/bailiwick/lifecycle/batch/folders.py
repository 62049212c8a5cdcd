"""Where files of answers go: a folder of this machine, or a prefix of an object store. What is there, is there whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import obstore
import pyarrow as pa
from obstore.store import ObjectStore

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.data.reading.places import open_store
from bailiwick.store import faults

Fill = Callable[[pa.NativeFile], None]


class Folder(Protocol):
    """Files by name; `name` is what people call the folder. Every method raises Unavailable where it cannot be reached."""

    name: str

    def sizes(self) -> dict[str, int]:
        """What is there, with its bytes: names with a slash for what is one folder down."""
        ...

    def read(self, name: str) -> bytes | None:
        """All of a small file; None where it is not there."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """A small file, in place of what was there."""
        ...

    def claim(self, name: str, data: bytes) -> bool:
        """A small file, where there is none of that name; False where there is."""
        ...

    def fill(self, name: str, fill: Fill) -> tuple[str, int]:
        """A file that appears when it is whole; its SHA-256 and size."""
        ...

    def remove(self, name: str) -> None:
        """Nothing where it is not there."""
        ...

    def tidy(self) -> None:
        """Remove what a killed writer left that is no file yet."""
        ...


def open_folder(out: str) -> Folder:
    """Of a path or URL. Raises InvalidInput for a URL that nothing can be written to."""
    scheme = out.partition("://")[0].lower() if "://" in out else ""
    if scheme == "file":
        return LocalFolder(Path(unquote(urlsplit(out).path)))
    if scheme in {"http", "https"}:
        raise InvalidInput(f"{out} is a page of the web; files are written to a folder, s3://, gs:// or az://.")
    return StoredFolder(out) if scheme else LocalFolder(Path(out))


class LocalFolder:
    """A file is written under a name that begins with a dot, synced, and renamed."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    def sizes(self) -> dict[str, int]:
        """The folder, and those in it."""
        found = [*self._path.glob("[!.]*"), *self._path.glob("*/[!.]*")]
        return {str(each.relative_to(self._path)): each.stat().st_size for each in found if each.is_file()}

    def read(self, name: str) -> bytes | None:
        """As it is now."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes) -> None:
        """Synced before it has its name."""
        path = self._path / name
        with _written(path.name):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}-{os.getpid()}")
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)

    def claim(self, name: str, data: bytes) -> bool:
        """Whole or not at all."""
        if (self._path / name).exists():
            return False
        self.put(name, data)
        return True

    def fill(self, name: str, fill: Fill) -> tuple[str, int]:
        """Read once more for its digest, from memory most likely."""
        path = self._path / name
        temporary = self._path / f".{path.name}-{os.getpid()}"
        try:
            with _written(name):
                with pa.OSFile(str(temporary), "wb") as file:
                    fill(file)
                with temporary.open("rb") as made:
                    os.fsync(made.fileno())
                    digest = hashlib.file_digest(made, "sha256").hexdigest()
                faults.reach("batch.part.written")
                size = temporary.stat().st_size
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return digest, size

    def remove(self, name: str) -> None:
        """From the disk."""
        (self._path / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Of any process: one job is done by one."""
        for path in (*self._path.glob(".part-*"), *self._path.glob(".[0-9]*-*")):
            path.unlink(missing_ok=True)


class StoredFolder:
    """An object is put whole; one of many megabytes in pieces, which only become an object all together."""

    def __init__(self, url: str) -> None:
        self.name = url.rstrip("/")
        self._store: ObjectStore = open_store(self.name)

    def sizes(self) -> dict[str, int]:
        """By one listing."""
        with _reached(self.name):
            return {str(found["path"]): int(found["size"]) for chunk in obstore.list(self._store) for found in chunk}

    def read(self, name: str) -> bytes | None:
        """As it is now."""
        try:
            with _reached(f"{self.name}/{name}"):
                return bytes(obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes) -> None:
        """One request."""
        with _reached(f"{self.name}/{name}"):
            obstore.put(self._store, name, data)

    def claim(self, name: str, data: bytes) -> bool:
        """By a condition that the store keeps."""
        try:
            with _reached(f"{self.name}/{name}"):
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
        except FileExistsError:
            return False
        return True

    def fill(self, name: str, fill: Fill) -> tuple[str, int]:
        """From memory: a part is bounded."""
        sink = pa.BufferOutputStream()
        with _written(name):
            fill(sink)
        data = sink.getvalue().to_pybytes()
        faults.reach("batch.part.written")
        with _reached(f"{self.name}/{name}"):
            obstore.put(self._store, name, data)
        return hashlib.sha256(data).hexdigest(), len(data)

    def remove(self, name: str) -> None:
        """From the store."""
        try:
            with _reached(f"{self.name}/{name}"):
                obstore.delete(self._store, name)
        except FileNotFoundError:
            return

    def tidy(self) -> None:
        """Nothing: what was not completed is no object; a rule of the bucket ends unfinished uploads."""


@contextmanager
def _written(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise Unavailable(f"{name} could not be written: {error}.", hint="Is the disk full?") from error


@contextmanager
def _reached(name: str) -> Iterator[None]:
    """FileNotFoundError and FileExistsError are the caller's."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except (OSError, obstore.exceptions.BaseError) as error:
        reason = str(error).partition("\n")[0]
        raise Unavailable(
            f"{name} cannot be reached: {reason}.", hint="Are the credentials in the environment?"
        ) from error
