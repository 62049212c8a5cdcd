"""What stories of warehouses share: the client's packages, and an engine that is watched."""

from __future__ import annotations

import os
import sys
from typing import Any

from tests_support.warehouses import as_kept

sys.path.append(os.environ["BAILIWICK_TEST_PACKAGES"])  # last: what the platform has comes first

RECORDED = ["float", "whole", "flag", "text", "moment", "bytes", "skewed", "price"]
PROFILED = ["skewed", "text"]
ROWS = 200


def watched(engine: Any) -> dict[str, list[list[Any]]]:
    """The answers of an engine from now on, by the SQL that they answer, as JSON keeps them."""
    answers: dict[str, list[list[Any]]] = {}
    ask = engine.ask

    def watching(sql: str) -> Any:
        rows = ask(sql)
        answers[sql] = as_kept(rows)
        return rows

    engine.ask = watching
    return answers


def told_of(engine: Any, table: Any, *, profile_of: list[str] | None = None) -> dict[str, Any]:
    """Its columns, and what it tells otherwise than of the rows."""
    from bailiwick.data.engines.profiling import build_engine_profile, profiled
    from bailiwick.data.engines.statistics import engine_statistics
    from bailiwick.data.profile import build_profile
    from bailiwick.testing.engines import differences

    columns = engine.columns()
    names = profile_of or [column.name for column in columns if profiled(column)]
    return {
        "columns": {column.name: [column.kind.value, column.depth] for column in columns},
        "differences": differences(engine_statistics(engine), table),
        "profile": build_engine_profile(engine, names) == build_profile(table, names),
    }


def recorded(engine: Any) -> dict[str, Any]:
    """Answers about the small table, which `test_warehouse_engines` plays back."""
    from bailiwick.data.engines.profiling import build_engine_profile
    from bailiwick.data.engines.statistics import engine_statistics

    answers = watched(engine)
    engine_statistics(engine, "lake.sales.trips")
    build_engine_profile(engine, PROFILED)
    return answers
