"""How much each column tells of a label, in bits: custom statistics `mutual_information` and `adjusted_mutual_information`.

Numbers are put into ten bins of equal mass, texts and booleans are taken as they are (past a hundred values the rest are
one), missing is a value of its own. Plain information is never negative and grows with the number of values by chance
alone; the adjusted one has what independence would give by then, (r-1)(c-1)/(2n ln 2), taken off (Miller 1955).
TFDV estimates it by nearest neighbours on a sample, or on hashed pieces; this is exact for these bins.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable
from bailiwick.data.statistics.compute import NUM_BUCKETS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np = deferred("numpy")
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")

MOST_VALUES = 100


def add_information(dataset: Any, table: pa.Table, label: str) -> None:
    """To the statistics of every column of single numbers, texts or booleans, but the label's.

    Raises InvalidInput for a label that is no such column.
    """
    rows = storable(table)
    if label not in rows.column_names:
        raise InvalidInput.choice("Label column", label, rows.column_names)
    of_label = _codes(rows.column(label))
    if of_label is None:
        raise InvalidInput(f"Label column {label!r} is {rows.column(label).type}, not numbers, text or booleans.")
    for feature in dataset.features:
        name = feature.path.step[0]
        codes = _codes(rows.column(name)) if name != label and name in rows.column_names else None
        if codes is None or not rows.num_rows:
            continue
        information, chance = mutual_information(codes, of_label)
        feature.custom_stats.add(name="mutual_information", num=information)
        feature.custom_stats.add(name="adjusted_mutual_information", num=max(0.0, information - chance))


def mutual_information(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Bits that codes from 0 tell of each other, and how many of those chance alone gives."""
    counts = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(counts, (one, other), 1)
    total = counts.sum()
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    seen = counts > 0
    expected = np.outer(rows, columns)[seen] / total
    information = float(np.dot(counts[seen], np.log2(counts[seen] / expected)) / total)
    freedom = (np.count_nonzero(rows) - 1) * (np.count_nonzero(columns) - 1)
    return max(0.0, information), float(freedom / (2 * total * math.log(2)))


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64] | None:
    """A number from 0 for each row, 0 for missing; None for lists, structs, bytes and times."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_boolean(kind):
        counted = sorted(
            column.drop_null().value_counts().to_pylist(), key=lambda pair: (-pair["counts"], pair["values"])
        )
        kept = pa.array([pair["values"] for pair in counted[:MOST_VALUES]], kind)
        found = (
            pc.fill_null(pc.index_in(column, value_set=kept), len(kept)) if len(kept) else pa.array([0] * len(column))
        )
        return np.where(column.is_valid().to_numpy(), found.to_numpy() + 1, 0).astype(np.int64)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    values = column.cast(pa.float64(), safe=False).fill_null(math.nan).to_numpy()
    there = ~np.isnan(values)
    if not there.any():
        return np.zeros(len(values), dtype=np.int64)
    distinct = np.unique(values[there])
    if len(distinct) > NUM_BUCKETS:
        shares = np.linspace(0, 1, NUM_BUCKETS + 1)[1:-1]
        distinct = np.unique(np.quantile(values[there], shares, method="inverted_cdf"))
    codes: npt.NDArray[np.int64] = np.where(there, np.searchsorted(distinct, values, side="left") + 1, 0)
    return codes
