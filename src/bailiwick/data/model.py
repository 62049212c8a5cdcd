"""What a snapshot is: a dataset's rows at one moment, never changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows of `dataset` under one content digest; equal rows ingested twice are one snapshot.

    `columns` are (name, Arrow type) in order; `table` and `table_version` say which Delta table holds the rows;
    `time_from` and `time_to` are the first and last event time in UTC milliseconds, both included, or None without a
    time column; `statistics` and `schema` are blob digests (`schema` is "" where none was given).
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
