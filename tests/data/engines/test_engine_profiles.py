"""Profiles and checks on an engine are those of the rows themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.comparison import compare
from bailiwick.data.engines.checks import check_on_engine
from bailiwick.data.engines.duckdb_engine import DuckEngine
from bailiwick.data.engines.engine import Engine
from bailiwick.data.engines.postgresql_engine import PostgresEngine
from bailiwick.data.engines.profiling import build_engine_profile, count_on_engine, profiled
from bailiwick.data.profile import build_profile, count
from bailiwick.data.validation.sql import SqlCheck
from bailiwick.testing.engines import conformance_table
from tests_support import postgres
from tests_support.engine_tables import into_postgresql


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return conformance_table()


@pytest.fixture(scope="module", params=["duckdb", "postgresql"])
def engine(request: pytest.FixtureRequest, table: pa.Table) -> Iterator[Engine]:
    if request.param == "duckdb":
        opened: Engine = DuckEngine.of_table(table)
    else:
        url = postgres.fresh_database()
        into_postgresql(url, "hard", table)
        opened = PostgresEngine.of_source(url, "hard")
    yield opened
    opened.close()


def test_a_profile_built_on_an_engine_is_the_one_built_of_the_rows(engine: Engine, table: pa.Table) -> None:
    names = [column.name for column in engine.columns() if profiled(column)]
    assert build_engine_profile(engine, table.column_names) == build_profile(table, names)


def test_rows_counted_on_an_engine_into_bins_of_others_fall_where_they_would_here(
    engine: Engine, table: pa.Table
) -> None:
    names = [column.name for column in engine.columns() if profiled(column)]
    reference = build_profile(table.slice(0, 700), names)
    assert count_on_engine(engine, reference) == count(reference, table)


def test_a_comparison_across_engines_is_the_comparison_of_the_rows(engine: Engine, table: pa.Table) -> None:
    moved = table.slice(0, 700)
    reference = build_engine_profile(engine, ["skewed", "many", "flag"])
    on_engine = compare(reference, count_on_engine(DuckEngine.of_table(moved), reference), alpha=0.01)
    here = build_profile(table, ["skewed", "many", "flag"])
    assert on_engine == compare(here, count(here, moved), alpha=0.01)


def test_a_column_that_is_absent_or_another_kind_of_thing_is_named(engine: Engine, table: pa.Table) -> None:
    with pytest.raises(InvalidInput, match="'skewd' is not known"):
        build_engine_profile(engine, ["skewd"])
    text = build_profile(pa.table({"skewed": ["a"]}))
    with pytest.raises(InvalidInput, match=r"'skewed' is .*, but its profile is categorical"):
        count_on_engine(engine, text)


def test_a_check_counts_the_rows_that_it_is_false_of(engine: Engine, table: pa.Table) -> None:
    (found,) = check_on_engine(engine, [SqlCheck("few", "small < 3 -- not three"), SqlCheck("any", "constant = 7")])
    threes = table.column("small").to_pylist().count(3)
    assert (found.kind, found.short) == ("CUSTOM_VALIDATION", "Check few failed")
    assert found.long.startswith(f"{threes} of {table.num_rows} rows are not small < 3")
    with pytest.raises(InvalidInput, match="Check 'odd'"):
        check_on_engine(engine, [SqlCheck("odd", "no_such_column > 1")])


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5), st.floats(width=32)), max_size=300))
@settings(max_examples=40, deadline=None)
def test_whatever_the_numbers_their_bins_are_the_same_on_an_engine(values: list[float | None]) -> None:
    table = pa.table({"x": pa.array(values, pa.float64())})
    assert build_engine_profile(DuckEngine.of_table(table), ["x"]) == build_profile(table, ["x"])


@given(st.lists(st.one_of(st.none(), st.text(alphabet="ab", max_size=3)), max_size=300))
@settings(max_examples=40, deadline=None)
def test_whatever_the_texts_their_categories_are_the_same_on_an_engine(values: list[str | None]) -> None:
    table = pa.table({"x": pa.array(values, pa.string())})
    assert build_engine_profile(DuckEngine.of_table(table), ["x"]) == build_profile(table, ["x"])


def test_many_rare_values_leave_the_profile_open_on_an_engine_too() -> None:
    random = np.random.default_rng(1)
    table = pa.table({"x": [f"v{number}" for number in (random.pareto(0.4, 5000) * 10).astype(np.int64).tolist()]})
    expected = build_profile(table)
    assert build_engine_profile(DuckEngine.of_table(table), ["x"]) == expected
    assert not expected.features[0].closed  # type: ignore[union-attr]
