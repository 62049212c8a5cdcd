"""Learns what the transforms need from the training data: one pass over each column, no look at any other row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.features.columns import NUMBERS, TEXTS, datatype_of, numbers, texts
from bailiwick.features.model import CATEGORICAL, TRANSFORMS, FeatureSpec, FittedFeature, FittedFeatures

LIMIT = 1e15
"""Largest magnitude of a number in the graph; beyond it, infinities included, values count as the limit."""


def fit_features(specs: Sequence[FeatureSpec], table: pa.Table) -> FittedFeatures:
    """Fit on a training table. Raises InvalidInput for a missing column, a type the transform cannot use, or no values."""
    fitted = [_fit(spec, table) for spec in specs]
    fitted.sort(key=lambda feature: TRANSFORMS.index(feature.transform))
    return FittedFeatures(features=tuple(fitted))


def _fit(spec: FeatureSpec, table: pa.Table) -> FittedFeature:
    if spec.column not in table.column_names:
        raise InvalidInput.choice("Feature column", spec.column, table.column_names)
    column = table.column(spec.column)
    datatype = datatype_of(column.type)
    if spec.transform in CATEGORICAL:
        return _fit_category(spec, column, datatype)
    if datatype != NUMBERS:
        raise InvalidInput(
            f"Feature {spec.column!r}: {spec.transform} needs numbers, and the column holds {column.type}.",
            hint=f"For text choose one of: {', '.join(CATEGORICAL)}.",
        )
    values = np.clip(numbers(column).astype(np.float64), -LIMIT, LIMIT)
    seen = values[~np.isnan(values)]
    if not seen.size:
        raise InvalidInput(f"Feature {spec.column!r} has no values in the training data.", hint="Leave it out.")
    fill = float(np.float32(np.median(seen) if spec.impute is None else spec.impute))
    return _FITTERS[spec.transform](spec, seen, fill)


def _fit_number(spec: FeatureSpec, _seen: NDArray[np.float64], fill: float) -> FittedFeature:
    return FittedFeature(spec.column, spec.transform, NUMBERS, fill=fill)


def _fit_scale(spec: FeatureSpec, seen: NDArray[np.float64], fill: float) -> FittedFeature:
    """Mean and population standard deviation of the values that are there; a constant column keeps its factor of 1."""
    deviation = float(seen.std())
    constant = deviation <= 1e-6 * max(1.0, abs(float(seen.mean())))
    factor = 1.0 if constant else 1.0 / deviation
    return FittedFeature(spec.column, spec.transform, NUMBERS, fill=fill, offset=float(seen.mean()), factor=factor)


def _fit_log(spec: FeatureSpec, seen: NDArray[np.float64], fill: float) -> FittedFeature:
    if seen.min() < 0 or fill < 0:
        raise InvalidInput(
            f"Feature {spec.column!r}: log is log(1 + x) and needs x ≥ 0; the smallest here is {min(seen.min(), fill):g}.",
            hint="Use `scale: standard` or `bucketize` for a column with negative values.",
        )
    return FittedFeature(spec.column, spec.transform, NUMBERS, fill=fill)


def _fit_buckets(spec: FeatureSpec, seen: NDArray[np.float64], fill: float) -> FittedFeature:
    """Edges at equal-mass quantiles; equal edges fall together, so a column with few values gets fewer buckets."""
    inner = np.quantile(seen, np.linspace(0, 1, spec.buckets + 1)[1:-1], method="higher")
    edges = np.unique(inner.astype(np.float32))
    return FittedFeature(spec.column, spec.transform, NUMBERS, fill=fill, edges=tuple(edges.tolist()))


def _fit_category(spec: FeatureSpec, column: pa.ChunkedArray, datatype: str) -> FittedFeature:
    """Values seen at least `min_count` times, the most frequent first; ties in the order of the values."""
    counts = pc.value_counts(texts(column) if datatype == TEXTS else _codes(spec, column))
    pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    kept = sorted((-count, value) for value, count in pairs if count >= spec.min_count)
    return FittedFeature(spec.column, spec.transform, datatype, categories=tuple(value for _, value in kept))


def _codes(spec: FeatureSpec, column: pa.ChunkedArray) -> pa.Array:
    if not (pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)):
        raise InvalidInput(
            f"Feature {spec.column!r}: {spec.transform} needs text, whole numbers or booleans, and the column holds {column.type}.",
            hint="For measured numbers choose `number`, `scale`, `log` or `bucketize`.",
        )
    values = numbers(column)
    return pa.array(values[~np.isnan(values)].astype(np.float64))


_Fitter = Callable[[FeatureSpec, NDArray[np.float64], float], FittedFeature]
_FITTERS: dict[str, _Fitter] = {
    "number": _fit_number,
    "scale": _fit_scale,
    "log": _fit_log,
    "bucketize": _fit_buckets,
}
