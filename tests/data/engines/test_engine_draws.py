"""A key draws the same number on an engine as here, so that a row is on the same side wherever it is divided."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines.draws import drawn, key_text, longest
from bailiwick.data.engines.duckdb_engine import DuckEngine
from bailiwick.data.engines.engine import Engine
from bailiwick.data.engines.postgresql_engine import PostgresEngine
from bailiwick.data.splits import draws_of_keys
from tests_support import postgres

KEYS = [
    "",
    "a",
    "é" * 5,
    "0123456789abcde",
    "0123456789abcdef",
    "0123456789abcdefg",
    "x" * 33,
    "y" * 256,
    "'\\\"`",
    "-7",
]


@pytest.fixture(scope="module", params=["duckdb", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "duckdb":
        opened: Engine = DuckEngine.of_table(pa.table({"n": [1]}))
    else:
        opened = PostgresEngine.of_source(postgres.fresh_database(), "SELECT 1 AS n")
    yield opened
    opened.close()


def _drawn(engine: Engine, keys: list[str], seed: int) -> list[float]:
    listed = " UNION ALL ".join(
        f"SELECT {place} AS p, {engine.dialect.literal(key)} AS k" for place, key in enumerate(keys)
    )
    over = engine.over(f"({listed}) AS given", "given")
    (column,) = [column for column in over.columns() if column.name == "k"]
    inner = f"SELECT p, {key_text(over, column)} AS k FROM {over.relation}"
    blocks = longest(over, column)
    made = drawn(engine.dialect.name, inner, carried=["p"], key="k", blocks=blocks, seed=seed, name="d")
    return [row[1] for row in engine.ask(f"SELECT p, d FROM ({made}) AS m ORDER BY p")]


def test_keys_of_every_length_draw_what_they_draw_here(engine: Engine) -> None:
    for seed in (0, 7, 2**31 - 1):
        assert _drawn(engine, KEYS, seed) == draws_of_keys(pa.chunked_array([KEYS]), seed).tolist()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40),
        min_size=1,
        max_size=30,
    ),
    seed=st.integers(0, 2**31 - 1),
)
def test_whatever_is_written_in_a_key(engine: Engine, keys: list[str], seed: int) -> None:
    assert _drawn(engine, keys, seed) == draws_of_keys(pa.chunked_array([keys]), seed).tolist()


def test_whole_numbers_draw_as_their_text_does_and_numbers_are_refused(engine: Engine) -> None:
    over = engine.over(
        "(SELECT CAST(n AS BIGINT) AS k, CAST(n AS DOUBLE PRECISION) AS x FROM (SELECT 17 AS n) AS a) AS g", "g"
    )
    whole, real = over.columns()
    inner = f"SELECT {key_text(over, whole)} AS k FROM {over.relation}"
    made = drawn(engine.dialect.name, inner, carried=[], key="k", blocks=longest(over, whole), seed=3, name="d")
    assert engine.ask(made)[0][0] == draws_of_keys(pa.chunked_array([[17]]), 3)[0]
    with pytest.raises(InvalidInput, match="divided by text, whole numbers or booleans"):
        key_text(over, real)


def test_a_key_that_is_missing_or_very_long_is_refused_by_its_column(engine: Engine) -> None:
    for select, said in (
        ("SELECT 'a' AS k UNION ALL SELECT NULL", "missing in 1 of 2 rows"),
        (f"SELECT '{'z' * 257}' AS k", "a key of 257 bytes"),
    ):
        over = engine.over(f"({select}) AS g", "g")
        (column,) = over.columns()
        with pytest.raises(InvalidInput, match=said):
            longest(over, column)
