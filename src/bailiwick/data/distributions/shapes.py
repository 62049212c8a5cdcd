"""Histograms of one column in several datasets, on the same edges, so that their bars can be held against one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bailiwick.data.distributions.model import Side

if TYPE_CHECKING:
    from bailiwick.data.distributions.cumulative import Cumulative

OTHER = "other values"
_FENCE = 2.0
"""Bars end this many times the distance of the outer tenths beyond them; what lies farther is in the last bar."""

_SAME = 1e-12
_SMALL_STEP = 1.2


@dataclass(frozen=True, slots=True)
class Bars:
    """Shares of present values by bar, one tuple a dataset (None where it lacks the column): of numbers with `edges`, one
    more than bars, of text with `labels`. `open_low` and `open_high` say that the first and the last bar hold all beyond.
    """

    shares: tuple[tuple[float, ...] | None, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    whole: bool = False
    open_low: bool = False
    open_high: bool = False

    @property
    def size(self) -> int:
        """How many bars there are."""
        return len(self.labels) or max(len(self.edges) - 1, 0)

    @property
    def tallest(self) -> float:
        """The greatest share of any dataset."""
        return max((share for shares in self.shares if shares for share in shares), default=0.0)


NOTHING = Bars(())


def bars_of(sides: Sequence[Side | None], *, most: int) -> Bars:
    """At most `most` bars of the column with these sides; none of a column without values, or of bytes."""
    functions = [side.cumulative if side else None for side in sides]
    if any(functions):
        return _of_numbers(functions, most)
    if any(side and side.values for side in sides):
        return _of_values(sides, most)
    return NOTHING


def _of_numbers(functions: Sequence[Cumulative | None], most: int) -> Bars:
    there = [function for function in functions if function is not None]
    whole = all(function.whole for function in there)
    least, greatest = min(f.places[0] for f in there), max(f.places[-1] for f in there)
    fences = [_fences(function) for function in there]
    low, high = max(least, min(low for low, _ in fences)), min(greatest, max(high for _, high in fences))
    edges = _whole_edges(low, high, most) if whole else _even_edges(low, high, most)
    shares = tuple(_between(function, edges) if function is not None else None for function in functions)
    return Bars(shares, edges=edges, whole=whole, open_low=edges[0] > least, open_high=edges[-1] < greatest)


def _fences(function: Cumulative) -> tuple[float, float]:
    """How far bars should go. All the way where most values are the same."""
    low, high = function.quantile(0.1), function.quantile(0.9)
    least, most = function.places[0], function.places[-1]
    if high - low <= (most - least) * _SAME:
        return least, most
    return low - _FENCE * (high - low), high + _FENCE * (high - low)


def _even_edges(low: float, high: float, most: int) -> tuple[float, ...]:
    if high <= low:
        return (low, high)
    step = high / most - low / most  # high - low may overflow
    return (low, *(low + step * i for i in range(1, most)), high)


def _whole_edges(low: float, high: float, most: int) -> tuple[float, ...]:
    """Edges half-way between whole numbers: one number a bar where they are few."""
    first, last = math.floor(low + 0.5) - 0.5, math.ceil(high - 0.5) + 0.5
    numbers = last - first
    if not (math.isfinite(numbers) and numbers >= 1.0):  # so large that halves are lost
        return _even_edges(low, high, most)
    step = 1.0 if numbers <= most * _SMALL_STEP else float(math.ceil(numbers / most))
    return tuple(first + step * i for i in range(math.ceil(numbers / step) + 1))


def _between(function: Cumulative, edges: Sequence[float]) -> tuple[float, ...]:
    """Shares between the edges; the first and the last bar take what lies beyond."""
    reached = [0.0, *(function.share_below(edge) for edge in edges[1:-1]), 1.0]
    return tuple(max(0.0, reached[i + 1] - reached[i]) for i in range(len(reached) - 1))


def _of_values(sides: Sequence[Side | None], most: int) -> Bars:
    """The most frequent values of either side, the most frequent of the last side first; then all others as one."""
    tables = [dict(side.values) if side else None for side in sides]
    there = [table for table in tables if table]
    ranked = sorted(
        {value for table in there for value in list(table)[: most * 2]},
        key=lambda value: (-max(table.get(value, 0.0) for table in there), value),
    )
    labels = sorted(ranked[:most], key=lambda value: (-(there[-1].get(value, 0.0)), -there[0].get(value, 0.0), value))
    rest = [max(0.0, 1.0 - sum(table.get(label, 0.0) for label in labels)) if table else 0.0 for table in tables]
    others = len(ranked) > most or any(share > 5e-4 for share in rest)
    if others:
        labels = [*labels[: most - 1 if len(labels) == most else most]]
    shares = tuple(_of_labels(table, labels, others=others) if table is not None else None for table in tables)
    return Bars(shares, labels=(*labels, OTHER) if others else tuple(labels))


def _of_labels(table: dict[str, float], labels: Sequence[str], *, others: bool) -> tuple[float, ...]:
    known = [table.get(label, 0.0) for label in labels]
    return (*known, max(0.0, 1.0 - sum(known)) if table else 0.0) if others else tuple(known)
