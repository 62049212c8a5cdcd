"""Artifacts kept by digest: their bytes are blobs, each content once however often it is written, and their paths rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bailiwick.core.errors import Conflict, Corrupted, NotFound, Unavailable
from bailiwick.store.blobs import BlobReader, BlobStore, BlobWriter
from bailiwick.store.faults import reach
from bailiwick.store.parts.model import PartedStore, SentPart
from bailiwick.store.records import Change, Records
from bailiwick.tracking.artifacts import rows
from bailiwick.tracking.artifacts.model import CHUNK_BYTES, Artifact, Entry, check_size
from bailiwick.tracking.artifacts.paths import joined
from bailiwick.tracking.artifacts.tables import BLOBS
from bailiwick.tracking.artifacts.uploads import UploadUnderWay


class ContentLayout:
    """The layout of an installation that names no destination of its own."""

    def __init__(self, records: Records, blobs: BlobStore) -> None:
        self.url = blobs.url
        self.place = BLOBS
        self._records = records
        self.blobs = blobs

    def stage(self, workspace: str, path: str) -> ContentStaged:
        """Begin to write a blob; where it will be published, the change says."""
        del workspace
        return ContentStaged(self.blobs, path)

    def find(self, workspace: str, path: str) -> Artifact | None:
        """The row, which is all that is known."""
        with self._records.read() as connection:
            return rows.load(connection, workspace, BLOBS, path)

    def open(self, workspace: str, path: str) -> ContentReading | None:
        """The blob of the path now. Raises Corrupted when it is not there."""
        found = self.find(workspace, path)
        while found is not None:
            try:
                return ContentReading(found, self.blobs.open(found.digest))
            except NotFound:  # it may have been overwritten and collected since we looked
                before, found = found, self.find(workspace, path)
                if found is not None and found.digest == before.digest:
                    raise Corrupted(f"The bytes of artifact {path!r}, blob {found.digest}, are gone.") from None
        return None

    def entries(self, workspace: str, folder: str) -> list[Entry]:
        """By two queries, however much the folder holds."""
        with self._records.read() as connection:
            return rows.entries(connection, workspace, BLOBS, folder)

    def files(self, workspace: str, folder: str) -> list[Artifact]:
        """All digests are known."""
        with self._records.read() as connection:
            found = rows.load_below(connection, workspace, BLOBS, folder)
        return [relative(artifact, folder) for artifact in found]

    def remove(self, change: Change, path: str) -> ContentRemoval:
        """Remove the rows; the blobs are collected later."""
        return ContentRemoval(rows.erase(change, BLOBS, path))

    @property
    def signs(self) -> bool:
        """Where the blobs are in an object store."""
        return self.blobs.signs

    @property
    def upload_headers(self) -> Mapping[str, str]:
        """Nothing can be sent."""
        return {}

    @property
    def takes_signed_uploads(self) -> bool:
        """Never: the address of a blob is known when all of it is."""
        return False

    def download_url(self, workspace: str, path: str, *, seconds: int) -> str:
        """Of the blob."""
        found = self.find(workspace, path)
        if found is None:
            raise NotFound.of("Artifact", path)
        return self.blobs.signed_url(found.digest, seconds=seconds)

    def upload_url(self, workspace: str, path: str, *, seconds: int) -> str:
        """Raises Conflict."""
        del workspace, seconds
        raise Conflict(f"Artifacts in {self.url} are kept by digest, which no one can sign an upload for ({path!r}).")

    @property
    def parts(self) -> PartedStore | None:
        """Where the blobs are in a store that takes parts."""
        return self.blobs.parts

    def parted_key(self, workspace: str, path: str, upload_id: str) -> str:
        """Beside the blobs: the digest is known when all of it is there."""
        del workspace, path
        return self.blobs.arriving(upload_id)

    def join(self, upload: UploadUnderWay, sent: Sequence[SentPart], *, max_bytes: int | None) -> ContentJoined:
        """A blob, which is read once to know its digest."""
        return ContentJoined(self.blobs, upload, sent, max_bytes)

    def give_up(self, upload: UploadUnderWay) -> None:
        """In the store, also what was joined and did not become a blob."""
        if self.blobs.parts is not None:
            self.blobs.parts.abort(upload.key, upload.upload)
        self.blobs.forget(upload.id)

    def sweep(self, *, older_than_ms: int) -> int:
        """Half-written blobs."""
        return self.blobs.sweep(older_than_ms=older_than_ms)


class ContentStaged:
    """A blob on its way in."""

    def __init__(self, blobs: BlobStore, path: str) -> None:
        self._blobs = blobs
        self._path = path
        self._writer: BlobWriter = blobs.writer()
        self._digest = ""

    def write(self, data: bytes) -> None:
        """Append to the blob."""
        self._writer.write(data)

    def seal(self) -> tuple[str, int]:
        """Store the blob, which nothing refers to yet."""
        self._digest = self._writer.commit()
        reach("artifacts.sealed")
        return self._digest, self._writer.size

    def publish(self, change: Change) -> Artifact:
        """Let the path refer to the blob. Raises Unavailable if it was collected in the meantime, unreferenced as it was."""
        return _refer(change, self._blobs, self._path, self._digest, self._writer.size)

    def settle(self, *, committed: bool) -> None:
        """Nothing: a blob without a path is collected later."""

    def discard(self) -> None:
        """Drop what is not stored."""
        self._writer.discard()


class ContentJoined:
    """A blob of parts that were sent past the server."""

    def __init__(
        self, blobs: BlobStore, upload: UploadUnderWay, sent: Sequence[SentPart], max_bytes: int | None
    ) -> None:
        self._blobs = blobs
        self._upload = upload
        self._sent = sent
        self._max_bytes = max_bytes
        self._digest = ""
        self._size = 0

    def write(self, data: bytes) -> None:
        """Raises Conflict."""
        raise Conflict(f"Artifact {self._upload.path!r} is made of parts; {len(data)} bytes cannot be added.")

    def seal(self) -> tuple[str, int]:
        """Join the parts, and store them by their digest. What was joined before and not published is taken up again."""
        if self._blobs.parts is None:
            raise Unavailable(f"Artifact {self._upload.path!r} cannot be joined: the store takes no parts any more.")
        try:
            self._blobs.parts.complete(self._upload.key, self._upload.upload, self._sent)
        except NotFound:
            if not self._blobs.arrived(self._upload.id):
                raise
        check_size(self._blobs.arrived(self._upload.id), self._max_bytes)
        self._digest, self._size = self._blobs.adopt(self._upload.id)
        reach("artifacts.sealed")
        return self._digest, self._size

    def publish(self, change: Change) -> Artifact:
        """Let the path refer to the blob."""
        return _refer(change, self._blobs, self._upload.path, self._digest, self._size)

    def settle(self, *, committed: bool) -> None:
        """Remove what arrived, which is a blob now."""
        if committed:
            self._blobs.forget(self._upload.id)

    def discard(self) -> None:
        """Nothing: what arrived stays until it is published or given up."""


def _refer(change: Change, blobs: BlobStore, path: str, digest: str, size: int) -> Artifact:
    """Let a path refer to a blob that is there. Raises Unavailable if it was collected before it had its path."""
    rows.lock_digests(change, [digest])
    if not blobs.exists(digest):
        raise Unavailable(f"Artifact {path!r} was collected before it had its path.", hint="Send it again.")
    rows.check_free(change, BLOBS, path)
    artifact = Artifact(path, size, digest, change.time, change.actor.identity, digest)
    rows.save(change, BLOBS, artifact)
    return artifact


class ContentRemoval:
    """Rows that are gone."""

    def __init__(self, files: list[Artifact]) -> None:
        self.files = files

    def settle(self, *, committed: bool) -> None:
        """Nothing: the transaction settles it."""


class ContentReading:
    """An open blob."""

    def __init__(self, artifact: Artifact, reader: BlobReader) -> None:
        self.artifact = artifact
        self._reader = reader

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """The whole is checked against the digest; a part is what is stored."""
        whole = start == 0 and end == self._reader.size
        return self._reader.checked(CHUNK_BYTES) if whole else self._reader.chunks(start, end, CHUNK_BYTES)

    def close(self) -> None:
        """Let go of the blob."""
        self._reader.close()


def relative(artifact: Artifact, folder: str) -> Artifact:
    """The same file with its path below `folder`."""
    path = artifact.path[len(joined(folder, "x")) - 1 :]
    return Artifact(path, artifact.size_bytes, artifact.digest, artifact.time, artifact.created_by, artifact.mark)
