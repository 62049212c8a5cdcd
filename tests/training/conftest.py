"""A small table with every kind of column, and the graph and matrix fitted on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm
import numpy as np
import onnx
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.specification import parse_features
from bailiwick.training.model import Fold

TREES: Mapping[str, object] = {
    "hour": "number",
    "temp": "number",
    "distance": {"bucketize": 8},
    "city": {"category": {"min_count": 5}},
}
LINEAR: Mapping[str, object] = {
    "hour": {"scale": "standard"},
    "temp": {"scale": "standard"},
    "distance": "log",
    "city": {"one_hot": {"min_count": 5}},
}


@dataclass(frozen=True)
class Prepared:
    """Rows and what the features made of them."""

    table: pa.Table
    proto: onnx.ModelProto
    graph: FeatureGraph
    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def train(self) -> Fold:
        """The first two thirds."""
        return Fold(self.features[:2000], self.labels[:2000], self.graph.names)

    @property
    def valid(self) -> Fold:
        """The last third."""
        return Fold(self.features[2000:], self.labels[2000:], self.graph.names)


def _table(rows: int = 3000) -> pa.Table:
    random = np.random.default_rng(11)
    hour = random.integers(0, 24, rows)
    temp = np.where(random.uniform(size=rows) < 0.1, np.nan, random.normal(10, 8, rows))
    city = np.array(["ams", "ber", "cdg", "dub", ""])[random.integers(5, size=rows)]
    logit = 0.15 * (hour - 12) - 0.05 * np.nan_to_num(temp) + (city == "ber")
    label = random.uniform(size=rows) < 1 / (1 + np.exp(-logit))
    return pa.table(
        {
            "hour": hour,
            "temp": pa.array(temp, from_pandas=True),
            "distance": random.integers(50, 5000, rows),
            "city": pa.array([name or None for name in city]),
            "label": label.astype(np.int64),
        }
    )


def _prepare(declared: Mapping[str, object]) -> Prepared:
    table = _table()
    proto = compile_features(fit_features(parse_features(declared), table.slice(0, 2000)))
    graph = FeatureGraph(proto)
    return Prepared(table, proto, graph, graph.run(table), table.column("label").to_numpy())


@pytest.fixture(scope="session")
def trees() -> Prepared:
    """Features for trees: numbers as they are, categories as codes."""
    return _prepare(TREES)


@pytest.fixture(scope="session")
def linear() -> Prepared:
    """Features for a linear model: scaled numbers, one-hot categories."""
    return _prepare(LINEAR)


@pytest.fixture(scope="session")
def booster(trees: Prepared) -> lightgbm.LGBMClassifier:
    """A fitted LightGBM classifier."""
    model = lightgbm.LGBMClassifier(n_estimators=40, num_leaves=15, random_state=3, n_jobs=1, verbose=-1)
    return model.fit(trees.train.features, trees.train.labels)
