"""Evaluates a model on all rows and on each slice of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.evaluation.metrics import compute_metrics
from bailiwick.evaluation.model import LEAST_ROWS, Evaluation, Slice


def evaluate(
    labels: NDArray[Any],
    scores: NDArray[Any],
    slices: Mapping[str, NDArray[Any]] | None = None,
    *,
    least_rows: int = LEAST_ROWS,
) -> Evaluation:
    """Metrics of all rows, and of each value of each slicing column that has at least `least_rows` rows.

    Raises InvalidInput for no rows, lengths that differ, labels besides 0 and 1, scores that are no probabilities.
    """
    checked_labels, checked_scores = _checked(labels, scores)
    found: list[Slice] = []
    for column, values in (slices or {}).items():
        if len(values) != len(checked_labels):
            raise InvalidInput(
                f"Slice column {column!r} has {len(values)} rows; there are {len(checked_labels)} labels."
            )
        for value, rows in _groups(values):
            if len(rows) >= least_rows:
                measured = compute_metrics(checked_labels[rows], checked_scores[rows])
                found.append(Slice(column=column, value=value, rows=len(rows), metrics=measured))
    metrics = compute_metrics(checked_labels, checked_scores)
    return Evaluation(metrics=metrics, slices=tuple(found), labels=checked_labels, scores=checked_scores)


def _checked(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if not len(labels) or len(labels) != len(scores):
        raise InvalidInput(f"An evaluation needs as many scores as labels; got {len(scores)} and {len(labels)}.")
    strange = labels[(labels != 0) & (labels != 1)]
    if len(strange):
        raise InvalidInput(f"Label {strange[0]!r} is not known; labels are 0 and 1.")
    wide = np.asarray(scores, np.float64)
    outside = wide[~((wide >= 0) & (wide <= 1))]
    if len(outside):
        raise InvalidInput(f"Score {outside[0]} is not a probability between 0 and 1.")
    return np.asarray(labels).astype(np.int64), wide


def _groups(values: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Rows by value shown as text, in the order of the texts; missing values are the slice of the empty text."""
    texts = np.array([_text(value) for value in values.tolist()], np.str_)
    names, codes = np.unique(texts, return_inverse=True)
    for code, name in enumerate(names.tolist()):
        yield name, np.flatnonzero(codes == code)


def _text(value: object) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else str(value)
