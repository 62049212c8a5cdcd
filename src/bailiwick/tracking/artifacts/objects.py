"""Artifacts as plain objects in S3, GCS or Azure, which others read and write too."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import obstore
from obstore.store import ObjectStore, from_url

from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import BailiwickError, Conflict, InvalidInput, Unavailable
from bailiwick.store.faults import reach
from bailiwick.store.parts.choice import can_sign, parted_store, sign, upload_headers
from bailiwick.store.parts.model import PartedStore, SentPart
from bailiwick.store.records import Change, Records
from bailiwick.tracking.artifacts import rows
from bailiwick.tracking.artifacts.content import relative
from bailiwick.tracking.artifacts.model import Artifact, Entry, check_size
from bailiwick.tracking.artifacts.paths import WORKSPACES, check_path, joined, scope
from bailiwick.tracking.artifacts.uploads import UploadUnderWay

PART_BYTES = 8 << 20
PARALLEL_PARTS = 4
SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")


class ObjectLayout:
    """The layout of a destination in an object store. An object is complete before it is seen, and is the last one written.

    Its key and its journal entry cannot be one transaction: the object comes first. Should the entry fail, the
    caller is told so, and the object is there like one that others have put. A layout that has an `owner` is all of
    that workspace; others are shared.
    """

    def __init__(self, records: Records, url: str, *, owner: str = "") -> None:
        self.url = url
        self._owner = owner
        self.place = sha256_hex(url.encode())
        self._records = records
        try:
            self.store: ObjectStore = from_url(url)
        except (ValueError, obstore.exceptions.BaseError) as error:
            reason = str(error).partition("\n")[0]
            raise InvalidInput(f"Artifacts cannot be kept in {url!r}: {reason}.") from error

    def stage(self, workspace: str, path: str) -> ObjectStaged:
        """Begin to send an object."""
        return ObjectStaged(self, joined(self._scope(workspace), path), path)

    def find(self, workspace: str, path: str) -> Artifact | None:
        """What the store knows, and the digest if it was written by us and not changed since."""
        with _translated(path):
            try:
                found = obstore.head(self.store, joined(self._scope(workspace), path))
            except FileNotFoundError:
                return None
        with self._records.read() as connection:
            noted = rows.load(connection, workspace, self.place, path)
        return _described(path, found, noted)

    def open(self, workspace: str, path: str) -> ObjectReading | None:
        """The object as it is now."""
        found = self.find(workspace, path)
        return ObjectReading(self.store, joined(self._scope(workspace), path), found) if found else None

    def entries(self, workspace: str, folder: str) -> list[Entry]:
        """What is there and could have been written through us; keys that could not are not told."""
        prefix = joined(self._scope(workspace), folder)
        with _translated(folder):
            listed = obstore.list_with_delimiter(self.store, prefix or None)
        found = [Entry(key.rpartition("/")[2], is_folder=True) for key in listed["common_prefixes"]]
        found += [
            Entry(each["path"].rpartition("/")[2], is_folder=False, size_bytes=each["size"])
            for each in listed["objects"]
            if each["path"] != prefix
        ]
        told = [entry for entry in found if self._told(workspace, joined(folder, entry.path))]
        return sorted(told, key=lambda entry: entry.path)

    def files(self, workspace: str, folder: str) -> list[Artifact]:
        """Those that were written by us and not changed since need not be read."""
        with self._records.read() as connection:
            noted = {artifact.path: artifact for artifact in rows.load_below(connection, workspace, self.place, folder)}
        found = []
        for path, known in self._walk(workspace, folder):
            artifact = _described(path, known, noted.get(path))
            if not artifact.digest:
                artifact = replace(artifact, digest=self._digest_of(workspace, artifact))
            found.append(relative(artifact, folder))
        return sorted(found, key=lambda artifact: artifact.path)

    def remove(self, change: Change, path: str) -> ObjectRemoval:
        """Say what is to go; it goes when the change is settled, for it cannot come back."""
        noted = {artifact.path: artifact for artifact in rows.erase(change, self.place, path)}
        found = [_described(each, known, noted.get(each)) for each, known in self._walk(change.workspace, path)]
        alone = self.find(change.workspace, path)
        found += [noted.get(path, alone)] if alone else []
        keys = [joined(self._scope(change.workspace), artifact.path) for artifact in found]
        return ObjectRemoval(self.store, sorted(found, key=lambda artifact: artifact.path), keys)

    @cached_property
    def signs(self) -> bool:
        """All three stores sign, unless their credentials are of a kind that cannot."""
        return can_sign(self.store)

    @property
    def upload_headers(self) -> Mapping[str, str]:
        """Azure wants to be told what kind of blob it is."""
        return upload_headers(self.store)

    @property
    def takes_signed_uploads(self) -> bool:
        """As for downloads."""
        return self.signs

    def download_url(self, workspace: str, path: str, *, seconds: int) -> str:
        """Of the object."""
        return self._signed("GET", workspace, path, seconds)

    def upload_url(self, workspace: str, path: str, *, seconds: int) -> str:
        """Of the object."""
        return self._signed("PUT", workspace, path, seconds)

    @cached_property
    def parts(self) -> PartedStore | None:
        """S3 and Azure take parts."""
        return parted_store(self.store)

    def parted_key(self, workspace: str, path: str, upload_id: str) -> str:
        """That of the file: an object is not there before its parts are joined."""
        del upload_id
        return joined(self._scope(workspace), path)

    def join(self, upload: UploadUnderWay, sent: Sequence[SentPart], *, max_bytes: int | None) -> ObjectJoined:
        """The object, whose digest is not known before somebody reads it."""
        return ObjectJoined(self, upload, sent, max_bytes)

    def give_up(self, upload: UploadUnderWay) -> None:
        """In the store."""
        if self.parts is not None:
            self.parts.abort(upload.key, upload.upload)

    def sweep(self, *, older_than_ms: int) -> int:
        """Nothing: a store forgets unfinished uploads by a rule of its own, which its owner sets."""
        del older_than_ms
        return 0

    def _scope(self, workspace: str) -> str:
        return "" if self._owner else scope(workspace)

    def _told(self, workspace: str, path: str) -> bool:
        try:
            check_path(path)
        except BailiwickError:
            return False
        return bool(self._owner or scope(workspace)) or path.partition("/")[0] != WORKSPACES

    def _signed(self, method: str, workspace: str, path: str, seconds: int) -> str:
        return sign(self.store, method, joined(self._scope(workspace), path), seconds=seconds)

    def _walk(self, workspace: str, folder: str) -> Iterator[tuple[str, obstore.ObjectMeta]]:
        prefix = joined(self._scope(workspace), folder)
        skipped = len(joined(self._scope(workspace), "x")) - 1
        with _translated(folder):
            for chunk in obstore.list(self.store, prefix or None, chunk_size=1000):
                for found in chunk:
                    path = found["path"][skipped:]
                    if self._told(workspace, path) and path != folder:
                        yield path, found

    def _digest_of(self, workspace: str, artifact: Artifact) -> str:
        seen = hashlib.sha256()
        reading = ObjectReading(self.store, joined(self._scope(workspace), artifact.path), artifact)
        for data in reading.chunks(0, artifact.size_bytes):
            seen.update(data)
        return seen.hexdigest()


class ObjectStaged:
    """An object on its way in: one request if it is small, else parts that a thread sends while more are written."""

    def __init__(self, layout: ObjectLayout, key: str, path: str) -> None:
        self._layout = layout
        self._key = key
        self._path = path
        self._hash = hashlib.sha256()
        self._size = 0
        self._pending = bytearray()
        self._sending: _Sending | None = None
        self._mark = ""

    def write(self, data: bytes) -> None:
        """Append."""
        self._hash.update(data)
        self._size += len(data)
        self._pending += data
        if len(self._pending) >= PART_BYTES:
            self._sending = self._sending or _Sending(self._layout.store, self._key)
            self._sending.add(bytes(self._pending))
            self._pending.clear()
        reach("staging.written")

    def seal(self) -> tuple[str, int]:
        """Complete the object. From here on it is there for all to see."""
        with _translated(self._path):
            if self._sending is None:
                put = obstore.put(self._layout.store, self._key, bytes(self._pending), use_multipart=False)
            else:
                self._sending.add(bytes(self._pending))
                put = self._sending.finish()
        self._mark = str(put["e_tag"] or "")
        reach("artifacts.sealed")
        return self._hash.hexdigest(), self._size

    def publish(self, change: Change) -> Artifact:
        """Note what was written."""
        artifact = Artifact(
            self._path, self._size, self._hash.hexdigest(), change.time, change.actor.identity, self._mark
        )
        rows.save(change, self._layout.place, artifact)
        return artifact

    def settle(self, *, committed: bool) -> None:
        """Nothing: the object is there."""

    def discard(self) -> None:
        """Take the parts back that were sent."""
        if self._sending is not None:
            self._sending.abort()


class ObjectJoined:
    """An object of parts that were sent past the server."""

    def __init__(
        self, layout: ObjectLayout, upload: UploadUnderWay, sent: Sequence[SentPart], max_bytes: int | None
    ) -> None:
        self._layout = layout
        self._upload = upload
        self._sent = sent
        self._max_bytes = max_bytes
        self._size = 0
        self._mark = ""

    def write(self, data: bytes) -> None:
        """Raises Conflict."""
        raise Conflict(f"Artifact {self._upload.path!r} is made of parts; {len(data)} bytes cannot be added.")

    def seal(self) -> tuple[str, int]:
        """Join the parts. From here on the object is there for all to see, unless it is too large."""
        parts = self._layout.parts
        if parts is None:
            raise Unavailable(f"Artifact {self._upload.path!r} cannot be joined: the store takes no parts any more.")
        parts.complete(self._upload.key, self._upload.upload, self._sent)
        with _translated(self._upload.path):
            found = obstore.head(self._layout.store, self._upload.key)
            if self._max_bytes is not None and found["size"] > self._max_bytes:
                obstore.delete(self._layout.store, self._upload.key)
        self._size, self._mark = int(found["size"]), str(found["e_tag"] or "")
        check_size(self._size, self._max_bytes)
        reach("artifacts.sealed")
        return "", self._size

    def publish(self, change: Change) -> Artifact:
        """Note what was written."""
        artifact = Artifact(self._upload.path, self._size, "", change.time, change.actor.identity, self._mark)
        rows.save(change, self._layout.place, artifact)
        return artifact

    def settle(self, *, committed: bool) -> None:
        """Nothing: the object is there."""

    def discard(self) -> None:
        """Nothing: the parts are the store's, until they are joined or given up."""


