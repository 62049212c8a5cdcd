"""Features fitted on Spark are those fitted on the rows, and its executors run the graph that serves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.specification import parse_features
from tests_support import spark

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(600),
]

SPECS = parse_features({
    "delay": {"scale": {"method": "standard", "impute": "mean"}},
    "distance": {"bucketize": 5},
    "carrier": {"one_hot": {"min_count": 2}},
    "origin": {"target": {"folds": 4}},
    "route": {"cross": {"columns": ["carrier", "origin"], "min_count": 2}},
    "remarks": {"ngrams": {"longest": 2, "min_count": 2}},
    "twice": {"expression": "delay * 2 + 1"},
    "at": {"date": ["hour", "weekday"]},
    "`odd`": {"hash": 8},
})  # fmt: skip


@pytest.fixture(scope="module")
def table() -> pa.Table:
    random = np.random.default_rng(3)
    rows = 2_000
    delay = random.normal(10, 30, rows)
    delay[::50] = np.nan
    return pa.table({
        "delay": pa.array(delay, from_pandas=True),
        "distance": pa.array(random.integers(100, 3000, rows)),
        "carrier": pa.array([["AA", "UA", None, "é"][row] for row in random.integers(0, 4, rows)], pa.string()),
        "origin": pa.array([["JFK", "LGA", ""][row] for row in random.integers(0, 3, rows)], pa.string()),
        "remarks": pa.array([["late again", "on time", None][row] for row in random.integers(0, 3, rows)], pa.string()),
        "at": pa.array(random.integers(0, 10**12, rows), pa.timestamp("ms", "UTC")),
        "`odd`": pa.array([f"v{row}" for row in random.integers(0, 40, rows)], pa.string()),
        "late": pa.array(random.integers(0, 2, rows).astype(bool)),
    })  # fmt: skip


@pytest.fixture(scope="module")
def frame(table: pa.Table) -> Any:
    return spark.session().createDataFrame(table).repartition(5).cache()


def test_features_fitted_on_spark_are_those_fitted_on_the_rows(frame: Any, table: pa.Table) -> None:
    from bailiwick.adapters.spark.features import fit_on_spark

    labels = table.column("late").cast(pa.int64()).to_numpy()
    fitted = fit_on_spark(frame, SPECS, label="late")
    assert fitted == fit_features(SPECS, table, labels)
    assert fitted.digest == fit_features(SPECS, table, labels).digest


def test_executors_make_what_the_graph_makes_here(frame: Any, table: pa.Table) -> None:
    from bailiwick.adapters.spark.features import transform_on_spark

    graph = compile_features(fit_features(SPECS, table, table.column("late").cast(pa.int64()).to_numpy()))
    made = transform_on_spark(frame, graph.SerializeToString(), keep=["distance", "`odd`"])
    rows = made.toArrow()
    assert rows.column_names == ["distance", "`odd`", "features"]
    found = np.array(rows.column("features").to_pylist(), np.float32)
    expected = FeatureGraph(graph).run(table)
    assert found.shape == expected.shape
    assert np.array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


def test_what_is_missing_is_named_before_any_row_is_read(frame: Any, table: pa.Table) -> None:
    from bailiwick.adapters.spark.features import fit_on_spark, transform_on_spark

    with pytest.raises(InvalidInput, match="name the label's column"):
        fit_on_spark(frame, SPECS)
    with pytest.raises(InvalidInput, match="'lat' is not known"):
        fit_on_spark(frame, SPECS, label="lat")
    graph = compile_features(fit_features(SPECS[:1], table)).SerializeToString()
    with pytest.raises(InvalidInput, match="Column 'delay' is not known"):
        transform_on_spark(frame.drop("delay"), graph)
    with pytest.raises(InvalidInput, match="another name"):
        transform_on_spark(frame, graph, keep=["delay"], column="delay")
