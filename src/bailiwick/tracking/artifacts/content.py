"""Artifacts kept by digest: their bytes are blobs, each content once however often it is written, and their paths rows."""

from __future__ import annotations

from collections.abc import Iterator

from bailiwick.core.errors import Conflict, Corrupted, NotFound, Unavailable
from bailiwick.store.blobs import BlobReader, BlobStore, BlobWriter
from bailiwick.store.faults import reach
from bailiwick.store.records import Change, Records
from bailiwick.tracking.artifacts import rows
from bailiwick.tracking.artifacts.model import CHUNK_BYTES, Artifact, Entry
from bailiwick.tracking.artifacts.paths import joined
from bailiwick.tracking.artifacts.tables import BLOBS


class ContentLayout:
    """The layout of an installation that names no destination of its own."""

    def __init__(self, records: Records, blobs: BlobStore) -> None:
        self.url = blobs.url
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
        rows.lock_digests(change, [self._digest])
        if not self._blobs.exists(self._digest):
            raise Unavailable(f"Artifact {self._path!r} was collected before it had its path.", hint="Send it again.")
        rows.check_free(change, BLOBS, self._path)
        size, digest = self._writer.size, self._digest
        artifact = Artifact(self._path, size, digest, change.time, change.actor.identity, digest)
        rows.save(change, BLOBS, artifact)
        return artifact

    def settle(self, *, committed: bool) -> None:
        """Nothing: a blob without a path is collected later."""

    def discard(self) -> None:
        """Drop what is not stored."""
        self._writer.discard()


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
