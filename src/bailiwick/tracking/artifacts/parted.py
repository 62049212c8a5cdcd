"""The verbs of uploads in parts: clients send the parts past the server, which begins, joins or gives up.

What is joined is published like every other write. What is not joined is not seen, and is given up after a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, InvalidInput, NotFound
from bailiwick.core.ids import new_id
from bailiwick.store.faults import reach
from bailiwick.store.parts.model import MAX_PARTS, PartAddress, SentPart
from bailiwick.store.records import Change, Records
from bailiwick.tracking.artifacts.model import Artifact, Layout, Staged
from bailiwick.tracking.artifacts.uploads import (
    UploadUnderWay,
    erase_upload,
    load_upload,
    save_upload,
    stale_uploads,
)

_BATCH = 100

Place = Callable[[str, str], tuple[Layout, str]]
"""The layout and the path in it of a path that a client names, in a workspace. Raises InvalidInput."""
Publish = Callable[[Actor, Staged], Artifact]


@dataclass(frozen=True, slots=True)
class BegunUpload:
    """Where each part goes; `id` names the upload to `complete` and `abort`."""

    id: str
    parts: tuple[PartAddress, ...]


class PartedUploads:
    """Uploads into the store that is offered to clients. `seconds` is how long a part may be sent; 0 offers none."""

    def __init__(self, records: Records, *, store: Layout, place: Place, publish: Publish, seconds: int) -> None:
        self._records = records
        self._store = store
        self._place = place
        self._publish = publish
        self._seconds = seconds

    @property
    def offered(self) -> bool:
        """Whether the store takes parts."""
        return bool(self._seconds) and self._store.parts is not None

    def begin(self, actor: Actor, path: str, *, count: int) -> BegunUpload:
        """Begin a file of so many parts. Raises Conflict where the store takes none."""
        actor.require(Permission.TRACKING_WRITE)
        if not 1 <= count <= MAX_PARTS:
            raise InvalidInput(f"A file is sent in 1 to {MAX_PARTS} parts, not {count}.", hint="Send larger parts.")
        layout, where = self._place(actor.workspace, path)
        parts = layout.parts if self.offered else None
        if parts is None:
            raise Conflict(f"{layout.url} does not take files in parts.", hint="Send the file whole.")
        upload_id = new_id()
        key = layout.parted_key(actor.workspace, where, upload_id)
        upload = parts.begin(key)
        committed = False
        try:
            with self._records.change(actor, Permission.TRACKING_WRITE) as change:
                row = UploadUnderWay(
                    upload_id, actor.workspace, layout.place, where, key, upload, change.time, actor.identity
                )
                save_upload(change, row)
                change.record("artifact.upload_begun", _resource(where), upload=upload_id, parts=count)
            committed = True
        finally:
            if not committed:
                parts.abort(key, upload)
        addresses = (parts.address(key, upload, number, seconds=self._seconds) for number in range(1, count + 1))
        return BegunUpload(upload_id, tuple(addresses))

    def complete(
        self, actor: Actor, path: str, upload_id: str, sent: Sequence[SentPart], *, max_bytes: int | None = None
    ) -> Artifact:
        """Join the parts. Raises NotFound for an upload that is over or is of another path, InvalidInput for parts that do not fit.

        Joined bytes past `max_bytes` are refused, and gone.
        """
        actor.require(Permission.TRACKING_WRITE)
        layout, row = self._under_way(actor, path, upload_id)
        numbers = [part.number for part in sent]
        if not numbers or len(set(numbers)) != len(numbers) or min(numbers) < 1 or max(numbers) > MAX_PARTS:
            raise InvalidInput(f"The parts of an upload have numbers from 1 to {MAX_PARTS}, each once.")
        staged = layout.join(row, sorted(sent, key=lambda part: part.number), max_bytes=max_bytes)
        joined = _Joined(staged, row)
        try:
            return self._publish(actor, joined)
        finally:
            joined.discard()

    def abort(self, actor: Actor, path: str, upload_id: str) -> None:
        """Give an upload up; one that is over is no error, so it can be repeated."""
        actor.require(Permission.TRACKING_WRITE)
        try:
            layout, row = self._under_way(actor, path, upload_id)
        except NotFound:
            return
        layout.give_up(row)
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            erase_upload(change, row.id)
            change.record("artifact.upload_aborted", _resource(row.path), upload=row.id)

    def give_up_stale(self, actor: Actor, *, begun_before: int) -> int:
        """Give up uploads of any workspace that were begun long ago. Returns how many. May be repeated."""
        actor.require(Permission.TRACKING_WRITE)
        if self._store.parts is None:
            return 0
        count = 0
        while True:
            with self._records.read() as connection:
                stale = stale_uploads(connection, self._store.place, begun_before=begun_before, limit=_BATCH)
            if not stale:
                return count
            for row in stale:
                self._store.give_up(row)
            with self._records.change(actor, Permission.TRACKING_WRITE) as change:
                gone = sum(erase_upload(change, row.id) for row in stale)
                change.record("artifacts.uploads_aborted", "artifact/", uploads=gone)
            count += gone

    def _under_way(self, actor: Actor, path: str, upload_id: str) -> tuple[Layout, UploadUnderWay]:
        layout, where = self._place(actor.workspace, path)
        with self._records.read() as connection:
            row = load_upload(connection, actor.workspace, upload_id)
        if row is None or (row.place, row.path) != (layout.place, where):
            raise NotFound(
                f"There is no upload {upload_id[:64]!r} of artifact {where!r} under way.",
                hint="It was joined, given up, or begun for another path.",
            )
        return layout, row


class _Joined:
    """What was joined, on its way to be seen: the row of the upload goes in the same change."""

    def __init__(self, staged: Staged, row: UploadUnderWay) -> None:
        self._staged = staged
        self._row = row

    def write(self, data: bytes) -> None:
        """Nothing more can be written."""
        self._staged.write(data)

    def seal(self) -> tuple[str, int]:
        """Join."""
        sealed = self._staged.seal()
        reach("artifacts.joined")
        return sealed

    def publish(self, change: Change) -> Artifact:
        """Give the file its path."""
        if not erase_upload(change, self._row.id):
            raise NotFound(f"Upload {self._row.id} was joined or given up in the meantime.")
        return self._staged.publish(change)

    def settle(self, *, committed: bool) -> None:
        """As the layout does."""
        self._staged.settle(committed=committed)

    def discard(self) -> None:
        """As the layout does."""
        self._staged.discard()


def _resource(path: str) -> str:
    return f"artifact/{path[:500]}"
