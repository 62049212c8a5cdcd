"""From a source to a snapshot, in one stream and constant memory: copied, left in place, or added to the newest snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self

import pyarrow as pa
from msgspec.structs import replace

from bailiwick.core.actor import Actor
from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.core.errors import Conflict, InvalidInput
from bailiwick.core.ids import new_id
from bailiwick.data.arrow_types import storable, type_name
from bailiwick.data.model import Part, Snapshot
from bailiwick.data.origin import Origin
from bailiwick.data.passing import Pass, newer
from bailiwick.data.reading.places import Place
from bailiwick.data.sources import FileMark, Source, SourceOptions, open_source
from bailiwick.data.statistics.packing import pack, unpack
from bailiwick.store.blobs import BlobStore
from bailiwick.store.delta import DeltaTables

_STREAMED = "s-"
_GROUP_ROWS = 262_144
_GROUP_BYTES = 32 << 20
__all__ = ["Keeping", "Origin"]


class Recorder(Protocol):
    """What keeping needs of the service whose snapshots it makes."""

    def record(self, actor: Actor, snapshot: Snapshot) -> Snapshot:
        """Put it on record, or return the one with the same rows."""

    def snapshots(self, workspace: str, dataset: str | None = None) -> list[Snapshot]:
        """Kept snapshots, newest first."""

    def batches(
        self, workspace: str, snapshot_id: str, columns: Sequence[str] | None = None, *, skip: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """A snapshot's rows after the first `skip`."""

    def tables_of(self, workspace: str, dataset: str) -> set[str]:
        """Every table that a snapshot of the dataset is in, deleted or not."""


