"""Keeping snapshots: rows first, then statistics, and the record last, so that a record always has all of its rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import Corrupted, InvalidInput, NotFound
from bailiwick.core.ids import new_id
from bailiwick.data import tables as sql
from bailiwick.data.arrow_types import instant, is_time, storable, type_name
from bailiwick.data.digest import table_digest
from bailiwick.data.model import Snapshot
from bailiwick.data.statistics import compute_statistics
from bailiwick.store.blobs import BlobStore
from bailiwick.store.delta import DeltaTables
from bailiwick.store.records import Records

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")

_NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,199}")
_SHORT_DIGESTS = (36, 16)
_WORDS_PER_QUERY = 5_000
_FIRST_VERSION = 0  # a snapshot's table is written by one commit, so all of its rows are in version 0


class DataService:
    """Datasets and their snapshots. Rows are in Delta, statistics and schemas in blobs, records in SQL."""

    def __init__(self, records: Records, tables: DeltaTables, blobs: BlobStore) -> None:
        self._records = records
        self._tables = tables
        self._blobs = blobs

    def ingest(
        self, actor: Actor, dataset: str, table: pa.Table, *, source: str, time_column: str = "", schema: bytes = b""
    ) -> Snapshot:
        """Keep the rows as a snapshot and return it; the same rows again return the snapshot that exists.

        `time_column` is a timestamp, date, or whole UTC milliseconds; `schema` is the text of the schema the rows were
        held against. A process killed anywhere in between leaves no record, and the next call completes the work.
        """
        actor.require(Permission.DATA_WRITE)
        if not _NAME.fullmatch(dataset):
            raise InvalidInput(
                f"Dataset name {dataset!r} may hold only a-z 0-9 _ . - and begins with a letter or digit."
            )
        rows = storable(table)
        digest = table_digest(rows)
        existing = self._find(actor.workspace, dataset, digest)
        if existing is not None:
            return existing
        time_from, time_to = _time_range(rows, time_column)
        snapshot = Snapshot(
            id=new_id(),
            workspace=actor.workspace,
            dataset=dataset,
            digest=digest,
            rows=rows.num_rows,
            columns=tuple((field.name, type_name(field.type)) for field in rows.schema),
            table=f"datasets/{_folder(actor.workspace)}/{dataset}/{digest[:16]}",
            table_version=_FIRST_VERSION,
            time_from=time_from,
            time_to=time_to,
            source=source,
            created=0,
            statistics="",
            schema="",
        )
        self._write_rows(snapshot, rows)
        statistics = compute_statistics(rows, name=dataset).SerializeToString(deterministic=True)
        schema_digest = self._blobs.put(schema) if schema else ""
        return self._record(actor, replace(snapshot, statistics=self._blobs.put(statistics), schema=schema_digest))

    def snapshot(self, workspace: str, snapshot_id: str) -> Snapshot:
        """One snapshot. Raises NotFound."""
        query = select(sql.snapshots).where(sql.snapshots.c.workspace == workspace, sql.snapshots.c.id == snapshot_id)
        with self._records.read() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFound.of("Snapshot", snapshot_id)
        return _from_row(row)

    def snapshots(self, workspace: str, dataset: str | None = None) -> list[Snapshot]:
        """Snapshots of one dataset or of all, newest first."""
        query = select(sql.snapshots).where(sql.snapshots.c.workspace == workspace)
        if dataset is not None:
            query = query.where(sql.snapshots.c.dataset == dataset)
        query = query.order_by(sql.snapshots.c.created.desc(), sql.snapshots.c.id.desc())
        with self._records.read() as connection:
            return [_from_row(row) for row in connection.execute(query).mappings()]

    def snapshots_named(self, workspace: str, words: Collection[str]) -> dict[str, str]:
        """The snapshot's id by word, where a word is a snapshot's id, its digest, or the first 36 or 16 digits of that.

        Short forms are there because MLflow's digests have at most 36 characters, and tables are called by 16.
        """
        columns = sql.snapshots.c
        short = [func.substr(columns.digest, 1, length) for length in _SHORT_DIGESTS]
        asked = sorted(words)[:_WORDS_PER_QUERY]
        known = or_(*[form.in_(asked) for form in (columns.id, columns.digest, *short)])
        query = select(columns.id, columns.digest).where(columns.workspace == workspace, known)
        found: dict[str, str] = {}
        with self._records.read() as connection:
            for row in connection.execute(query.order_by(columns.created, columns.id)):
                forms = (row.id, row.digest, *(row.digest[:length] for length in _SHORT_DIGESTS))
                found |= {form: row.id for form in forms if form in words}
        return found

    def datasets(self, workspace: str) -> list[str]:
        """Names of the datasets that have a snapshot, in order."""
        query = select(sql.snapshots.c.dataset).where(sql.snapshots.c.workspace == workspace).distinct()
        with self._records.read() as connection:
            return sorted(connection.scalars(query))

    def read(self, workspace: str, snapshot_id: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows in the order they were ingested, all columns or those named. Raises NotFound, InvalidInput."""
        snapshot = self.snapshot(workspace, snapshot_id)
        known = [name for name, _ in snapshot.columns]
        for name in columns or ():
            if name not in known:
                raise InvalidInput.choice(f"Column of snapshot {snapshot_id}", name, known)
        chosen = known if columns is None else list(columns)
        rows = storable(self._tables.read(snapshot.table, version=snapshot.table_version, columns=chosen))
        if rows.num_rows != snapshot.rows:
            raise Corrupted(f"Snapshot {snapshot_id} should have {snapshot.rows} rows; its table has {rows.num_rows}.")
        return rows.select(chosen)

    def statistics(self, workspace: str, snapshot_id: str) -> bytes:
        """The serialised `DatasetFeatureStatisticsList` of the snapshot (TFDV's format)."""
        return self._blobs.get(self.snapshot(workspace, snapshot_id).statistics)

    def _write_rows(self, snapshot: Snapshot, rows: pa.Table) -> None:
        """One Delta commit; where a killed process already made it, check that it did and write nothing."""
        if not self._tables.exists(snapshot.table):
            self._tables.append(snapshot.table, rows, transaction=(_application(snapshot.digest), 0))
        written = self._tables.open(snapshot.table, _FIRST_VERSION)
        count = sum(written.get_add_actions(flatten=True).column("num_records").to_pylist())
        if written.transaction_version(_application(snapshot.digest)) != 0 or count != snapshot.rows:
            raise Corrupted(f"Table {snapshot.table} holds other rows than {snapshot.dataset} {snapshot.digest}.")

    def _record(self, actor: Actor, snapshot: Snapshot) -> Snapshot:
        try:
            with self._records.change(actor, Permission.DATA_WRITE) as change:
                made = replace(snapshot, created=change.time)
                change.execute(insert(sql.snapshots).values(**_to_row(made)))
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
            return other
        return made

    def _find(self, workspace: str, dataset: str, digest: str) -> Snapshot | None:
        query = select(sql.snapshots).where(
            sql.snapshots.c.workspace == workspace,
            sql.snapshots.c.dataset == dataset,
            sql.snapshots.c.digest == digest,
        )
        with self._records.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _from_row(row)


