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
from bailiwick.features.model import FeatureSpec


def training_matrix(
    graph: FeatureGraph, specs: Sequence[FeatureSpec], table: pa.Table, labels: NDArray[np.int64], *, threads: int = 1
) -> NDArray[np.float32]:
    """The feature matrix of the rows that were fitted on, in their order; `graph.run(table)` where no labels are used."""
    folds = fit_out_of_fold(specs, table, labels)
    if not folds:
        return graph.run(table)
    matrix = np.empty((table.num_rows, len(graph.names)), np.float32)
    for fold, fitted in enumerate(folds):
        places = np.arange(fold, table.num_rows, len(folds))
        apart = FeatureGraph(compile_features(fitted), threads=threads)
        matrix[places] = apart.run(table.take(places))
    return matrix
