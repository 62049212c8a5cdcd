"""What a snapshot is: a dataset's rows at one moment, never changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a snapshot's rows: a Delta table at a version, or what stays where it is, in files or on an engine.

    `origin` is, for files, the blob that says which files, with which digests, read how; for an engine, of what; "" for a
    table. `engine` is what a record may say of the engine that holds the rows; "" elsewhere.
    """

    rows: int
    table: str = ""
    version: int = 0
    origin: str = ""
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows of `dataset` under one content digest; equal rows ingested twice are one snapshot.

    `columns` are (name, Arrow type) in order; `table` and `table_version` say which Delta table holds the rows (of a
    snapshot in several parts: the newest of them; "" where the rows stay in their files);
    `time_from` and `time_to` are the first and last event time in UTC milliseconds, both included, or None without a
    time column; `statistics` and `schema` are blob digests (`schema` is "" where none was given). `statistics_rows` are
    the rows that statistics were computed of: fewer than `rows` where those are a uniform sample. `parts` are all parts in
    order of their rows, `origin` the blob that tells what was read ("" where it was a table in memory), `deleted` when it
    was deleted, in UTC milliseconds.
    """

    id: str
    workspace: str
    dataset: str
    digest: str
    rows: int
    columns: tuple[tuple[str, str], ...]
    table: str
    table_version: int
    time_from: int | None
    time_to: int | None
    source: str
    created: int
    statistics: str
    schema: str
    statistics_rows: int = 0
    parts: tuple[Part, ...] = ()
    origin: str = ""
    deleted: int | None = None

    @property
    def engine(self) -> str:
        """The engine that all rows stay on, as a record may say it; "" where they are in tables or files."""
        return self.parts[0].engine if self.parts else ""


@dataclass(frozen=True, slots=True)
class Labels:
    """What people call a snapshot: `names` are unique in the dataset and can be moved; `tags` are free."""

    names: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnDifference:
    """One column in two snapshots: its types ("" where it is not there) and its statistics side by side."""

    column: str
    change: Literal["same", "added", "removed", "retyped"]
    types: tuple[str, str]
    statistics: dict[str, tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True)
class SnapshotComparison:
    """Two snapshots side by side. `equal` means equal digests: the same columns, rows and order."""

    one: Snapshot
    other: Snapshot
    equal: bool
    rows_added: int
    columns: tuple[ColumnDifference, ...]
