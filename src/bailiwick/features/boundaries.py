"""Where fitted features change their mind: values of raw columns on which a graph and its meaning are most likely to part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bailiwick.features.columns import NUMBERS
from bailiwick.features.model import LIMIT, FittedFeatures


def boundaries_of(fitted: FittedFeatures) -> dict[str, NDArray[np.float32]]:
    """By raw column: edges of buckets, bounds that are clipped at, and what missing values count as."""
    found: dict[str, set[float]] = {}
    for feature in fitted.features:
        if feature.datatype == NUMBERS and not feature.categories:
            ((column, _),) = feature.inputs
            bounds = {bound for bound in (feature.least, feature.most) if abs(bound) != LIMIT}
            found.setdefault(column, set()).update({*feature.edges, *bounds, feature.fill})
    return {column: np.array(sorted(values), np.float32) for column, values in found.items()}
