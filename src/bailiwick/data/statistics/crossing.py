"""Statistics of two columns at a time, in TFDV's `cross_features`: correlation of numbers, lift of a label by values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import is_list, is_time, storable
from bailiwick.data.statistics.room import Room

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
else:
    np, pa = deferred("numpy"), deferred("pyarrow")

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

MOST_LABELS = 100
TOP_LIFT = 100
_ROUNDING = 1e-13


def add_correlations(dataset: Any, table: pa.Table, columns: Sequence[str] | None = None) -> None:
    """Covariance and correlation (of the population) of every two numeric columns, over rows that have both.

    `columns`: only these, of which there may be others than numbers; None is all. NaN and infinities count as missing.
    TFDV samples a tenth of the batches; this looks at every row.
    """
    found = Correlations(columns)
    found.add(storable(table))
    found.tell(dataset)


def add_lift(dataset: Any, table: pa.Table, label: str, columns: Sequence[str] | None = None) -> None:
    """For each categorical column, how many times likelier each label is given a value: P(label | value) / P(label).

    Of each label the `TOP_LIFT` values of most lift. `columns`: None is every column of text and booleans but the label.
    Raises InvalidInput for a label that is no column, or has more than `MOST_LABELS` values.
    """
    found = Lift(label, columns)
    found.add(storable(table))
    found.tell(dataset)


@dataclass(slots=True)
class _Moments:
    """Of every two columns, over rows that have both: how many, the first's mean and squares, and the product, about means.

    `scale` are the squares before the means of just those rows were taken off: what is far less is rounding.
    """

    count: Floats
    mean: Floats
    squares: Floats
    product: Floats
    scale: Floats

    @staticmethod
    def of(values: Floats) -> _Moments:
        there = np.isfinite(values)
        values[~there] = 0
        centre = values.sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        values -= there * centre  # about the means, so that little cancels
        known = there.astype(np.float64)
        count, product = known.T @ known, values.T @ values
        sums, squares = values.T @ known, (values * values).T @ known
        mean = sums / np.maximum(count, 1)
        return _Moments(count, mean + centre[:, None], squares - mean * sums, product - mean * sums.T, squares)

    def merge(self, other: _Moments) -> _Moments:
        """Of both (Chan, Golub and LeVeque 1979, for two columns at a time)."""
        count = self.count + other.count
        gap = np.where((self.count > 0) & (other.count > 0), other.mean - self.mean, 0.0)
        share = other.count / np.maximum(count, 1)
        mean = np.where(self.count > 0, self.mean + gap * share, other.mean)
        weight = self.count * share
        return _Moments(
            count,
            mean,
            self.squares + other.squares + gap * gap * weight,
            self.product + other.product + gap * gap.T * weight,
            self.scale + other.scale + gap * gap * weight,
        )


class Correlations:
    """What `add_correlations` tells, of rows that come in parts."""

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self._columns = columns
        self._names: list[str] = []
        self._moments: _Moments | None = None

    def add(self, rows: pa.Table) -> None:
        """The next rows, in storable types."""
        chosen = self._columns or rows.column_names
        self._names = sorted(name for name in chosen if _is_number(rows.column(name).type))
        if len(self._names) < 2:
            return
        columns = [rows.column(name).cast(pa.float64()).to_numpy() for name in self._names]
        found = _Moments.of(np.column_stack(columns))
        self._moments = found if self._moments is None else self._moments.merge(found)

    def tell(self, dataset: Any) -> None:
        """Add what was found."""
        found = self._moments
        if found is None:
            return
        for i, j in combinations(range(len(self._names)), 2):
            total = found.count[i, j]
            cross = dataset.cross_features.add(
                path_x={"step": [self._names[i]]}, path_y={"step": [self._names[j]]}, count=int(total)
            )
            if not total:
                continue
            cross.num_cross_stats.covariance = found.product[i, j] / total
            x, y = found.squares[i, j], found.squares[j, i]
            if x > _ROUNDING * found.scale[i, j] and y > _ROUNDING * found.scale[j, i]:
                correlation = found.product[i, j] / (math.sqrt(x) * math.sqrt(y))
                cross.num_cross_stats.correlation = float(np.clip(correlation, -1, 1))


class Lift:
    """What `add_lift` tells, of rows that come in parts. A column with more pairs of value and label than there is room for is
    left out, and its custom statistic `lift_left_out` says how many that was.
    """

    def __init__(self, label: str, columns: Sequence[str] | None = None, *, room: Room | None = None) -> None:
        self._label = label
        self._columns = columns
        self._room = room or Room()
        self._rows = 0
        self._labels: Counter[Any] = Counter()
        self._pairs: dict[str, Counter[tuple[Any, Any]]] = {}
        self._left_out: dict[str, int] = {}

    def add(self, rows: pa.Table) -> None:
        """The next rows, in storable types. Raises InvalidInput for what is no label."""
        if self._label not in rows.column_names:
            raise InvalidInput.choice("Label column", self._label, rows.column_names)
        labels = rows.column(self._label)
        if not is_list(labels.type):
            self._labels.update(
                {pair["values"]: pair["counts"] for pair in labels.drop_null().value_counts().to_pylist()}
            )
        if is_list(labels.type) or len(self._labels) > MOST_LABELS:
            raise InvalidInput(
                f"Label column {self._label!r} should have single values, at most {MOST_LABELS} different ones."
            )
        self._rows += rows.num_rows
        for name in self._columns or rows.column_names:
            kind = rows.column(name).type
            if name == self._label or not (pa.types.is_string(kind) or pa.types.is_boolean(kind) or self._columns):
                continue
            pairs = self._pairs.setdefault(name, Counter())
            if name not in self._left_out:
                pairs.update(_pairs(rows.column(name), labels))
            if len(pairs) > self._room.pairs:
                self._left_out[name] = self._room.pairs
                pairs.clear()

    def tell(self, dataset: Any) -> None:
        """Add what was found."""
        for feature in dataset.features:
            most = self._left_out.get(feature.path.step[0])
            if most is not None:
                feature.custom_stats.add(name="lift_left_out", num=most)
        for name, pairs in self._pairs.items():
            if name in self._left_out:
                continue
            of_values: Counter[Any] = Counter()
            for (value, _), count in pairs.items():
                of_values[value] += count
            both = sum(count for (_, label), count in pairs.items() if label is not None)
            cross = dataset.cross_features.add(path_x={"step": [name]}, path_y={"step": [self._label]}, count=both)
            for label in sorted(self._labels, key=str):
                self._series(cross.categorical_cross_stats.lift.lift_series, label, of_values, pairs)

    def _series(
        self, told: Any, label: Any, of_values: Mapping[Any, int], pairs: Mapping[tuple[Any, Any], int]
    ) -> None:
        series = told.add(y_count=self._labels[label])
        _set(series, "y", label)
        share = self._labels[label] / self._rows
        lifts = [(pairs.get((x, label), 0) / count / share, x, count) for x, count in of_values.items()]
        for lift, x, count in sorted(lifts, key=lambda found: (-found[0], str(found[1])))[:TOP_LIFT]:
            entry = series.lift_values.add(lift=lift, x_count=count, x_and_y_count=pairs.get((x, label), 0))
            _set(entry, "x", x)


def _pairs(values: pa.ChunkedArray, labels: pa.ChunkedArray) -> dict[tuple[Any, Any], int]:
    """How often each value occurs with each label, or with none."""
    there = pa.table({"x": values, "y": labels}).filter(values.is_valid())
    counted = there.group_by(["x", "y"]).aggregate([([], "count_all")])
    columns = (counted.column(name).to_pylist() for name in ("x", "y", "count_all"))
    return {(x, y): count for x, y, count in zip(*columns, strict=True)}


def _set(message: Any, side: str, value: Any) -> None:
    if isinstance(value, int):
        setattr(message, f"{side}_int", int(value))
    else:
        setattr(message, f"{side}_string", str(value))


def _is_number(kind: pa.DataType) -> bool:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(number and not is_time(kind))