class _Sending:
    """A thread inside `obstore.put`, which takes parts from a queue and aborts the upload when the queue breaks off."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._parts: queue.Queue[bytes | None] = queue.Queue(maxsize=2)
        self._aborted = False
        self._outcome: obstore.PutResult | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._send, args=(store, key), name="artifact upload", daemon=True)
        self._thread.start()

    def add(self, part: bytes) -> None:
        """Wait for room. Raises what sending raised."""
        while part:
            if self._error is not None:
                raise self._error
            try:
                self._parts.put(part, timeout=0.5)
            except queue.Full:
                continue
            return

    def finish(self) -> obstore.PutResult:
        """Wait until the object is complete. Raises what sending raised."""
        self._end()
        if self._outcome is None:
            raise self._error or _AbortedError
        return self._outcome

    def abort(self) -> None:
        """Break off, unless it is over. Waits until the store was told."""
        self._aborted = True
        self._end()

    def _end(self) -> None:
        while self._thread.is_alive():
            try:
                self._parts.put(None, timeout=0.1)
            except queue.Full:
                continue
            break
        self._thread.join()

    def _send(self, store: ObjectStore, key: str) -> None:
        try:
            self._outcome = obstore.put(
                store, key, self._taken(), chunk_size=PART_BYTES, max_concurrency=PARALLEL_PARTS
            )
        except Exception as error:  # noqa: BLE001 - the edge of a thread: raised again where the next part is added
            self._error = error

    def _taken(self) -> Iterator[bytes]:
        while True:
            part = self._parts.get()
            if self._aborted:
                raise _AbortedError
            if part is None:
                return
            yield part


class _AbortedError(Exception):
    """The upload was given up."""


class ObjectRemoval:
    """Objects that will go."""

    def __init__(self, store: ObjectStore, files: list[Artifact], keys: list[str]) -> None:
        self.files = files
        self._store = store
        self._keys = keys

    def settle(self, *, committed: bool) -> None:
        """Delete them."""
        if committed:
            with _translated("deletion"):
                for at in range(0, len(self._keys), 1000):
                    obstore.delete(self._store, self._keys[at : at + 1000])


class ObjectReading:
    """One version of an object, fetched range by range, so that a slow reader keeps no request waiting."""

    def __init__(self, store: ObjectStore, key: str, artifact: Artifact) -> None:
        self.artifact = artifact
        self._store = store
        self._key = key

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """As the object is. Raises Unavailable when another takes its place meanwhile."""
        for at in range(start, end, PART_BYTES):
            options: obstore.GetOptions = {"range": (at, min(at + PART_BYTES, end))}
            if self.artifact.mark:
                options["if_match"] = self.artifact.mark
            with _translated(self.artifact.path):
                try:
                    data = bytes(obstore.get(self._store, self._key, options=options).bytes())
                except (obstore.exceptions.PreconditionError, FileNotFoundError):
                    raise Unavailable(
                        f"Artifact {self.artifact.path!r} was overwritten or deleted while it was read.",
                        hint="Read it again.",
                    ) from None
            yield data

    def close(self) -> None:
        """Nothing is held."""


def _described(path: str, found: obstore.ObjectMeta, noted: Artifact | None) -> Artifact:
    mark = str(found["e_tag"] or "")
    # Azure puts its ETag in quotes in every answer but a listing.
    if noted and mark and noted.mark.strip('"') == mark.strip('"') and noted.size_bytes == found["size"]:
        return noted
    return Artifact(path, int(found["size"]), "", int(found["last_modified"].timestamp() * 1000), "", mark)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, _AbortedError, obstore.exceptions.BaseError) as error:
        reason = str(error).partition("\n")[0]
        raise Unavailable(f"The object store refused artifact {what!r}: {reason}.") from error
