"""The one place where training differs from serving by design: a row that is learnt from must not see its own label.

Target encoding tells a model how often a category was positive. Were the rows it learns from among those counted, a rare
category would give their labels away. So training row `i` is encoded by what the other folds say, and serving, whose
rows have no labels yet, by what all rows say. Graph and transforms are otherwise the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_out_of_fold
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.model import FeatureSpec, FittedFeatures


class TrainingGraphs:
    """The graph that serves, with one a fold beside it for the rows that were fitted on."""

    def __init__(self, graph: FeatureGraph, folds: Sequence[FittedFeatures], *, threads: int = 1) -> None:
        """`folds` are what `Fitting.finish` gives without each fold; none where no feature is made of labels."""
        self.names = graph.names
        self._graph = graph
        self._folds = [FeatureGraph(compile_features(fitted), threads=threads) for fitted in folds]

    def run(self, rows: pa.Table, *, start: int = 0, folds: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """The feature matrix of rows that were fitted on: the first of them was row `start`, or their `folds` are given."""
        if not self._folds:
            return self._graph.run(rows)
        matrix = np.empty((rows.num_rows, len(self.names)), np.float32)
        for fold, graph in enumerate(self._folds):
            places = np.arange((fold - start) % len(self._folds), rows.num_rows, len(self._folds))
            if folds is not None:
                places = np.flatnonzero(folds == fold)
            if len(places):
                matrix[places] = graph.run(rows.take(places))
        return matrix


def training_matrix(
    graph: FeatureGraph, specs: Sequence[FeatureSpec], table: pa.Table, labels: NDArray[np.int64], *, threads: int = 1
) -> NDArray[np.float32]:
    """The feature matrix of the rows that were fitted on, in their order; `graph.run(table)` where no labels are used."""
    return TrainingGraphs(graph, fit_out_of_fold(specs, table, labels), threads=threads).run(table)
