"""`--engine`: the same commands where the data is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.data.engines.engine import Engine
    from bailiwick.data.profile import Profile
    from bailiwick.data.validation import Anomaly

EngineOption = Annotated[
    str,
    typer.Option(
        help="Compute there, collecting no rows: postgresql://…, spark://…, local[*], sc://…, duckdb:///FILE, bigquery://…, "
        "databricks://…, snowflake://…; the source is then a table or a SELECT there."
    ),
]


@contextmanager
def opened(url: str, source: str) -> Iterator[Engine]:
    """The engine over a source, closed at the end."""
    from bailiwick.adapters.engines import open_engine

    with closing(open_engine(url, source, Path.cwd())) as engine:
        yield engine


def statistics_on(url: str, source: str, *, by: str = "") -> Any:
    """Statistics computed by the engine; `by` a column, of each of its values too."""
    from bailiwick.data.engines.slicing import slices_on
    from bailiwick.data.engines.statistics import add_slices, engine_statistics
    from bailiwick.data.statistics.view import ALL_EXAMPLES

    with opened(url, source) as engine:
        found = engine_statistics(engine, ALL_EXAMPLES if by else source)
        if by:
            add_slices(found, slices_on(engine, by))
    return found


def checked_on(url: str, source: str, checks: Sequence[str]) -> list[Anomaly]:
    """Anomalies of checks in the engine's SQL."""
    from bailiwick.data.engines.checks import check_on_engine
    from bailiwick.data.validation.sql import SqlCheck

    with opened(url, source) as engine:
        return check_on_engine(engine, [SqlCheck(expression, expression) for expression in checks])


def profiles_on(url: str, baseline: str, current: str, columns: Sequence[str]) -> tuple[Profile, Profile]:
    """Two sources of one engine in the bins of the first. Raises InvalidInput for a column that is not in both."""
    from bailiwick.data.engines.profiling import build_engine_profile, count_on_engine, profiled

    with opened(url, baseline) as before, opened(url, current) as after:
        there = {column.name for column in after.columns()}
        shared = [column.name for column in before.columns() if column.name in there]
        for name in columns:
            if name not in shared:
                raise InvalidInput.choice("Column of both sources", name, shared)
        for column in before.columns():
            if column.name in columns and not profiled(column):
                raise InvalidInput(
                    f"Column {column.name!r} is {column.native}: only numbers, text and booleans have profiles."
                )
        reference = build_engine_profile(before, columns or shared)
        return reference, count_on_engine(after, reference)


def only_here(engine: str, **options: object) -> None:
    """Raises InvalidInput for an option that is given with an engine and is not computed on one."""
    given = [name for name, value in options.items() if value]
    if engine and given:
        raise InvalidInput(
            f"--{given[0].replace('_', '-')} is not computed on an engine.", hint="Leave it or --engine out."
        )
