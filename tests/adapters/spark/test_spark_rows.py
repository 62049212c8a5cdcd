"""What a training run asks of rows on Spark: a digest, and rows in their order and types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bailiwick.adapters.spark.engine import SparkEngine
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable
from bailiwick.data.engines.draws import key_text
from bailiwick.data.engines.standing import between, column_of, row_engine, stand, time_column
from tests_support import spark

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(600),
]

KEYS = ["", "a", "é" * 5, "0123456789abcde", "0123456789abcdef", "0123456789abcdefg", "x" * 33, "'\\\"`", "-7"]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    random = np.random.default_rng(1)
    rows = 500
    return pa.table({
        "`at": pa.array(1_700_000_000_000_000 + random.permutation(rows) * 1_000_000, pa.timestamp("us", "UTC")),
        "amount": pa.array([None if row % 7 == 0 else float(row) for row in range(rows)], pa.float64()),
        "name": pa.array([KEYS[row % len(KEYS)] for row in range(rows)]),
        "n": pa.array(range(rows), pa.int32()),
    })  # fmt: skip


@pytest.fixture(scope="module")
def engine(table: pa.Table) -> Any:
    found = SparkEngine(spark.session().createDataFrame(table).repartition(3).cache(), "rows")
    yield found
    found.close()


def test_rows_come_in_the_order_asked_and_the_types_they_have(engine: Any, table: pa.Table) -> None:
    batches = list(engine.stream(f"SELECT * FROM {engine.relation} ORDER BY n"))
    assert batches[0].num_rows == 0
    assert storable(pa.Table.from_batches(batches)).equals(storable(table))


def test_the_digest_is_of_the_rows_in_any_order_and_partitions(engine: Any, table: pa.Table) -> None:
    time = time_column(engine, "`at")
    known = stand(row_engine(engine), time)
    assert (known.rows, known.time_from) == (500, 1_700_000_000_000)
    again = SparkEngine(spark.session().createDataFrame(table.take(list(range(499, -1, -1)))).repartition(2), "again")
    assert stand(row_engine(again), time).digest == known.digest
    other = table.set_column(1, "amount", pa.array([0.0] * 500))
    changed = SparkEngine(spark.session().createDataFrame(other), "other")
    assert stand(row_engine(changed), time).digest != known.digest
    window = between(row_engine(engine), time, known.time_from, 1_700_000_100_000)
    assert stand(window, time).rows == 100


def test_rows_are_not_divided_by_a_key_there(engine: Any) -> None:
    with pytest.raises(InvalidInput, match="On spark, rows are divided by time, and by no key"):
        key_text(engine, column_of(engine, "name", "Key"))