class Keeping:
    """The making of one snapshot."""

    def __init__(
        self,
        recorder: Recorder,
        tables: DeltaTables,
        blobs: BlobStore,
        actor: Actor,
        dataset: str,
        *,
        folder: str,
        time_column: str,
        schema: bytes,
    ) -> None:
        self._recorder = recorder
        self._tables = tables
        self._blobs = blobs
        self._actor = actor
        self._dataset = dataset
        self._folder = folder
        self._time_column = time_column
        self._schema = schema

    def copied(self, source: Source) -> Snapshot:
        """All rows into a table of their own."""
        with _Marks(source) as marks, self._pass(source) as seen:
            return self._written(seen, _tables(source), lambda: Origin(source.name, marks.all()), before=None)

    def in_place(self, source: Source) -> Snapshot:
        """No rows anywhere but where they are."""
        if not source.files:
            raise InvalidInput(
                f"{source.name} is not made of files, so its rows cannot stay where they are.", hint="Copy them."
            )
        with _Marks(source) as marks, self._pass(source) as seen:
            for rows in _tables(source):
                seen.take(rows)
            origin = Origin(source.name, marks.all(), source.options, tuple(source.schema.names))
            kept = self._blobs.put(origin.to_json())
            return self._recorded(seen, origin, (Part(seen.rows, origin=kept),), new_id())

    def added(
        self, source: str, base: Path, *, options: SourceOptions, columns: Sequence[str] | None, watermark: str
    ) -> Snapshot:
        """The newest snapshot's rows, which stay where they are, and the new ones in a table of their own."""
        before, known = self._newest(watermark)
        digests = {mark.digest for mark in known.files} if known else set()
        by_name = {mark.name: mark.digest for mark in known.files} if known else {}

        def is_known(place: Place) -> bool:
            mark = place.mark()
            if by_name.get(mark.name, mark.digest) != mark.digest:
                raise Conflict(
                    f"{mark.name} was ingested before and has other bytes now.", hint="Ingest the whole source anew."
                )
            return mark.digest in digests

        opened = open_source(
            source, base, columns=columns, options=options, known=is_known if before and not watermark else None
        )
        marks = [] if watermark else opened.marks()
        if before and not watermark and not marks:
            return before
        if not watermark and not opened.files:
            raise InvalidInput(
                f"{opened.name} is not made of files; say which column tells new rows.", hint="Name a watermark column."
            )
        rows: Iterable[pa.Table] = _tables(opened)
        if watermark and known:
            rows = (newer(storable(table), watermark, known.watermark) for table in rows)
        files = (*(known.files if known else ()), *marks)
        origin = Origin(opened.name, files, after=before.id if before else "", watermark_column=watermark)
        with self._pass(opened, watermark) as seen:
            return self._written(seen, rows, lambda: origin, before=before, goes_on=True)

    def _pass(self, source: Source, watermark: str = "") -> Pass:
        try:
            return Pass(source.schema, time_column=self._time_column, watermark=watermark)
        except InvalidInput as error:
            raise InvalidInput(f"{source.name}: {error.message}", hint=error.hint) from error

    def _newest(self, watermark: str) -> tuple[Snapshot | None, Origin | None]:
        """The snapshot to go on from; none where the newest does not say how far it got."""
        for newest in self._recorder.snapshots(self._actor.workspace, self._dataset)[:1]:
            if newest.origin:
                origin = Origin.from_json(self._blobs.get(newest.origin))
                if origin.watermark_column == watermark and (watermark or origin.files):
                    return newest, origin
        return None, None

    def _written(
        self,
        seen: Pass,
        rows: Iterable[pa.Table],
        read: Callable[[], Origin],
        *,
        before: Snapshot | None,
        goes_on: bool = False,
    ) -> Snapshot:
        """`read` tells what was read, once it has been; `goes_on`: later rows may be added to these."""
        self._sweep()
        identity = new_id()
        table = f"{self._folder}/{_STREAMED}{identity}"
        own = 0
        if before is not None:
            self._same_columns(seen, before)
            known = Origin.from_json(self._blobs.get(before.origin))
            counted = self._counted(seen, before, known)
            skip = self._digested(seen, before, known) if counted else 0
            for batch in self._recorder.batches(self._actor.workspace, before.id, skip=skip):
                seen.take(pa.Table.from_batches([batch]), counted=counted)
        with self._tables.writer(table, seen.schema) as writer:
            for found in rows:
                settled = seen.take(found)
                own += settled.num_rows
                writer.write(settled)
            if before is not None and not own:
                return before
            origin = read()
            writer.commit(application=f"bailiwick.snapshot.{identity}")
        if goes_on:
            origin = replace(
                origin, counted=self._packed(seen), digested=seen.digest.digested(), time_column=self._time_column
            )
        origin = replace(origin, watermark=seen.watermark)
        parts = (*(before.parts if before else ()), Part(own, table, 0))
        made = self._recorded(seen, origin, parts, identity)
        if made.id != identity:  # the same rows were there already
            self._tables.drop(table)
        return made

    def _counted(self, seen: Pass, before: Snapshot, known: Origin) -> bool:
        """Whether what was counted of the rows before was kept, and is gone on from; they are counted again where it was not."""
        counted = unpack(self._blobs.get(known.counted)) if known.counted else None
        if counted is None or counted.rows != before.rows:
            return False
        seen.go_on(counted)
        return True

    def _digested(self, seen: Pass, before: Snapshot, known: Origin) -> int:
        """How many of the rows before need not be read, since all that was found of them is known."""
        if known.digested is None or known.time_column != self._time_column:
            return 0
        seen.go_on_after(known.digested, time_from=before.time_from, time_to=before.time_to)
        return known.digested.rows

    def _packed(self, seen: Pass) -> str:
        packed = pack(seen.part())
        return self._blobs.put(packed) if packed is not None else ""

    def _same_columns(self, seen: Pass, before: Snapshot) -> None:
        columns = _columns(seen)
        if columns != before.columns:
            raise Conflict(
                f"The source's columns are not those of snapshot {before.id}: {columns} and {before.columns}.",
                hint="Ingest the whole source anew.",
            )

    def _recorded(self, seen: Pass, origin: Origin, parts: tuple[Part, ...], identity: str) -> Snapshot:
        newest = parts[-1]
        snapshot = Snapshot(
            id=identity,
            workspace=self._actor.workspace,
            dataset=self._dataset,
            digest=seen.digest.hexdigest(),
            rows=seen.rows,
            columns=_columns(seen),
            table=newest.table,
            table_version=newest.version,
            time_from=seen.time_from,
            time_to=seen.time_to,
            source=origin.source,
            created=0,
            statistics=self._blobs.put(seen.statistics(self._dataset)),
            schema=self._blobs.put(self._schema) if self._schema else "",
            statistics_rows=seen.rows,
            parts=parts,
            origin=self._blobs.put(origin.to_json()),
        )
        return self._recorder.record(self._actor, snapshot)

    def _sweep(self) -> None:
        """Remove tables that a killed process left a day ago or more without a record."""
        left = [name for name in self._tables.tables_in(self._folder) if name.startswith(_STREAMED)]
        old = [name for name in left if _made(name) < time.time() * 1000 - MILLISECONDS_PER_DAY]
        if old:
            kept = self._recorder.tables_of(self._actor.workspace, self._dataset)
            for name in old:
                if f"{self._folder}/{name}" not in kept:
                    self._tables.drop(f"{self._folder}/{name}")


class _Marks:
    """The digests of a source's files, made while its rows are read. Use it in a `with` block, which ends its thread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._running = [self._pool.submit(place.mark) for place in source.files]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def all(self) -> tuple[FileMark, ...]:
        """Raises Conflict for a file that changed."""
        found = tuple(each.result() for each in self._running)
        self._source.verify_unchanged()
        return found


def _made(name: str) -> int:
    """When a table's id was made, in UTC milliseconds: the first 48 bits of a UUIDv7."""
    try:
        return int(name.removeprefix(_STREAMED)[:12], 16)
    except ValueError:
        return time.time_ns()


def _columns(seen: Pass) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, type_name(field.type)) for field in seen.schema)


def _tables(source: Source) -> Iterator[pa.Table]:
    """Batches in groups, so that what costs per batch costs little; text may be dictionary-coded."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in source.coded():
        if held and batch.schema != held[0].schema:
            yield pa.Table.from_batches(held)
            held, rows, size = [], 0, 0
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)
