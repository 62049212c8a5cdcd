"""Learns what the transforms need from the training data: one pass, batch by batch, with states that can be merged.

Parts of the data may be read in different places: each fills its own `Fitting`, and `merge` joins them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.features.derived import Derived
from bailiwick.features.learning import LEARNERS, Counted, Learner
from bailiwick.features.learnt import absorb, dump
from bailiwick.features.model import LIMIT, TRANSFORMS, FeatureSpec, FittedFeature, FittedFeatures

__all__ = ["LIMIT", "Fitting", "fit_features", "fit_out_of_fold"]

_ROWS_AT_ONCE = 65_536


class Fitting:
    """Features on their way from declared to fitted. Raises InvalidInput for a missing column or a type that will not do."""

    def __init__(self, specs: Sequence[FeatureSpec], schema: pa.Schema) -> None:
        self._specs = tuple(specs)
        self._learners: list[Learner] = []
        for spec in self._specs:
            reads = _reads(spec, schema)
            self._learners.append(LEARNERS[spec.transform](spec, reads))
        _check_names(self._specs)

    @property
    def needs_labels(self) -> bool:
        """Whether rows must come with labels."""
        return any(spec.transform == "target" for spec in self._specs)

    @property
    def folds(self) -> int:
        """How many folds rows that are learnt from are encoded by, row `i` by `i % folds`; 0 where no labels are needed."""
        return max((spec.folds for spec in self._specs if spec.transform == "target"), default=0)

    def update(self, rows: pa.Table, *, start: int = 0, labels: NDArray[np.int64] | None = None) -> None:
        """Learn from these rows, the first of which is row `start` of the data."""
        if self.needs_labels and labels is None:
            raise InvalidInput("A target-encoded feature is fitted with labels, and none are given.")
        for first in range(0, rows.num_rows, _ROWS_AT_ONCE):
            part = rows.slice(first, _ROWS_AT_ONCE)
            known = None if labels is None else labels[first : first + _ROWS_AT_ONCE]
            for learner in self._learners:
                learner.update(part, start=start + first, labels=known)

    def count(self, places: Sequence[int], rows: pa.Table, counted: Counted) -> None:
        """Let the features at these places learn from different rows of all that they read, each there so often."""
        for place in places:
            self._learners[place].count(rows, counted)

    def merge(self, other: Fitting) -> None:
        """Learn what the other has learnt from other rows. Raises InvalidInput for features declared otherwise."""
        if self._specs != other._specs:
            raise InvalidInput("Only fittings of the same features can be merged.")
        for mine, theirs in zip(self._learners, other._learners, strict=True):
            mine.merge(theirs)

    def learnt(self) -> bytes:
        """All that was learnt, for `absorb` of another process: as large as its different values, whatever the rows."""
        return dump(self._learners)

    def absorb(self, learnt: bytes) -> None:
        """Learn what a fitting of the same features in another process has. Raises Corrupted for other bytes."""
        absorb(self._learners, learnt)

    def finish(self, *, without: int | None = None) -> FittedFeatures:
        """The fitted features; `without` a fold, target encoding is what the other folds say. Raises InvalidInput."""
        plain: list[FittedFeature] = []
        derived: list[Derived] = []
        for learner in self._learners:
            for found in learner.finish(without=without):
                if isinstance(found, FittedFeature):
                    plain.append(found)
                else:
                    derived.append(found)
        plain.sort(key=lambda feature: TRANSFORMS.index(feature.transform))
        return FittedFeatures(features=tuple(plain), derived=tuple(derived))


def fit_features(
    specs: Sequence[FeatureSpec], table: pa.Table, labels: NDArray[np.int64] | None = None
) -> FittedFeatures:
    """Fit on a training table. Raises InvalidInput for a missing column, a type the transform cannot use, or no values."""
    fitting = Fitting(specs, table.schema)
    fitting.update(table, labels=labels)
    return fitting.finish()


def fit_out_of_fold(
    specs: Sequence[FeatureSpec], table: pa.Table, labels: NDArray[np.int64]
) -> tuple[FittedFeatures, ...]:
    """Fitted features for each fold of the training rows: row `i` takes those at `i % len`, which never saw its label.

    Empty where no feature is made of labels: then training rows take what serving takes.
    """
    fitting = Fitting(specs, table.schema)
    if not fitting.needs_labels:
        return ()
    fitting.update(table, labels=labels)
    return tuple(fitting.finish(without=fold) for fold in range(fitting.folds))


def _reads(spec: FeatureSpec, schema: pa.Schema) -> dict[str, pa.DataType]:
    found = {}
    for column in spec.reads:
        if column not in schema.names:
            raise InvalidInput.choice("Feature column", column, schema.names)
        found[column] = schema.field(column).type
    return found


def _check_names(specs: Sequence[FeatureSpec]) -> None:
    folds = {spec.folds for spec in specs if spec.transform == "target"}
    if len(folds) > 1:
        raise InvalidInput(f"Target-encoded features must have the same count of folds, and have {sorted(folds)}.")
