"""What an artifact is, and what a place that keeps artifacts must do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import LimitExceeded
from bailiwick.store.parts.model import PartedStore, SentPart
from bailiwick.store.records import Change
from bailiwick.tracking.artifacts.uploads import UploadUnderWay

CHUNK_BYTES = 1 << 20
"""What is read from a disk at a time: large enough to keep it busy, small enough to be many at once."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file. `digest` is its SHA-256, empty where it was put there by others and was not read; `time` is when it was
    written, and `created_by` an identity, empty for others.

    `mark` tells one content of the path from the next: an ETag, a file's time and inode, or the digest.
    """

    path: str
    size_bytes: int
    digest: str
    time: int
    created_by: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing: `path` is below the folder that was listed, so it is a name; folders have no size."""

    path: str
    is_folder: bool
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """A URL that works without credentials for a while; `size_bytes` of what is downloaded from it, `headers` to send along."""

    url: str
    size_bytes: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection of garbage removed: blobs, their bytes, and uploads that were never finished."""

    blobs: int
    size_bytes: int
    uploads: int


def tree_digest(files: Iterable[Artifact]) -> str:
    """One digest for a whole tree: of the paths and digests of its files, in order of the path, in canonical JSON."""
    return digest_of(sorted([file.path, file.digest] for file in files))


class Staged(Protocol):
    """A file being written. It is visible after `publish`, and only then."""

    def write(self, data: bytes) -> None:
        """Append. Raises Unavailable when there is no room."""

    def seal(self) -> tuple[str, int]:
        """Make what was written durable; returns digest and size. Nothing slow is left for `publish` to do.

        The digest is empty for what was sent past the server and is not read before it is seen.
        """

    def publish(self, change: Change) -> Artifact:
        """Give the file its path, as the last deed before the change is committed.

        Raises Conflict when the path, or a part of it, is a folder or a file and so cannot be the other.
        """

    def settle(self, *, committed: bool) -> None:
        """After the change: make the path durable, or take the file back."""

    def discard(self) -> None:
        """Drop whatever is not published. May be called again."""


def check_size(size: int, max_bytes: int | None) -> None:
    """Raises LimitExceeded for more."""
    if max_bytes is not None and size > max_bytes:
        raise LimitExceeded(f"An artifact has at most {max_bytes} bytes here.")


class Removal(Protocol):
    """A removal that is not settled yet. `files` have a digest where it is known without reading them."""

    files: list[Artifact]

    def settle(self, *, committed: bool) -> None:
        """After the change: make the removal last, or take it back where that can be done."""


class Reading(Protocol):
    """An open file; what is written to its path later does not change what is read."""

    artifact: Artifact

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes from `start` up to `end`. Where all are read and the digest is known, it is checked before the last is given."""

    def close(self) -> None:
        """Let go. May be called again."""


class Layout(Protocol):
    """A place that keeps artifacts. It is given paths that were checked, and a workspace that they lie in."""

    url: str
    place: str

    def stage(self, workspace: str, path: str) -> Staged:
        """Begin to write a file."""

    def open(self, workspace: str, path: str) -> Reading | None:
        """A file to read; None where there is none."""

    def find(self, workspace: str, path: str) -> Artifact | None:
        """What is known of a file without reading it; None where there is none."""

    def entries(self, workspace: str, folder: str) -> list[Entry]:
        """Files and folders right below a folder, by path; none for a folder that is not there."""

    def files(self, workspace: str, folder: str) -> list[Artifact]:
        """Every file below a folder with its digest, by path, which is relative to the folder."""

    def remove(self, change: Change, path: str) -> Removal:
        """Remove a file, or every file below a folder, as the last deed before the change is committed."""

    @property
    def signs(self) -> bool:
        """Whether `download_url` works."""

    @property
    def upload_headers(self) -> Mapping[str, str]:
        """What must be sent along with a signed upload."""

    @property
    def takes_signed_uploads(self) -> bool:
        """Whether `upload_url` works."""

    def download_url(self, workspace: str, path: str, *, seconds: int) -> str:
        """A URL from which anyone can read the file for a while."""

    def upload_url(self, workspace: str, path: str, *, seconds: int) -> str:
        """A URL to which anyone can write the file for a while, with PUT and `upload_headers`."""

    @property
    def parts(self) -> PartedStore | None:
        """The way to send files in parts past the server; None where there is none."""

    def parted_key(self, workspace: str, path: str, upload_id: str) -> str:
        """The object that the parts of an upload make."""

    def join(self, upload: UploadUnderWay, sent: Sequence[SentPart], *, max_bytes: int | None) -> Staged:
        """A file of parts that were sent: `seal` joins them. Nothing can be written to it.

        Raises LimitExceeded, from `seal`, for more bytes than that, which are gone then.
        """

    def give_up(self, upload: UploadUnderWay) -> None:
        """Let the store forget an upload. May be repeated."""

    def sweep(self, *, older_than_ms: int) -> int:
        """Remove what killed writers left behind. Returns how many files."""
