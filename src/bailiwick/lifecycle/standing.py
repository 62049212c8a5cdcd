"""A project's rows on the engine where they stay: opened, held against the snapshot that refers to them, and looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import Conflict, InvalidInput
from bailiwick.data.engines.engine import RowEngine, engine_name
from bailiwick.data.engines.model import Column, Kind
from bailiwick.data.engines.standing import between, fingerprint, row_engine, schema_of, time_column
from bailiwick.data.model import Snapshot
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.project import Project

if TYPE_CHECKING:
    import pyarrow as pa

    from bailiwick.data.engines import profiling
    from bailiwick.data.profile import Profile
else:
    profiling = deferred("bailiwick.data.engines.profiling")

_LIKE_A_KEY = 100
_YEAR_1973 = 10**11
_YEAR = 365 * MILLISECONDS_PER_DAY


@contextmanager
def opened(platform: Platform, project: Project) -> Iterator[RowEngine]:
    """The engine of `data.engine` over `data.source`. Raises InvalidInput, MissingExtra, Unavailable; none tells a password."""
    with closing(platform.open_engine(project.data.engine or "", project.data.source, project.folder)) as engine:
        yield row_engine(engine)


@contextmanager
def rows_of(platform: Platform, project: Project | None, snapshot: Snapshot) -> Iterator[RowEngine]:
    """The rows that a snapshot refers to. Raises Conflict where they are not the same any more, or the project is elsewhere.

    PostgreSQL and DuckDB keep what was held against the digest for all that is read of them here. Spark has no transactions:
    there it was so when this began.
    """
    if project is None:
        raise InvalidInput(
            f"Snapshot {snapshot.id} stays on {snapshot.engine}, and no project {snapshot.dataset!r} says how to get there.",
            hint="bailiwick apply, in the folder of the project file.",
        )
    asked = f"{engine_name(project.data.engine or '')}: {project.data.source}"
    if snapshot.source != asked:
        raise Conflict(
            f"Snapshot {snapshot.id} stays at {snapshot.source}, and the project reads {asked} now.",
            hint="Run again from the step `ingest`.",
        )
    origin = platform.data.origin(snapshot)
    assert origin is not None  # `refer` keeps one
    with opened(platform, project) as engine:
        rows = between(engine, time_column(engine, project.data.time), origin.start, origin.end)
        if fingerprint(rows)[1] != snapshot.digest:
            raise Conflict(
                f"The rows of snapshot {snapshot.id} at {snapshot.source} have changed since it was taken.",
                hint="Run again from the step `ingest`; or let `data.source` name rows that stay as they are.",
            )
        yield rows


class Looked:
    """What an inspection counts of rows on an engine. `table` has their types and none of them."""

    def __init__(self, rows: RowEngine, snapshot: Snapshot) -> None:
        self.rows = rows
        self._snapshot = snapshot
        self.table: pa.Table = schema_of(rows).empty_table()

    def profile(self, names: Sequence[str]) -> tuple[Profile, tuple[str, ...]]:
        """Of these columns, and which of them were left out because they name rows or tell their time."""
        columns = [column for column in self.rows.columns() if column.name in names]
        keys = self._keys([column for column in columns if column.kind is Kind.WHOLE and not column.depth])
        kept = [column.name for column in columns if column.name not in keys]
        self.table = self.table.drop_columns([name for name in self.table.column_names if name not in kept])
        return profiling.build_engine_profile(self.rows, kept), keys

    def count(self, bins: Profile) -> Profile:
        """All rows in these bins."""
        return profiling.count_on_engine(self.rows, bins)

    def _keys(self, columns: Sequence[Column]) -> tuple[str, ...]:
        if not columns:
            return ()
        quoted = [self.rows.dialect.quote(column.name) for column in columns]
        asked = ", ".join(f"COUNT(DISTINCT {name}), COUNT({name}), MIN({name}), MAX({name})" for name in quoted)
        rows, *told = self.rows.ask(f"SELECT COUNT(*), {asked} FROM {self.rows.relation}")[0]
        found = []
        for place, column in enumerate(columns):
            different, there, least, most = told[4 * place : 4 * place + 4]
            unlike = int(different) + (1 if there < rows else 0)
            if (rows >= _LIKE_A_KEY and unlike == rows) or self._is_time(least, most):
                found.append(column.name)
        return tuple(found)

    def _is_time(self, least: int | None, most: int | None) -> bool:
        start, end = self._snapshot.time_from, self._snapshot.time_to
        if start is None or end is None or least is None or most is None or start < _YEAR_1973:
            return False
        return bool(start - _YEAR <= least and most <= end + _YEAR)
