"""Artifacts as plain files below one folder, which others read and write too."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import BailiwickError, Conflict, Unavailable
from bailiwick.core.ids import new_id
from bailiwick.store.faults import reach
from bailiwick.store.parts.model import SentPart
from bailiwick.store.records import Change, Records
from bailiwick.store.staging import StagedFile, sweep, sync_folder
from bailiwick.tracking.artifacts import rows
from bailiwick.tracking.artifacts.content import relative
from bailiwick.tracking.artifacts.model import CHUNK_BYTES, Artifact, Entry, Staged
from bailiwick.tracking.artifacts.paths import STAGING, WORKSPACES, check_path, joined, scope
from bailiwick.tracking.artifacts.uploads import UploadUnderWay


class FolderLayout:
    """The layout of a destination that is a folder. What others put there is listed and read like our own."""

    def __init__(self, records: Records, root: Path) -> None:
        self.url = root.as_uri()
        self.root = root
        self.place = sha256_hex(self.url.encode())
        self.staging = root / STAGING
        self._records = records

    def stage(self, workspace: str, path: str) -> FolderStaged:
        """Begin to write a file aside, on the same file system. Raises Conflict for a path that a link leads elsewhere."""
        target = self.file(workspace, path)
        self._check_inside(target, path)
        return FolderStaged(self, target, path)

    def find(self, workspace: str, path: str) -> Artifact | None:
        """What the file system knows, and the digest if it was written by us and not changed since."""
        target = self.file(workspace, path)
        with _readable(target):
            try:
                status = target.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not S_ISREG(status.st_mode) or not self._inside(target):
            return None
        with self._records.read() as connection:
            noted = rows.load(connection, workspace, self.place, path)
        return _described(path, status, noted)

    def open(self, workspace: str, path: str) -> FolderReading | None:
        """The file as it is now."""
        target = self.file(workspace, path)
        with _readable(target):
            try:
                descriptor = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
            except (FileNotFoundError, NotADirectoryError):
                return None
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode) or not self._inside(target):
            os.close(descriptor)
            return None
        with self._records.read() as connection:
            noted = rows.load(connection, workspace, self.place, path)
        return FolderReading(_described(path, status, noted), descriptor)

    def entries(self, workspace: str, folder: str) -> list[Entry]:
        """What is there and could have been written through us; names that could not are not told."""
        found = []
        target = self.file(workspace, folder)
        with _readable(target):
            try:
                listed = list(os.scandir(target)) if self._inside(target) else []
            except (FileNotFoundError, NotADirectoryError):
                return []
            for item in listed:
                if self._told(workspace, joined(folder, item.name)):
                    with suppress(FileNotFoundError):  # gone since the folder was read, or a link to nowhere
                        found.append(_entry(item))
        return sorted([entry for entry in found if entry], key=lambda entry: entry.path)

    def files(self, workspace: str, folder: str) -> list[Artifact]:
        """Those that were written by us and not changed since need not be read."""
        with self._records.read() as connection:
            noted = {artifact.path: artifact for artifact in rows.load_below(connection, workspace, self.place, folder)}
        found = []
        for path, status in self._walk(workspace, folder):
            artifact = _described(path, status, noted.get(path))
            if not artifact.digest:
                artifact = replace(artifact, digest=_digest_of(self.file(workspace, path)))
            found.append(relative(artifact, folder))
        return sorted(found, key=lambda artifact: artifact.path)

    def remove(self, change: Change, path: str) -> FolderRemoval:
        """Move it aside."""
        target = self.file(change.workspace, path)
        self._check_inside(target, path)
        noted = {artifact.path: artifact for artifact in rows.erase(change, self.place, path)}
        found = [_described(each, status, noted.get(each)) for each, status in self._walk(change.workspace, path)]
        return FolderRemoval(self, target, sorted(found, key=lambda artifact: artifact.path))

    @property
    def signs(self) -> bool:
        """A folder has no URLs."""
        return False

    @property
    def upload_headers(self) -> Mapping[str, str]:
        """Nothing can be sent."""
        return {}

    @property
    def takes_signed_uploads(self) -> bool:
        """A folder has no URLs."""
        return False

    def download_url(self, workspace: str, path: str, *, seconds: int) -> str:
        """Raises Conflict."""
        del workspace, seconds
        raise Conflict(f"Artifacts in {self.url} are files of a folder, which has no URLs to sign ({path!r}).")

    upload_url = download_url

    @property
    def parts(self) -> None:
        """A folder is written through the server."""
        return

    def parted_key(self, workspace: str, path: str, upload_id: str) -> str:
        """Raises Conflict."""
        del workspace, upload_id
        raise Conflict(f"{self.url} is a folder, which takes no files in parts ({path!r}).")

    def join(self, upload: UploadUnderWay, sent: Sequence[SentPart], *, max_bytes: int | None) -> Staged:
        """Raises Conflict."""
        del sent, max_bytes
        raise Conflict(f"{self.url} is a folder, which takes no files in parts ({upload.path!r}).")

    def give_up(self, upload: UploadUnderWay) -> None:
        """Nothing was begun here."""

    def sweep(self, *, older_than_ms: int) -> int:
        """Unfinished uploads, and what was removed by a process that died while it did."""
        removed = sweep(self.staging, older_than_ms=older_than_ms)
        for path in sorted(self.staging.iterdir()) if self.staging.is_dir() else []:
            if path.is_dir():
                shutil.rmtree(path)
                removed += 1
        return removed

    def file(self, workspace: str, path: str) -> Path:
        """Where the path lies."""
        return self.root / joined(scope(workspace), path)

    def prune(self, folder: Path) -> None:
        """Remove a folder and those above it for as long as they are empty."""
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone already
                return
            folder = folder.parent

    def _walk(self, workspace: str, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        """Files below a folder, or the file itself, that could have been written through us, with their paths."""
        top = self.file(workspace, folder)
        with _readable(top):
            if not self._inside(top):
                return
            if top.is_file():
                yield folder, top.stat()
                return
            for place, _, names in os.walk(top):
                inner = Path(place).relative_to(top).as_posix()
                here = folder if inner == "." else joined(folder, inner)
                for name in names:
                    path = joined(here, name)
                    target = self.file(workspace, path) if self._told(workspace, path) else None
                    if target and target.is_file() and self._inside(target):
                        yield path, target.stat()

    def _told(self, workspace: str, path: str) -> bool:
        try:
            check_path(path)
        except BailiwickError:
            return False
        return bool(scope(workspace)) or path.partition("/")[0] != WORKSPACES

    def _inside(self, target: Path) -> bool:
        """Whether the path leads into the folder, also through links that others have put there."""
        return Path(os.path.realpath(target)).is_relative_to(os.path.realpath(self.root))

    def _check_inside(self, target: Path, path: str) -> None:
        if not self._inside(target):
            raise Conflict(f"Artifact path {path!r} is, or leads through, a link out of the artifacts' folder.")


class FolderStaged:
    """A file on its way in."""

    def __init__(self, layout: FolderLayout, target: Path, path: str) -> None:
        self._layout = layout
        self._target = target
        self._path = path
        self._file = StagedFile(layout.staging, mode=0o666)
        self._before = layout.staging / new_id()

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)

    def seal(self) -> tuple[str, int]:
        """Make the content durable."""
        self._file.seal()
        reach("artifacts.sealed")
        return self._file.digest, self._file.size

    def publish(self, change: Change) -> Artifact:
        """Give it its name; the file that had the name is remembered until the change is settled."""
        status = self._file.status
        artifact = Artifact(
            self._path, self._file.size, self._file.digest, change.time, change.actor.identity, _mark(status)
        )
        rows.save(change, self._layout.place, artifact)
        try:
            self._name()
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            raise Conflict(
                f"Artifact path {self._path!r} is a folder, or leads through a file.", hint="Choose another name."
            ) from None
        except OSError as error:
            raise Unavailable(f"Artifact {self._path!r} cannot be written: {error.strerror}.") from error
        return artifact

    def _name(self) -> None:
        for attempt in range(10):
            try:
                self._target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    self._before.unlink(missing_ok=True)
                    os.link(self._target, self._before, follow_symlinks=False)
                self._file.name(self._target)
            except FileNotFoundError:  # the folder was empty, and removed, in between
                if attempt == 9:
                    raise
            except PermissionError:
                if self._target.is_dir():  # which is what linking one says
                    raise IsADirectoryError from None
                raise
            else:
                return

    def settle(self, *, committed: bool) -> None:
        """Make the name durable, or put back what had it."""
        if committed:
            folder = self._target.parent
            while True:
                with suppress(FileNotFoundError):  # deleted since
                    sync_folder(folder)
                if folder == self._layout.root:
                    break
                folder = folder.parent
        elif self._before.exists():
            self._before.replace(self._target)
        elif self._target.exists() and not self._file.path.exists():
            self._target.unlink()
            self._layout.prune(self._target.parent)
        self._before.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what has no name."""
        self._file.discard()


