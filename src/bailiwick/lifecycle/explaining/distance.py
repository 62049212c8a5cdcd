"""How far two rows are, whatever their columns hold: Gower's distance, from 0 (the same) to 1."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from bailiwick.lifecycle.explaining.ensemble import Floats
from bailiwick.lifecycle.explaining.subject import Column, Rows

TOLD = (
    "Gower: the mean over columns of |a - b| over the range of the middle 98 % of training rows, at most 1, for numbers; of 0 "
    "for equal and 1 for different texts; of 1 where only one is missing"
)
_PERCENTILES = (1, 99)


class Distance:
    """With the spans of a sample of training rows."""

    def __init__(self, columns: Sequence[Column], sample: Rows) -> None:
        self._columns = [column for column in columns if column.name in sample]
        self._spans = {column.name: 1.0 if column.text else span_of(sample[column.name]) for column in self._columns}

    def between(self, row: Rows, rows: Rows) -> Floats:
        """[rows]: of each to the one row, over the columns that both have."""
        shared = [column for column in self._columns if column.name in rows]
        if not shared:
            return np.ones(len(next(iter(rows.values()))))
        parts = [self._of(column, row[column.name][0], rows[column.name]) for column in shared]
        found: Floats = np.mean(parts, axis=0)
        return found

    def _of(self, column: Column, value: object, values: np.ndarray) -> Floats:
        if column.text:
            return np.asarray(values != value, np.float64)
        with np.errstate(invalid="ignore"):
            apart = np.minimum(np.abs(values - float(str(value))) / self._spans[column.name], 1.0)
        missing = np.isnan(values)
        if np.isnan(float(str(value))):
            return np.asarray(~missing, np.float64)
        far: Floats = np.where(missing, 1.0, np.where(np.isnan(apart), 0.0, apart))
        return far


def span_of(values: np.ndarray) -> float:
    """The range of the middle 98 %; so small that any difference is 1 where all values are one."""
    known = values[np.isfinite(values)]
    if not known.size:
        return float(np.finfo(np.float64).tiny)
    low, high = np.percentile(known, _PERCENTILES)
    return float(high - low) or float(np.finfo(np.float64).tiny)


class Nearest:
    """The nearest rows of a stream, in memory for as many as are wanted."""

    def __init__(self, distance: Distance, row: Rows, wanted: int) -> None:
        self._distance = distance
        self._row = row
        self._wanted = wanted
        self._kept: list[tuple[float, int, dict[str, object]]] = []
        self.searched = 0

    def look(self, rows: Rows, others: dict[str, list[object]]) -> None:
        """Take a batch; `others` are values that come along, such as a label."""
        far = self._distance.between(self._row, rows)
        for place in np.argsort(far, kind="stable")[: self._wanted]:
            item = (-float(far[place]), -(self.searched + int(place)))
            if len(self._kept) == self._wanted and item <= self._kept[0][:2]:
                break
            told = {name: values[place] for name, values in rows.items()}
            told |= {name: values[place] for name, values in others.items()}
            (heapq.heappush if len(self._kept) < self._wanted else heapq.heappushpop)(self._kept, (*item, told))
        self.searched += len(far)

    def found(self) -> list[tuple[float, dict[str, object]]]:
        """(distance, values), nearest first; of equally far ones those that came first."""
        return [(-far, told) for far, _, told in sorted(self._kept, key=lambda each: (-each[0], -each[1]))]
