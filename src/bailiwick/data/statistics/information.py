"""How much each column tells of a label, in bits: custom statistics `mutual_information` and `adjusted_mutual_information`.

Numbers are put into ten bins of equal mass, texts and booleans are taken as they are (past a hundred values the rest are
one), missing is a value of its own. Plain information is never negative and grows with the number of values by chance
alone; the adjusted one has what independence would give by then, (r-1)(c-1)/(2n ln 2), taken off (Miller 1955).
TFDV estimates it by nearest neighbours on a sample, or on hashed pieces; this is exact for these bins.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable
from bailiwick.data.statistics.columns import ColumnPart
from bailiwick.data.statistics.merging import Part, count_part
from bailiwick.data.statistics.telling import NUM_BUCKETS

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
    found = Information(label, rows.schema, count_part(rows))
    found.add(rows)
    found.tell(dataset)


class Information:
    """What `add_information` tells, of rows that come in parts and have been counted once already: `counted`."""

    def __init__(self, label: str, schema: pa.Schema, counted: Part) -> None:
        if label not in schema.names:
            raise InvalidInput.choice("Label column", label, schema.names)
        self._label = label
        self._codes = {
            field.name: codes
            for field in schema
            if (codes := _codes_of(field.type, counted.columns[field.name])) is not None
        }
        if label not in self._codes:
            raise InvalidInput(f"Label column {label!r} is {schema.field(label).type}, not numbers, text or booleans.")
        labels = self._codes[label].size
        self._counts = {name: np.zeros((codes.size, labels)) for name, codes in self._codes.items() if name != label}

    def add(self, rows: pa.Table) -> None:
        """The next of the same rows, in storable types."""
        labels = self._codes[self._label].of(rows.column(self._label))
        for name, counts in self._counts.items():
            np.add.at(counts, (self._codes[name].of(rows.column(name)), labels), 1)

    def tell(self, dataset: Any) -> None:
        """Add what was found."""
        for feature in dataset.features:
            counts = self._counts.get(feature.path.step[0])
            if counts is None or not counts.any():
                continue
            information, chance = mutual_information(counts)
            feature.custom_stats.add(name="mutual_information", num=information)
            feature.custom_stats.add(name="adjusted_mutual_information", num=max(0.0, information - chance))


def mutual_information(counts: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Bits that two things tell of each other, of how often they came together, and how many of those chance alone gives."""
    total = counts.sum()
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    seen = counts > 0
    expected = np.outer(rows, columns)[seen] / total
    information = float(np.dot(counts[seen], np.log2(counts[seen] / expected)) / total)
    freedom = (np.count_nonzero(rows) - 1) * (np.count_nonzero(columns) - 1)
    return max(0.0, information), float(freedom / (2 * total * math.log(2)))


class _Codes(Protocol):
    """A number from 0 to below `size` for each value; 0 for missing."""

    size: int

    def of(self, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Of each row."""


class _OfWords:
    def __init__(self, words: pa.Array) -> None:
        self._words = words
        self.size = len(words) + 2

    def of(self, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        found = pc.fill_null(pc.index_in(column, value_set=self._words), len(self._words)).to_numpy()
        return np.where(column.is_valid().to_numpy(), found + 1, 0).astype(np.int64)


class _OfNumbers:
    def __init__(self, cuts: npt.NDArray[np.float64]) -> None:
        self._cuts = cuts
        self.size = len(cuts) + 2

    def of(self, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        values = column.cast(pa.float64(), safe=False).fill_null(math.nan).to_numpy()
        codes: npt.NDArray[np.int64] = np.where(
            np.isnan(values), 0, np.searchsorted(self._cuts, values, side="left") + 1
        )
        return codes


def _codes_of(kind: pa.DataType, counted: ColumnPart) -> _Codes | None:
    """None for lists, structs, bytes and times."""
    if pa.types.is_boolean(kind):
        return _OfWords(pa.array([False, True]))
    if pa.types.is_string(kind):
        return _OfWords(pa.array([value for value, _ in counted.texts.ranked(MOST_VALUES)], kind))
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    numbers = counted.numbers
    values = np.concatenate([[-math.inf], numbers.values, [math.inf]])
    counts = np.concatenate([[numbers.low_infinity], numbers.counts, [numbers.high_infinity]])
    values = values[counts > 0]
    totals = np.cumsum(counts[counts > 0])
    if len(values) > NUM_BUCKETS:
        shares = np.linspace(0, 1, NUM_BUCKETS + 1)[1:-1]
        values = np.unique(values[np.searchsorted(totals, np.ceil(shares * totals[-1]), side="left")])
    return _OfNumbers(values)