def _application(digest: str) -> str:
    return f"bailiwick.snapshot.{digest}"


def _folder(workspace: str) -> str:
    """A folder per workspace: its name, or a digest of it where a Delta table could not be called so."""
    return workspace if _NAME.fullmatch(workspace) else f"w-{hashlib.sha256(workspace.encode()).hexdigest()[:32]}"


def _time_range(rows: pa.Table, column: str) -> tuple[int | None, int | None]:
    if not column:
        return None, None
    if column not in rows.column_names:
        raise InvalidInput.choice("Time column", column, rows.column_names)
    values = rows.column(column)
    if is_time(values.type):
        values = values.cast(instant()).cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64())
    elif not pa.types.is_integer(values.type):
        raise InvalidInput(
            f"Time column {column!r} is {type_name(values.type)}.",
            hint="Make it a timestamp, a date, or whole UTC milliseconds.",
        )
    ends = pc.min_max(values).as_py()
    return ends["min"], ends["max"]


def _to_row(snapshot: Snapshot) -> dict[str, Any]:
    row = {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}
    return row | {"columns": json.dumps(snapshot.columns)}


def _from_row(row: Any) -> Snapshot:
    return Snapshot(**{**row, "columns": tuple((name, kind) for name, kind in json.loads(row["columns"]))})
