"""What is shown of a column, whoever draws it: numbers, the shape of its values, what they did since, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pages list what these modules compute, and must not load what they compute with
    from bailiwick.data.comparison import FeatureDrift
    from bailiwick.data.distributions.cumulative import Cumulative
    from bailiwick.data.validation.anomalies import Anomaly


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """Of finite values; `quantiles` are at even steps from the least value to the greatest, both included."""

    mean: float
    deviation: float
    least: float
    median: float
    most: float
    quantiles: tuple[float, ...]
    zeros: float


@dataclass(frozen=True, slots=True)
class Side:
    """A column in one dataset. Shares are of 1: `missing` of rows, those of `values` of the values there are.

    `not_numbers` and `infinite` are shares of the values of a column of numbers, of which no other number here tells.
    `values` are the most frequent first, and all of them where `complete`. `lengths` is the average of text or bytes, in
    bytes; `per_row` the fewest, average and most values of a row where those are lists.
    """

    rows: float
    missing: float
    distinct: int | None = None
    numbers: NumberFacts | None = None
    not_numbers: float = 0.0
    infinite: float = 0.0
    cumulative: Cumulative | None = None
    values: tuple[tuple[str, float], ...] = ()
    complete: bool = True
    lengths: float | None = None
    per_row: tuple[int, float, int] | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column in each of one or two datasets, the baseline first; None where a dataset lacks it.

    `kind` is `integer`, `number`, `boolean`, `time`, `text`, `bytes` or `struct`, in the last dataset that has it, and
    `retyped` what it was in the baseline, where that differs. `distance` is how many of the rows are elsewhere (0 to 1), None
    where that cannot be told; `drift` the test's verdict, None where there was none.
    """

    path: tuple[str, ...]
    kind: str
    sides: tuple[Side | None, ...]
    retyped: str = ""
    distance: float | None = None
    drift: FeatureDrift | None = None
    anomalies: tuple[Anomaly, ...] = ()

    @property
    def name(self) -> str:
        """Its path, as one text."""
        return "/".join(self.path)

    @property
    def now(self) -> Side | None:
        """The last dataset's side: of two, the one that is looked at and not the baseline."""
        return self.sides[-1]

    @property
    def shown(self) -> Side:
        """The last side that is there."""
        return next(side for side in reversed(self.sides) if side is not None)

    @property
    def moved(self) -> bool:
        """Whether it is surely not as it was: drifted, retyped, new or gone."""
        return bool((self.drift and self.drift.drifted) or self.retyped or None in self.sides)


@dataclass(frozen=True, slots=True)
class Slice:
    """All columns of some of the rows; `name` is "" for all rows. `rows` as the sides of columns, the baseline first; only
    one where the baseline has no such slice. `anomalies` are those of the dataset itself.
    """

    name: str
    rows: tuple[float, ...]
    columns: tuple[Column, ...]
    anomalies: tuple[Anomaly, ...] = ()
