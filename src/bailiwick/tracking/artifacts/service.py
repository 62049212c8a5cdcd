"""The verbs of artifacts. A write is visible when it is whole and journalled; of writers of one path the last one wins.

Every verb takes a `Location`, or a path in the store that the control plane offers to clients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import unquote, urlsplit

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, InvalidInput, NotFound
from bailiwick.store.blobs import BlobStore
from bailiwick.store.faults import reach
from bailiwick.store.records import Records
from bailiwick.tracking.artifacts import rows
from bailiwick.tracking.artifacts.content import ContentLayout
from bailiwick.tracking.artifacts.folder import FolderLayout
from bailiwick.tracking.artifacts.model import (
    Artifact,
    Collected,
    Entry,
    Layout,
    Reading,
    Removal,
    Signed,
    Staged,
    check_size,
    tree_digest,
)
from bailiwick.tracking.artifacts.objects import SCHEMES, ObjectLayout
from bailiwick.tracking.artifacts.parted import PartedUploads
from bailiwick.tracking.artifacts.paths import (
    check_folder,
    check_path,
    joined,
    proxied_path,
    scope,
    within_workspace,
)
from bailiwick.tracking.artifacts.tables import BLOBS

DAY_MS = 86_400_000
MAX_SIGNED_SECONDS = 604_800
_BATCH = 200
_NAMED_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Location:
    """A path in a layout: the one that the control plane offers (`root` is empty), one that clients reach themselves
    (`direct`), or the own root of a workspace (its URL).
    """

    path: str
    root: str = ""


class ArtifactService:
    """Artifacts of every run and model, in one layout of their own and, where `direct` names one, a second beside it.

    `destination` empty means by digest in `blobs`; else a folder, file://, s3://, gs:// or az://, where paths are kept
    as they are. `direct` is the root that clients were told to reach by themselves. No signed URL lasts longer than
    `signed_seconds`, and with 0 none is made. `own_root` tells where a workspace keeps its artifacts, if it has a place
    of its own; one in an object store is reached here too.
    """

    def __init__(
        self,
        records: Records,
        blobs: BlobStore,
        *,
        destination: str = "",
        direct: str = "",
        signed_seconds: int = MAX_SIGNED_SECONDS,
        own_root: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._records = records
        self._content = ContentLayout(records, blobs)
        self._store: Layout = _layout(records, destination) if destination else self._content
        self._direct_url = direct
        self._signed_seconds = signed_seconds
        self._own_root = own_root
        self._own: dict[str, ObjectLayout] = {}
        self.parted = PartedUploads(
            records, store=self._store, place=self._placed, publish=self.publish, seconds=signed_seconds
        )

    @cached_property
    def _direct(self) -> Layout | None:
        """Made when it is first needed: it may be a place that only clients can reach."""
        scheme = urlsplit(self._direct_url).scheme
        known = self._direct_url and scheme in {"", "file", *SCHEMES}
        return _layout(self._records, self._direct_url) if known else None

    # -- where things are ----------------------------------------------------------------------------------------

    def locate(self, workspace: str, uri: str, path: str = "") -> Location:
        """The location of a file or folder below an artifact URI of a run or model.

        Raises InvalidInput for a path that is none, Conflict for a URI that leads to where only clients can go.
        """
        below = check_folder(path)
        proxied = proxied_path(uri)
        if proxied is not None:
            return Location(joined(within_workspace(workspace, proxied), below))
        for root, layout in (("", self._store), ("direct", self._direct)):
            found = _relative(layout.url, uri) if layout is not None and layout is not self._content else None
            if found is not None:
                return Location(joined(_scoped(workspace, check_folder(found), uri), below), root)
        own = self._owned(workspace)
        found = _relative(own.url, uri) if own is not None else None
        if own is not None and found is not None:
            return Location(joined(check_folder(found), below), own.url)
        raise Conflict(
            f"The artifacts at {uri[:300]!r} are out of this server's reach; clients read and write them directly.",
            hint="The server reaches mlflow-artifacts: locations, and those below artifacts_destination, artifact_root and, in an object store, the workspace's own root.",
        )

    def by_digest(self, location: Location | str) -> bool:
        """Whether what is there is kept by digest, so that listing it reads nothing."""
        return self._layout(_located(location)) is self._content

    @property
    def signs(self) -> bool:
        """Whether the store that is offered to clients can sign downloads."""
        return bool(self._signed_seconds) and self._store.signs

    def takes_signed_uploads(self, location: Location | str) -> bool:
        """Whether `upload_url` works there."""
        return bool(self._signed_seconds) and self._layout(_located(location)).takes_signed_uploads

    def gives_signed_downloads(self, location: Location | str) -> bool:
        """Whether `download_url` works there."""
        return bool(self._signed_seconds) and self._layout(_located(location)).signs

    # -- writing -------------------------------------------------------------------------------------------------

    def put(self, actor: Actor, location: Location | str, chunks: Iterable[bytes]) -> Artifact:
        """Write a file from pieces, in constant memory; it takes the place of one that is there."""
        with self.upload(actor, location) as upload:
            for chunk in chunks:
                upload.write(chunk)
            return upload.finish()

    def upload(self, actor: Actor, location: Location | str, *, max_bytes: int | None = None) -> Upload:
        """Begin to write a file: `with service.upload(…) as upload: upload.write(…); upload.finish()`.

        Nothing is visible before `finish` returns, and nothing stays of what was not finished.
        """
        actor.require(Permission.TRACKING_WRITE)
        layout, path = self._place(actor.workspace, location, check_path)
        return Upload(self, actor, layout.stage(actor.workspace, path), max_bytes)

    def publish(self, actor: Actor, staged: Staged) -> Artifact:
        """What `Upload.finish` does: make the file durable, then visible and journalled in one change."""
        actor.require(Permission.TRACKING_WRITE)
        digest, size = staged.seal()
        committed = False
        try:
            with self._records.change(actor, Permission.TRACKING_WRITE) as change:
                artifact = staged.publish(change)
                known = {"digest": digest} if digest else {}
                change.record("artifact.written", **_named(artifact.path), **known, size_bytes=size)
                reach("artifacts.recorded")
            committed = True
            reach("artifacts.committed")
        finally:
            staged.settle(committed=committed)
        return artifact

    def delete(self, actor: Actor, location: Location | str) -> int:
        """Remove a file, or every file below a folder, and return how many; none is no error, so it can be repeated."""
        actor.require(Permission.TRACKING_WRITE)
        layout, path = self._place(actor.workspace, location, check_folder)
        if not path:
            raise InvalidInput("All artifacts of a workspace cannot be deleted at once.", hint="Name a file or folder.")
        if layout.find(actor.workspace, path) is None and not layout.entries(actor.workspace, path):
            return 0
        removal: Removal | None = None
        committed = False
        try:
            with self._records.change(actor, Permission.TRACKING_WRITE) as change:
                removal = layout.remove(change, path)
                change.record("artifact.deleted", **_named(path), **_told(removal.files))
            committed = True
        finally:
            if removal is not None:
                removal.settle(committed=committed)
        return len(removal.files)

    # -- reading -------------------------------------------------------------------------------------------------

    def open(self, workspace: str, location: Location | str) -> Reading:
        """A file to read, whole or in part; to be closed. Raises NotFound, and Conflict for a folder."""
        layout, path = self._place(workspace, location, check_path)
        found = layout.open(workspace, path)
        if found is None:
            raise self._absent(layout, workspace, path)
        return found

    def stat(self, workspace: str, location: Location | str) -> Artifact:
        """What is known of a file without reading it. Raises NotFound, and Conflict for a folder."""
        layout, path = self._place(workspace, location, check_path)
        found = layout.find(workspace, path)
        if found is None:
            raise self._absent(layout, workspace, path)
        return found

    def entries(self, workspace: str, location: Location | str = "") -> list[Entry]:
        """Files and folders right below a folder, by path; none for a file, and for what is not there."""
        layout, path = self._place(workspace, location, check_folder)
        return layout.entries(workspace, path)

    def files(self, workspace: str, location: Location | str) -> list[Artifact]:
        """Every file below a folder with its digest, by path, which is relative to the folder; see `tree_digest`."""
        layout, path = self._place(workspace, location, check_folder)
        return layout.files(workspace, path)

    # -- signed URLs ---------------------------------------------------------------------------------------------

    def download_url(self, workspace: str, location: Location | str, *, seconds: int) -> Signed:
        """A URL from which anyone can read the file for a while. Raises Conflict where the store cannot sign."""
        layout, path = self._place(workspace, location, check_path)
        found = self.stat(workspace, location)
        return Signed(layout.download_url(workspace, path, seconds=self._lasting(seconds)), found.size_bytes)

    def upload_url(self, actor: Actor, location: Location | str, *, seconds: int) -> Signed:
        """A URL to which anyone can write the file for a while; what is written there is not journalled, this is."""
        actor.require(Permission.TRACKING_WRITE)
        layout, path = self._place(actor.workspace, location, check_path)
        seconds = self._lasting(seconds)
        url = layout.upload_url(actor.workspace, path, seconds=seconds)
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            change.record("artifact.upload_signed", **_named(path), seconds=seconds)
        return Signed(url, headers=layout.upload_headers)

    # -- digests of what was sent past the server -----------------------------------------------------------------

    def has_unread(self, workspace: str) -> bool:
        """Whether a workspace has files whose digest is not known, because they were sent in parts past the server."""
        with self._records.read() as connection:
            return any(rows.unread(connection, workspace, layout.place, 1) for layout in self._layouts())

    def read_unread(self, actor: Actor) -> int:
        """Read files of the actor's workspace whose digest is not known, and note it. Returns how many. May be repeated."""
        actor.require(Permission.TRACKING_WRITE)
        count = 0
        for layout in self._layouts():
            while True:
                with self._records.read() as connection:
                    waiting = rows.unread(connection, actor.workspace, layout.place, _BATCH)
                if not waiting:
                    break
                for artifact in waiting:
                    count += self._note_digest(actor, layout, artifact)
        return count

    def _note_digest(self, actor: Actor, layout: Layout, artifact: Artifact) -> bool:
        found = layout.open(actor.workspace, artifact.path)
        digest = ""
        if found is not None:
            try:
                if found.artifact.mark == artifact.mark:
                    digest = _digest_of(found)
            finally:
                found.close()
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            if not digest:  # others have overwritten or deleted it
                rows.forget(change, layout.place, artifact)
            elif not rows.note_digest(change, layout.place, artifact, digest):
                digest = ""
            change.record("artifact.digested", **_named(artifact.path), digest=digest)
        return bool(digest)

    # -- garbage -------------------------------------------------------------------------------------------------

    def collect_garbage(self, actor: Actor, *, grace_ms: int = DAY_MS) -> Collected:
        """Remove blobs that no artifact refers to any more, and what killed uploads left behind.

        `grace_ms` is the least age of what is removed. A blob that is referred to is never removed: it is looked for
        under a lock that whoever begins to refer to it needs as well, so with any grace an upload loses no more than
        its turn (Unavailable). May be repeated.
        """
        actor.require(Permission.TRACKING_WRITE)
        uploads = sum(layout.sweep(older_than_ms=grace_ms) for layout in self._layouts())
        oldest = self._records.clock() - grace_ms
        uploads += self.parted.give_up_stale(actor, begun_before=oldest)
        collected: list[tuple[int, int]] = []
        batch: dict[str, int] = {}
        for blob in self._content.blobs.stored():
            if blob.modified <= oldest:
                batch[blob.digest] = blob.size_bytes
            if len(batch) == _BATCH:
                collected.append(self._collect(actor, batch))
                batch = {}
        collected.append(self._collect(actor, batch))
        return Collected(sum(count for count, _ in collected), sum(size for _, size in collected), uploads)

    def _collect(self, actor: Actor, sizes: dict[str, int]) -> tuple[int, int]:
        free = self._unreferenced(sizes)
        if not free:
            return 0, 0
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            rows.lock_digests(change, free)
            free -= rows.referenced(change.connection, BLOBS, free)
            size = sum(sizes[digest] for digest in free)
            self._content.blobs.delete(sorted(free))
            change.record("artifacts.collected", "artifact/", blobs=len(free), size_bytes=size)
        return len(free), size

    def _unreferenced(self, sizes: dict[str, int]) -> set[str]:
        free = set(sizes)
        if free:
            with self._records.read() as connection:
                free -= rows.referenced(connection, BLOBS, free)
        return free

    # -- within --------------------------------------------------------------------------------------------------

    def _layouts(self) -> list[Layout]:
        plain = [layout for layout in (self._store, self._direct) if layout not in {None, self._content}]
        return [self._content, *[layout for layout in plain if layout]]

    def _owned(self, workspace: str) -> ObjectLayout | None:
        """The layout of the workspace's own root, where that is in an object store; folders of this machine are not for it."""
        url = self._own_root(workspace).rstrip("/")
        if urlsplit(url).scheme not in SCHEMES:
            return None
        if url not in self._own:
            self._own[url] = ObjectLayout(self._records, url, owner=workspace)
        return self._own[url]

    def _layout(self, location: Location) -> Layout:
        if not location.root:
            return self._store
        if location.root in self._own:
            return self._own[location.root]
        if self._direct is None:
            raise Conflict("This server has no artifact_root of its own.")
        return self._direct

    def _place(self, workspace: str, location: Location | str, check: Check) -> tuple[Layout, str]:
        where = _located(location)
        path = check(where.path)
        return self._layout(where), path if where.root in self._own else check(within_workspace(workspace, path))

    def _placed(self, workspace: str, path: str) -> tuple[Layout, str]:
        return self._place(workspace, path, check_path)

    def _lasting(self, seconds: int) -> int:
        """As long as was asked for, or as long as is allowed. Raises Conflict where nothing may be signed."""
        if not self._signed_seconds:
            raise Conflict("This server signs no URLs of its object store.", hint="Set signed_url_seconds.")
        return min(_checked(seconds), self._signed_seconds)

    def _absent(self, layout: Layout, workspace: str, path: str) -> Conflict | NotFound:
        if layout.entries(workspace, path):
            return Conflict(f"Artifact path {path!r} is a folder, not a file.", hint="List it, or name a file in it.")
        return NotFound.of("Artifact", path)