class FolderRemoval:
    """Files that were moved aside."""

    def __init__(self, layout: FolderLayout, target: Path, files: list[Artifact]) -> None:
        self.files = files
        self._layout = layout
        self._target = target
        self._aside = layout.staging / new_id()
        if files:
            layout.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.rename(self._aside)
        reach("artifacts.removed")

    def settle(self, *, committed: bool) -> None:
        """Remove them, or put them back."""
        if not self.files:
            return
        if not committed:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._aside.rename(self._target)
            return
        with suppress(FileNotFoundError):
            sync_folder(self._target.parent)
        if self._aside.is_dir() and not self._aside.is_symlink():
            shutil.rmtree(self._aside)
        else:
            self._aside.unlink()
        self._layout.prune(self._target.parent)


class FolderReading:
    """An open file."""

    def __init__(self, artifact: Artifact, descriptor: int) -> None:
        self.artifact = artifact
        self._descriptor = descriptor

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """As the file is: others may write to it, so its digest promises nothing."""
        for at in range(start, end, CHUNK_BYTES):
            data = os.pread(self._descriptor, min(CHUNK_BYTES, end - at), at)
            if len(data) < min(CHUNK_BYTES, end - at):
                raise Unavailable(f"Artifact {self.artifact.path!r} became shorter while it was read.")
            yield data

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _mark(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_ino}-{status.st_size}"


def _described(path: str, status: os.stat_result, noted: Artifact | None) -> Artifact:
    mark = _mark(status)
    if noted and noted.mark == mark:
        return noted
    return Artifact(path, status.st_size, "", status.st_mtime_ns // 1_000_000, "", mark)


def _entry(item: os.DirEntry[str]) -> Entry | None:
    mode = item.stat().st_mode
    if S_ISDIR(mode):
        return Entry(item.name, is_folder=True)
    return Entry(item.name, is_folder=False, size_bytes=item.stat().st_size) if S_ISREG(mode) else None


def _digest_of(path: Path) -> str:
    with _readable(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}.") from error
