"""Keeping snapshots: rows first, then statistics, and the record last, so that a record always has all of its rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import AlreadyExists, Conflict, Corrupted, InvalidInput, NotFound
from bailiwick.core.ids import new_id
from bailiwick.data import tables as sql
from bailiwick.data.arrow_types import storable, type_name
from bailiwick.data.catalogue import NAME, SnapshotCatalogue, tag
from bailiwick.data.comparing import compare_snapshots
from bailiwick.data.digest import BLOCK_ROWS, WHOLE, RunningDigest, table_digest
from bailiwick.data.model import Part, Snapshot, SnapshotComparison
from bailiwick.data.passing import time_range
from bailiwick.data.rows import to_row
from bailiwick.data.splits import TAG, Split, assign
from bailiwick.data.statistics import compute_statistics
from bailiwick.store.blobs import BlobStore
from bailiwick.store.delta import DeltaTables, after
from bailiwick.store.records import Records

if TYPE_CHECKING:
    import pyarrow as pa

    from bailiwick.data import exporting, keeping, sources
    from bailiwick.data.engines.standing import Standing
    from bailiwick.data.origin import Origin
    from bailiwick.data.sources import Source, SourceOptions
else:
    pa = deferred("pyarrow")
    sources, keeping = deferred("bailiwick.data.sources"), deferred("bailiwick.data.keeping")
    exporting = deferred("bailiwick.data.exporting")

_FIRST_VERSION = 0  # a snapshot's table is written by one commit, so all of its rows are in version 0


class DataService(SnapshotCatalogue):
    """Datasets and their snapshots. Rows are in Delta, statistics and schemas in blobs, records in SQL."""

    def __init__(self, records: Records, tables: DeltaTables, blobs: BlobStore) -> None:
        super().__init__(records)
        self._tables = tables
        self._blobs = blobs

    def ingest(
        self, actor: Actor, dataset: str, table: pa.Table, *, source: str, time_column: str = "", schema: bytes = b""
    ) -> Snapshot:
        """Keep the rows as a snapshot and return it; the same rows again return the snapshot that exists.

        `time_column` is a timestamp, date, or whole UTC milliseconds; `schema` is the text of the schema the rows were
        held against. A process killed anywhere in between leaves no record, and the next call completes the work.
        """
        check_dataset(actor, dataset)
        rows = storable(table)
        digest = table_digest(rows)
        existing = self._find(actor.workspace, dataset, digest)
        if existing is None and rows.num_rows > BLOCK_ROWS:
            existing = self._find(actor.workspace, dataset, table_digest(rows, block_rows=WHOLE))
        if existing is not None:
            return self.again(actor, existing)
        time_from, time_to = time_range(rows, time_column)
        table_name = f"{dataset_folder(actor.workspace, dataset)}/{digest[:16]}"
        snapshot = Snapshot(
            id=new_id(),
            workspace=actor.workspace,
            dataset=dataset,
            digest=digest,
            rows=rows.num_rows,
            columns=tuple((field.name, type_name(field.type)) for field in rows.schema),
            table=table_name,
            table_version=_FIRST_VERSION,
            time_from=time_from,
            time_to=time_to,
            source=source,
            created=0,
            statistics="",
            schema="",
            statistics_rows=rows.num_rows,
            parts=(Part(rows.num_rows, table_name, _FIRST_VERSION),),
        )
        self._write_rows(snapshot, rows)
        statistics = compute_statistics(rows, name=dataset).SerializeToString(deterministic=True)
        schema_digest = self._blobs.put(schema) if schema else ""
        return self._record(actor, replace(snapshot, statistics=self._blobs.put(statistics), schema=schema_digest))

    def ingest_source(
        self,
        actor: Actor,
        dataset: str,
        source: Source,
        *,
        time_column: str = "",
        schema: bytes = b"",
        in_place: bool = False,
    ) -> Snapshot:
        """Keep a source's rows as a snapshot, in a stream: memory does not grow with them.

        `in_place` leaves the rows in their files and keeps the files' digests, which every later read checks. Nothing is
        kept when the source cannot be read to its end, changes meanwhile, or the disk is full. Raises InvalidInput, Conflict,
        Unavailable.
        """
        work = self._keeping(actor, dataset, time_column, schema)
        return work.in_place(source) if in_place else work.copied(source)

    def ingest_new(
        self,
        actor: Actor,
        dataset: str,
        source: str,
        base: Path,
        *,
        options: SourceOptions | None = None,
        columns: Sequence[str] | None = None,
        watermark: str = "",
        time_column: str = "",
        schema: bytes = b"",
    ) -> Snapshot:
        """Add what is new in `source` to the dataset's newest snapshot, as a new snapshot of both; or return that one.

        New are files whose digest no earlier file had, or, with `watermark`, rows above the highest value that column had.
        The rows that were there are neither read from the source nor written again. Repeated, or killed and repeated,
        it adds each row once. Raises Conflict where a file that was read has other bytes now.
        """
        work = self._keeping(actor, dataset, time_column, schema)
        return work.added(
            source, base, options=options or sources.SourceOptions(), columns=columns, watermark=watermark
        )

    def refer(
        self, actor: Actor, dataset: str, standing: Standing, *, engine: str, source: str, statistics: bytes
    ) -> Snapshot:
        """Keep a snapshot of rows that stay on an engine; the same rows again are the snapshot that exists.

        `engine` and `source` are what a record may say of where they are. Its rows are not read by this service.
        """
        check_dataset(actor, dataset)
        named = f"{engine}: {source}"
        origin = self._blobs.put(keeping.Origin(named, start=standing.start, end=standing.end).to_json())
        snapshot = Snapshot(
            id=new_id(),
            workspace=actor.workspace,
            dataset=dataset,
            digest=standing.digest,
            rows=standing.rows,
            columns=standing.columns,
            table="",
            table_version=0,
            time_from=standing.time_from,
            time_to=standing.time_to,
            source=named,
            created=0,
            statistics=self._blobs.put(statistics),
            schema="",
            statistics_rows=standing.rows,
            parts=(Part(standing.rows, origin=origin, engine=engine),),
            origin=origin,
        )
        return self.record(actor, snapshot)

    def origin(self, snapshot: Snapshot) -> Origin | None:
        """What a snapshot was made from; None where that was a table in memory."""
        return keeping.Origin.from_json(self._blobs.get(snapshot.origin)) if snapshot.origin else None

    def read(self, workspace: str, snapshot_id: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows in the order they were ingested, all columns or those named. Raises NotFound, InvalidInput, Conflict."""
        snapshot = self.snapshot(workspace, snapshot_id)
        chosen = self._chosen(snapshot, columns)
        batches = list(self._batches(snapshot, chosen))
        if not batches:
            return self._empty(snapshot, chosen)
        return storable(pa.Table.from_batches(batches))

    def batches(
        self, workspace: str, snapshot_id: str, columns: Sequence[str] | None = None, *, skip: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """The same rows in a stream, from the one after `skip` on: parts and row groups before it are not read.

        Raises Corrupted at its end when rows are missing; Conflict for a deleted snapshot.
        """
        snapshot = self.snapshot(workspace, snapshot_id)
        yield from self._batches(snapshot, self._chosen(snapshot, columns), skip=skip)

    def reader(
        self, workspace: str, snapshot_id: str, columns: Sequence[str] | None = None, *, added: bool = False
    ) -> pa.RecordBatchReader:
        """The same stream with its schema, which is there without rows too; `added` is of what the newest part added only."""
        snapshot = self.snapshot(workspace, snapshot_id)
        chosen = self._chosen(snapshot, columns)
        schema = self._empty(snapshot, chosen).schema
        found = self._part(snapshot.parts[-1], chosen) if added else self._batches(snapshot, chosen)
        stored = (
            each for batch in found for each in storable(pa.Table.from_batches([batch])).cast(schema).to_batches()
        )
        return pa.RecordBatchReader.from_batches(schema, stored)

    def rows(self, workspace: str, snapshot_id: str) -> SnapshotRows:
        """The same rows to be read again and again, with their schema. Raises NotFound, Conflict."""
        snapshot = self.snapshot(workspace, snapshot_id)
        return SnapshotRows(self, snapshot, self._empty(snapshot, self._chosen(snapshot, None)).schema)

    def statistics(self, workspace: str, snapshot_id: str) -> bytes:
        """The serialised `DatasetFeatureStatisticsList` of the snapshot (TFDV's format)."""
        return self._blobs.get(self.snapshot(workspace, snapshot_id).statistics)

    def compare(self, workspace: str, one: str, other: str) -> SnapshotComparison:
        """Two snapshots side by side: columns, rows, digest, statistics. Raises NotFound."""
        first, second = self.snapshot(workspace, one), self.snapshot(workspace, other)
        return compare_snapshots(first, second, self._blobs.get(first.statistics), self._blobs.get(second.statistics))

    def export(self, actor: Actor, snapshot_id: str, path: Path, *, format: str = "") -> Snapshot:  # noqa: A002
        """Write the rows to a Parquet, CSV or Arrow file, which appears only whole and of the snapshot's digest.

        `format` is told by the file's ending where it is left out. Raises AlreadyExists, Corrupted, Unavailable.
        """
        actor.require(Permission.READ)
        snapshot = self.snapshot(actor.workspace, snapshot_id)
        names = [name for name, _ in snapshot.columns]
        exporting.write_file(
            path, format, self._empty(snapshot, names), self._batches(snapshot, names), snapshot.digest
        )
        with self._records.change(actor, Permission.READ) as change:
            change.record("snapshot.exported", f"dataset/{snapshot.dataset}", snapshot=snapshot.id, file=path.name)
        return snapshot

    def split_snapshot(self, actor: Actor, snapshot_id: str, name: str, split: Split) -> Snapshot:
        """Record how a snapshot is divided, under a name; the same again changes nothing. Raises Conflict for another split
        of that name, InvalidInput for a column that the snapshot cannot be split by (of rows on an engine, whoever divides
        them there has to say so).
        """
        found = self.snapshot(actor.workspace, snapshot_id)
        if not NAME.fullmatch(name):
            raise InvalidInput(f"Split name {name!r} may hold only a-z 0-9 _ . - and begins with a letter or digit.")
        before = self.labels(actor.workspace, snapshot_id).tags.get(TAG + name)
        if before is not None and Split.from_json(json.loads(before)) != split:
            raise Conflict(
                f"Snapshot {snapshot_id} has another split called {name!r}.", hint="Give this one another name."
            )
        if before is None:
            needed = [split.column] if split.column and not found.engine else []
            for batch in self._batches(found, self._chosen(found, needed)) if needed else ():
                assign(split, pa.Table.from_batches([batch]))
            with self._records.change(actor, Permission.DATA_WRITE) as change:
                tag(change, found, TAG + name, json.dumps(split.to_json()))
                change.record(
                    "snapshot.split", f"dataset/{found.dataset}", snapshot=found.id, name=name, split=split.to_json()
                )
        actor.require(Permission.DATA_WRITE)
        return found

    def split_of(self, workspace: str, snapshot_id: str, name: str) -> Split:
        """A recorded split. Raises NotFound."""
        known = self.labels(workspace, snapshot_id).tags
        if TAG + name not in known:
            names = [key.removeprefix(TAG) for key in known if key.startswith(TAG)]
            raise NotFound.of("Split", name, names)
        return Split.from_json(json.loads(known[TAG + name]))

    def part_batches(
        self, workspace: str, snapshot_id: str, name: str, part: str, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of one part of a recorded split, in a stream. Raises NotFound, InvalidInput."""
        split = self.split_of(workspace, snapshot_id, name)
        snapshot = self.snapshot(workspace, snapshot_id)
        names = [each for each, _ in split.shares]
        if part not in names:
            raise InvalidInput.choice(f"Part of split {name!r}", part, names)
        chosen = self._chosen(snapshot, columns)
        read = [*chosen, *([split.column] if split.column and split.column not in chosen else [])]
        cut = None
        if split.kind == "time":  # the cuts depend on every moment, so this one column is read first
            moments = pa.Table.from_batches(list(self._batches(snapshot, [split.column])))
            cut = assign(split, moments).astype("int8")
        first = 0
        for batch in self._batches(snapshot, read):
            rows = pa.Table.from_batches([batch])
            numbers = assign(split, rows, first_row=first) if cut is None else cut[first : first + len(batch)]
            first += len(batch)
            yield from rows.filter(pa.array(numbers == names.index(part))).select(chosen).to_batches()

    def _keeping(self, actor: Actor, dataset: str, time_column: str, schema: bytes) -> keeping.Keeping:
        check_dataset(actor, dataset)
        folder = dataset_folder(actor.workspace, dataset)
        return keeping.Keeping(
            self, self._tables, self._blobs, actor, dataset, folder=folder, time_column=time_column, schema=schema
        )

    def again(self, actor: Actor, existing: Snapshot) -> Snapshot:
        """The same rows were ingested again: the snapshot that exists, restored where it was deleted."""
        return existing if existing.deleted is None else self.restore_snapshot(actor, existing.id)

    def _empty(self, snapshot: Snapshot, columns: Sequence[str]) -> pa.Table:
        for part in snapshot.parts:
            if part.table:
                schema = self._tables.open(part.table, part.version).to_pyarrow_dataset().schema
                return storable(schema.empty_table()).select(list(columns))
        source, _ = self._in_place(snapshot.parts[0], columns)
        return storable(source.schema.empty_table())

    def _chosen(self, snapshot: Snapshot, columns: Sequence[str] | None) -> list[str]:
        if snapshot.deleted is not None:
            raise Conflict(f"Snapshot {snapshot.id} was deleted.", hint="Restore it first.")
        known = [name for name, _ in snapshot.columns]
        for name in columns or ():
            if name not in known:
                raise InvalidInput.choice(f"Column of snapshot {snapshot.id}", name, known)
        return known if columns is None else list(columns)

    def _batches(self, snapshot: Snapshot, columns: list[str], *, skip: int = 0) -> Iterator[pa.RecordBatch]:
        found = skipped = 0
        for part in snapshot.parts:
            over = min(part.rows, skip - skipped)
            skipped += over
            found += over
            for batch in self._part(part, columns, over) if over < part.rows or not skip else ():
                found += batch.num_rows
                yield batch
        if found != snapshot.rows:
            raise Corrupted(f"Snapshot {snapshot.id} should have {snapshot.rows} rows; its table has {found}.")

    def _part(self, part: Part, columns: list[str], skip: int = 0) -> Iterator[pa.RecordBatch]:
        if part.table:
            yield from self._tables.batches(part.table, version=part.version, columns=columns, skip=skip)
            return
        source, expected = self._in_place(part, columns)
        for mark, kept in zip(source.marks(), expected, strict=True):
            if mark.digest != kept:
                raise Corrupted(f"{mark.name} is not the file that was ingested: {mark.digest}, and it was {kept}.")
        for batch in after(source, skip):
            yield from storable(pa.Table.from_batches([batch])).to_batches()

    def _in_place(self, part: Part, columns: Sequence[str]) -> tuple[Source, list[str]]:
        if part.engine:
            raise Conflict(
                f"The rows of this snapshot stay on {part.engine}, and are not read here.",
                hint="Look at them with --engine, or keep a copy: bailiwick data snapshot SOURCE.",
            )
        origin = keeping.Origin.from_json(self._blobs.get(part.origin))
        source = sources.open_files([mark.name for mark in origin.files], columns=columns, options=origin.options)
        return source, [mark.digest for mark in origin.files]

    def _write_rows(self, snapshot: Snapshot, rows: pa.Table) -> None:
        """One Delta commit; where a killed process already made it, check that it did and write nothing."""
        if not self._tables.exists(snapshot.table):
            with self._tables.writer(snapshot.table, rows.schema) as writer:
                writer.write(rows)
                try:
                    writer.commit(application=application(snapshot.digest))
                except AlreadyExists:  # another process is ingesting the same rows: its table is as good
                    writer.discard()
        written = self._tables.open(snapshot.table, _FIRST_VERSION)
        count = sum(written.get_add_actions(flatten=True).column("num_records").to_pylist())
        if written.transaction_version(application(snapshot.digest)) != 0 or count != snapshot.rows:
            raise Corrupted(f"Table {snapshot.table} holds other rows than {snapshot.dataset} {snapshot.digest}.")

    def _record(self, actor: Actor, snapshot: Snapshot) -> Snapshot:
        try:
            with self._records.change(actor, Permission.DATA_WRITE) as change:
                made = replace(snapshot, created=change.time)
                change.execute(insert(sql.snapshots).values(**to_row(made)))
                change.record(
                    "snapshot.ingested",
                    f"dataset/{made.dataset}",
                    snapshot=made.id,
                    digest=made.digest,
                    rows=made.rows,
                    source=made.source[:2000],
                )
        except IntegrityError:  # another process ingested the same rows meanwhile
            other = self._find(snapshot.workspace, snapshot.dataset, snapshot.digest)
            if other is None:
                raise
            return self.again(actor, other)
        return made

    def record(self, actor: Actor, snapshot: Snapshot) -> Snapshot:
        """Put a snapshot whose rows are all there on record, or return the one that has the same rows."""
        existing = self._find(snapshot.workspace, snapshot.dataset, snapshot.digest) or self._kept_earlier(snapshot)
        return self._record(actor, snapshot) if existing is None else self.again(actor, existing)

    def _kept_earlier(self, snapshot: Snapshot) -> Snapshot | None:
        """The snapshot of the same rows whose digest is of the form of earlier versions, which differs for many rows.

        Only one with the same statistics can be it, and is read to see.
        """
        alike = self._like(snapshot) if snapshot.rows > BLOCK_ROWS else []
        for other in alike:
            schema = self._empty(other, [name for name, _ in other.columns]).schema
            with RunningDigest(schema) as running:
                for batch in self._batches(other, schema.names):
                    running.update(storable(pa.Table.from_batches([batch])))
                if running.hexdigest() == snapshot.digest:
                    return other
        return None

    def _find(self, workspace: str, dataset: str, digest: str) -> Snapshot | None:
        return self._by_digest(workspace, dataset, digest)


class SnapshotRows:
    """A snapshot as rows for whatever counts a source's."""

    def __init__(self, data: DataService, snapshot: Snapshot, schema: pa.Schema) -> None:
        self.schema = schema
        self._data = data
        self._snapshot = snapshot

    def coded(self) -> Iterator[pa.RecordBatch]:
        """All rows, in order."""
        return self._data.batches(self._snapshot.workspace, self._snapshot.id)


def check_dataset(actor: Actor, dataset: str) -> None:
    """Raises NotAllowed, or InvalidInput for a name that could leave its folder."""
    actor.require(Permission.DATA_WRITE)
    if not NAME.fullmatch(dataset):
        raise InvalidInput(f"Dataset name {dataset!r} may hold only a-z 0-9 _ . - and begins with a letter or digit.")


def application(digest: str) -> str:
    """The name under which a snapshot's commit is known to its table."""
    return f"bailiwick.snapshot.{digest}"


def dataset_folder(workspace: str, dataset: str) -> str:
    """A folder per workspace: its name, or a digest of it where a Delta table could not be called so."""
    own = workspace if NAME.fullmatch(workspace) else f"w-{hashlib.sha256(workspace.encode()).hexdigest()[:32]}"
    return f"datasets/{own}/{dataset}"
