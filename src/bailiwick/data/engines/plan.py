"""The plan: the few aggregates from which statistics, profiles and checks are made. A dialect writes each as SQL.

Every answer is small whatever the data: sums, counts of frozen bins, or a stated number of values. None holds a row.
Where an operation is `of` several things, its rows begin with the place of the thing that they tell of.
"""

from __future__ import annotations

from dataclasses import dataclass

from bailiwick.data.engines.model import Column


@dataclass(frozen=True, slots=True)
class Presence:
    """One row: how many rows there are, then of each column how many have a value (for lists: a list)."""

    columns: tuple[Column, ...]


TOTALS = ("values", "nan", "low_infinity", "high_infinity", "zeros", "finite", "least", "most")


@dataclass(frozen=True, slots=True)
class Totals:
    """One row, `TOTALS` of each numeric column after another; `least` and `most` are of its finite values.

    A column with lists stands alone, for its values come from another relation.
    """

    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Centred:
    """Finite values of a column as ((v - centre) / width) ^ power, so that sums of them neither overflow nor cancel."""

    column: Column
    centre: float
    width: float
    power: int


@dataclass(frozen=True, slots=True)
class Sums:
    """One row: the sum of each. A column with lists stands alone."""

    of: tuple[Centred, ...]


@dataclass(frozen=True, slots=True)
class Binned:
    """Finite values of a column within [low, high], between frozen edges: bin i holds edges[i-1] ≤ v < edges[i].

    `upper`: an edge belongs to the bin below it instead, edges[i-1] < v ≤ edges[i], and infinities fall into the outer
    bins; `low` and `high` do not matter then.
    """

    column: Column
    edges: tuple[float, ...]
    low: float = 0.0
    high: float = 0.0
    upper: bool = False


@dataclass(frozen=True, slots=True)
class Bins:
    """Rows (place, bin, count, least, most) of the bins that hold something."""

    of: tuple[Binned, ...]


@dataclass(frozen=True, slots=True)
class Spans:
    """Finite values of a column within closed spans, which the asker knows to hold few."""

    column: Column
    spans: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Rows (place, number, count) of each different number within the spans."""

    of: tuple[Spans, ...]


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows (place, different values, values, bytes of them all, fewest and most bytes of one). Of text and binary."""

    of: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The `most` most frequent texts of at least `at_least` occurrences; of equals the later in order, or the `earlier`.

    The order of text is that of its code points, whatever the collation of the column.
    """

    column: Column
    most: int
    earlier: bool = False
    at_least: int = 1


@dataclass(frozen=True, slots=True)
class Top:
    """Rows (place, text, count)."""

    of: tuple[Ranking, ...]


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows (place, count, how many different texts occur so often)."""

    of: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """Texts that are looked for in a column; at least one."""

    column: Column
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Among:
    """Rows (place, text, count) of the known texts that occur."""

    of: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Rows (place, number of innermost values, how many rows have so many) of columns with lists."""

    of: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Nesting:
    """The lists of a column that are `level` lists deep; 0 is the outermost."""

    column: Column
    level: int


@dataclass(frozen=True, slots=True)
class Levels:
    """Rows (place, length or null where missing, how many lists)."""

    of: tuple[Nesting, ...]


@dataclass(frozen=True, slots=True)
class Failing:
    """One row: of each condition, in the engine's own SQL, how many rows it is false of."""

    of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One row: how many rows there are, and of the eight words of each row's SHA-256 the sums. Of all of these columns."""

    columns: tuple[Column, ...]


Operation = (
    Presence
    | Totals
    | Sums
    | Bins
    | Numbers
    | Groups
    | Top
    | Repeats
    | Among
    | Lengths
    | Levels
    | Failing
    | Fingerprint
)
