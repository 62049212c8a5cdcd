"""Rows that stay on an engine: which they are, by a digest that the engine computes, and how they are looked at.

The digest is of the sums of the SHA-256 of each row, so it does not hang on an order that a table has not. It shows every
accidental change; who may write rows of his choice at will could make two tables of one sum, as with every sum of digests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bailiwick.core.canonical import digest_of
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable, type_name
from bailiwick.data.engines import plan
from bailiwick.data.engines.asking import ask
from bailiwick.data.engines.engine import Engine, RowEngine
from bailiwick.data.engines.model import Column, Kind

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = deferred("pyarrow")

FORMAT = "bailiwick.engine.1"


@dataclass(frozen=True, slots=True)
class Standing:
    """Rows on an engine at one moment. `columns` are (name, Arrow type) as of the same rows read here; times in UTC
    milliseconds, `start` and `end` the bounds that were asked for, None without.
    """

    digest: str
    rows: int
    columns: tuple[tuple[str, str], ...]
    time_from: int | None
    time_to: int | None
    start: int | None = None
    end: int | None = None


def row_engine(engine: Engine) -> RowEngine:
    """The same, where rows can be read of it. Raises InvalidInput for an engine that only describes."""
    if not isinstance(engine, RowEngine):
        raise InvalidInput(
            f"{engine.dialect.name} describes and compares data, but no training run reads rows there.",
            hint="Name DuckDB, PostgreSQL or Spark as `data.engine`, or read files that it exports.",
        )
    return engine


def between(engine: RowEngine, time: Column, start: int | None, end: int | None) -> RowEngine:
    """The rows whose time (UTC milliseconds) is in [start, end); None is no bound, and without both, all rows."""
    if start is None and end is None:
        return engine
    moment, told = engine.dialect.double(time, engine.dialect.quote(time.name)), []
    if start is not None:
        told.append(f"{moment} >= {engine.dialect.number(start)}")
    if end is not None:
        told.append(f"{moment} < {engine.dialect.number(end)}")
    kept = f"(SELECT * FROM {engine.relation} WHERE {' AND '.join(told)}) AS kept"
    return row_engine(engine.over(kept, engine.name))


def stand(engine: RowEngine, time: Column, *, start: int | None = None, end: int | None = None) -> Standing:
    """What stands there now. Raises InvalidInput for a column that cannot be kept, such as a map."""
    first, last = time_range(engine, time)
    schema = schema_of(engine)
    rows, digest = fingerprint(engine)
    columns = tuple((field.name, type_name(field.type)) for field in schema)
    return Standing(digest, rows, columns, first, last, start, end)


def fingerprint(engine: RowEngine) -> tuple[int, str]:
    """How many rows there are, and the digest of names, types and rows. One pass."""
    columns = engine.columns()
    count, *sums = ask(engine, plan.Fingerprint(columns))[0]
    told = {
        "format": FORMAT,
        "engine": engine.dialect.name,
        "rows": int(count),
        "columns": [[column.name, column.native, column.depth] for column in columns],
        "sums": [str(int(total or 0)) for total in sums],
    }
    return int(count), digest_of(told)


def schema_of(engine: RowEngine, columns: Sequence[str] | None = None) -> pa.Schema:
    """The types that rows have when they are read here."""
    quote = engine.dialect.quote
    listed = "*" if columns is None else ", ".join(quote(name) for name in columns)
    (*_, batch) = engine.stream(f"SELECT {listed} FROM {engine.relation} LIMIT 0")
    return storable(pa.Table.from_batches([batch])).schema


def time_column(engine: Engine, name: str) -> Column:
    """The column of the event time. Raises InvalidInput for one that is not there, or holds no times."""
    column = column_of(engine, name, "Time column")
    if column.depth or column.kind not in {Kind.MOMENT, Kind.WHOLE}:
        raise InvalidInput(
            f"Time column {name!r} is {column.native or column.kind.value}.",
            hint="Make it a timestamp, a date, or whole UTC milliseconds.",
        )
    return column


def column_of(engine: Engine, name: str, what: str) -> Column:
    """A column by its name. Raises InvalidInput naming those that there are."""
    there = {column.name: column for column in engine.columns()}
    if name not in there:
        raise InvalidInput.choice(what, name, there)
    return there[name]


def time_range(engine: Engine, time: Column) -> tuple[int | None, int | None]:
    """The first and last moment in UTC milliseconds; None where there is none."""
    moment = engine.dialect.double(time, engine.dialect.quote(time.name))
    first, last = engine.ask(f"SELECT MIN({moment}), MAX({moment}) FROM {engine.relation}")[0]
    return (None, None) if first is None else (int(first), int(last))