class Check(Protocol):
    """`check_path` or `check_folder`."""

    def __call__(self, path: str, /) -> str:
        """The path, if it is one."""


class Upload:
    """One file being written by one actor."""

    def __init__(self, service: ArtifactService, actor: Actor, staged: Staged, max_bytes: int | None) -> None:
        self._service = service
        self._actor = actor
        self._staged = staged
        self._max_bytes = max_bytes
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, data: bytes) -> None:
        """Append. Raises LimitExceeded past the limit, Unavailable when there is no room."""
        self._size += len(data)
        check_size(self._size, self._max_bytes)
        self._staged.write(data)

    def finish(self) -> Artifact:
        """Make the file visible. Raises Conflict when its path is a folder, or leads through a file."""
        return self._service.publish(self._actor, self._staged)

    def discard(self) -> None:
        """Give up what is not finished. May be called again."""
        self._staged.discard()


def _layout(records: Records, url: str) -> Layout:
    scheme = urlsplit(url).scheme
    if scheme in SCHEMES:
        return ObjectLayout(records, url)
    if scheme in {"", "file"} and urlsplit(url).netloc in {"", "localhost"}:
        return FolderLayout(records, _folder(url).absolute())
    raise InvalidInput.choice("The scheme of an artifact destination", scheme, ["file", *SCHEMES])


