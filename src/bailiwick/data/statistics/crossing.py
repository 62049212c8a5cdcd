"""Statistics of two columns at a time, in TFDV's `cross_features`: correlation of numbers, lift of a label by values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import is_list, is_time, storable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np, pa, pc = deferred("numpy"), deferred("pyarrow"), deferred("pyarrow.compute")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")

MOST_LABELS = 100
TOP_LIFT = 100


def add_correlations(dataset: Any, table: pa.Table, columns: Sequence[str] | None = None) -> None:
    """Covariance and correlation (of the population) of every two numeric columns, over rows that have both.

    `columns`: only these, of which there may be others than numbers; None is all. NaN and infinities count as missing.
    TFDV samples a tenth of the batches; this looks at every row.
    """
    rows = storable(table)
    names = sorted(name for name in columns or rows.column_names if _is_number(rows.column(name).type))
    if len(names) < 2:
        return
    values = np.column_stack([rows.column(name).cast(pa.float64()).to_numpy() for name in names])
    there = np.isfinite(values)
    values[~there] = 0
    values -= there * (values.sum(axis=0) / np.maximum(there.sum(axis=0), 1))  # about the means, so that little cancels
    known = there.astype(np.float64)
    count, product = known.T @ known, values.T @ values
    sums, squares = values.T @ known, (values * values).T @ known  # of the first column, where the second is there too
    for i, j in combinations(range(len(names)), 2):
        cross = dataset.cross_features.add(
            path_x={"step": [names[i]]}, path_y={"step": [names[j]]}, count=int(count[i, j])
        )
        total = count[i, j]
        if not total:
            continue
        mean_x, mean_y = sums[i, j] / total, sums[j, i] / total
        covariance = product[i, j] / total - mean_x * mean_y
        spread_x, spread_y = squares[i, j] / total - mean_x**2, squares[j, i] / total - mean_y**2
        cross.num_cross_stats.covariance = covariance
        if spread_x > 0 and spread_y > 0:
            cross.num_cross_stats.correlation = float(np.clip(covariance / np.sqrt(spread_x * spread_y), -1, 1))


def add_lift(dataset: Any, table: pa.Table, label: str, columns: Sequence[str] | None = None) -> None:
    """For each categorical column, how many times likelier each label is given a value: P(label | value) / P(label).

    Of each label the `TOP_LIFT` values of most lift. `columns`: None is every column of text and booleans but the label.
    Raises InvalidInput for a label that is no column, or has more than `MOST_LABELS` values.
    """
    rows = storable(table)
    if label not in rows.column_names:
        raise InvalidInput.choice("Label column", label, rows.column_names)
    labels = rows.column(label)
    if is_list(labels.type) or pc.count_distinct(labels).as_py() > MOST_LABELS:
        raise InvalidInput(f"Label column {label!r} should have single values, at most {MOST_LABELS} different ones.")
    of_labels = {pair["values"]: pair["counts"] for pair in labels.drop_null().value_counts().to_pylist()}
    total = rows.num_rows
    for name in columns or rows.column_names:
        kind = rows.column(name).type
        if name == label or not (pa.types.is_string(kind) or pa.types.is_boolean(kind) or columns):
            continue
        pairs = pa.table({"x": rows.column(name), "y": labels}).drop_null()
        of_values = {
            pair["values"]: pair["counts"] for pair in rows.column(name).drop_null().value_counts().to_pylist()
        }
        both = pairs.group_by(["x", "y"]).aggregate([([], "count_all")]).to_pylist()
        cross = dataset.cross_features.add(path_x={"step": [name]}, path_y={"step": [label]}, count=pairs.num_rows)
        seen = {(row["x"], row["y"]): row["count_all"] for row in both}
        for value in sorted(of_labels, key=str):
            series = cross.categorical_cross_stats.lift.lift_series.add(y_count=of_labels[value])
            _set(series, "y", value)
            lifts = [
                (seen.get((x, value), 0) / count / (of_labels[value] / total), x, count)
                for x, count in of_values.items()
            ]
            for lift, x, count in sorted(lifts, key=lambda found: (-found[0], str(found[1])))[:TOP_LIFT]:
                entry = series.lift_values.add(lift=lift, x_count=count, x_and_y_count=seen.get((x, value), 0))
                _set(entry, "x", x)


def _set(message: Any, side: str, value: Any) -> None:
    if isinstance(value, int):
        setattr(message, f"{side}_int", int(value))
    else:
        setattr(message, f"{side}_string", str(value))


def _is_number(kind: pa.DataType) -> bool:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(number and not is_time(kind))
