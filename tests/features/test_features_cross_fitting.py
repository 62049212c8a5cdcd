"""Training rows are encoded without their own labels; serving is encoded by all of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.features.compilation import compile_features
from bailiwick.features.cross_fitting import training_matrix
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.specification import parse_features

SPECS = parse_features({"x": "number", "c": {"target": {"smoothing": 2, "folds": 5}}})


def _matrix(table: pa.Table, labels: np.ndarray) -> np.ndarray:
    graph = FeatureGraph(compile_features(fit_features(SPECS, table, labels)))
    return training_matrix(graph, SPECS, table, labels)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1)), min_size=6, max_size=30), st.data())
def test_no_row_sees_its_own_label(rows: list[tuple[str, int]], data: st.DataObject) -> None:
    """Turning a row's label round changes nothing of what the row itself is given."""
    table = pa.table({"x": np.arange(len(rows)), "c": [category for category, _ in rows]})
    labels = np.array([label for _, label in rows])
    turned = data.draw(st.integers(0, len(rows) - 1))
    other = labels.copy()
    other[turned] = 1 - other[turned]
    before, after = _matrix(table, labels), _matrix(table, other)
    assert before[turned].tobytes() == after[turned].tobytes()
    # The same holds of every row of its fold, and only of those: the others may see it.
    fold = np.arange(len(rows)) % 5 == turned % 5
    assert before[fold].tobytes() == after[fold].tobytes()


def test_labels_that_follow_from_nothing_are_not_learnt_by_heart() -> None:
    """A category a row: encoded by itself the label would be known; without it, it is not."""
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 400)
    table = pa.table({"x": np.zeros(400), "c": [f"only {row // 2}" for row in range(400)]})
    out_of_fold = _matrix(table, labels)[:, 1]
    fitted = fit_features(SPECS, table, labels)
    full = FeatureGraph(compile_features(fitted)).run(table)[:, 1]
    assert np.corrcoef(full, labels)[0, 1] > 0.6
    assert abs(np.corrcoef(out_of_fold, labels)[0, 1]) < 0.15


def test_serving_gets_the_smoothed_share_of_all_rows() -> None:
    table = pa.table({"x": [0] * 6, "c": ["a", "a", "a", "b", "b", None]})
    labels = np.array([1, 1, 0, 0, 0, 1])
    graph = FeatureGraph(compile_features(fit_features(SPECS, table, labels)))
    found = graph.run(pa.table({"x": [0] * 4, "c": ["a", "b", None, "unseen"]}))[:, 1]
    np.testing.assert_allclose(found, [(2 + 2 * 0.5) / 5, (0 + 1) / 4, (1 + 1) / 3, 0.5], rtol=1e-6)


def test_features_without_labels_are_the_same_in_training_as_in_serving() -> None:
    specs = parse_features({"x": "number"})
    table = pa.table({"x": [1.0, None, 3.0]})
    graph = FeatureGraph(compile_features(fit_features(specs, table)))
    assert training_matrix(graph, specs, table, np.array([0, 1, 0])).tobytes() == graph.run(table).tobytes()