def _folder(url: str) -> Path:
    return Path(unquote(urlsplit(url).path)) if urlsplit(url).scheme == "file" else Path(url)


def _relative(root: str, uri: str) -> str | None:
    """The path of `uri` below `root`, where it is."""
    parts = urlsplit(uri)
    if parts.scheme in {"", "file"}:
        if not root.startswith("file:") or parts.netloc or ".." in _folder(uri).parts:
            return None
        folder, top = _folder(uri), _folder(root)
        if not folder.is_relative_to(top):
            return None
        return "" if folder == top else folder.relative_to(top).as_posix()
    top_url = root.rstrip("/")
    if uri.rstrip("/") == top_url:
        return ""
    return uri.removeprefix(f"{top_url}/") if uri.startswith(f"{top_url}/") else None


def _scoped(workspace: str, path: str, uri: str) -> str:
    """The path below the workspace's own folder. Raises Conflict for a URI that leads to another workspace's."""
    own = scope(workspace)
    if not own:
        return within_workspace(workspace, path)
    if path != own and not path.startswith(f"{own}/"):
        raise Conflict(f"The artifacts at {uri[:300]!r} do not lie in the folder of workspace {workspace!r}, {own!r}.")
    return path[len(own) + 1 :]


def _digest_of(reading: Reading) -> str:
    seen = hashlib.sha256()
    for data in reading.chunks(0, reading.artifact.size_bytes):
        seen.update(data)
    return seen.hexdigest()


def _located(location: Location | str) -> Location:
    return Location(location) if isinstance(location, str) else location


def _checked(seconds: int) -> int:
    if not 1 <= seconds <= MAX_SIGNED_SECONDS:
        raise InvalidInput(f"A signed URL lasts 1 to {MAX_SIGNED_SECONDS} seconds, not {seconds}.")
    return seconds


def _named(path: str) -> dict[str, Any]:
    """The resource of a journal entry, and the path in its detail where the resource has no room for it."""
    if len(path) <= _NAMED_LENGTH:
        return {"resource": f"artifact/{path}"}
    return {"resource": f"artifact/{path[:_NAMED_LENGTH]}…", "path": path}


def _told(files: list[Artifact]) -> dict[str, Any]:
    """What the journal is told of a removal; the digest of many files is that of their tree."""
    told: dict[str, Any] = {"files": len(files), "size_bytes": sum(file.size_bytes for file in files)}
    if files and all(file.digest for file in files):
        told["digest"] = files[0].digest if len(files) == 1 else tree_digest(files)
    return told
