"""Numbers in order without sorting them: bins over frozen edges, split where a wanted rank lies, until it is one number.

Some edges lie close around where the rank would be if a bin were even, which for most data leaves a thousandth of it; some
divide the bin evenly and some divide the doubles in it evenly, so that a far outlier costs one more pass. Three passes over
a million rows are usual. Exact on any engine, in answers of at most some thousand rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import Conflict
from bailiwick.data.engines import plan
from bailiwick.data.engines.asking import in_parts
from bailiwick.data.engines.engine import Engine
from bailiwick.data.engines.model import Column

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

EDGES = 96
"""About how many edges one pass counts between, in one column."""
FEW = 2_048
"""So many values are asked for by themselves, or `_EACH` for each rank if that is more, instead of being divided further."""
_EACH = 96


@dataclass(frozen=True, slots=True)
class Cell:
    """Neighbours in order: how many, the least and the most of them."""

    least: float
    most: float
    count: int

    @property
    def known(self) -> bool:
        """Whether each of its numbers is known."""
        return self.least == self.most or self.count <= 2


@dataclass(slots=True)
class Wanted:
    """Of a column with `count` finite numbers in [least, most], the numbers at `ranks` (from 0). `edges` are counted to."""

    column: Column
    least: float
    most: float
    count: int
    ranks: Sequence[int]
    edges: Sequence[float] = ()
    cells: list[Cell] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells = [Cell(self.least + 0.0, self.most + 0.0, self.count)] if self.count else []

    @property
    def open(self) -> dict[int, list[float]]:
        """Places of cells that hold a wanted rank whose number is not known, with the shares of the cell below each."""
        ends = np.cumsum([cell.count for cell in self.cells])
        found: dict[int, list[float]] = {}
        ranks = np.unique(np.asarray(self.ranks, dtype=np.int64))
        for rank, place in zip(ranks.tolist(), np.searchsorted(ends, ranks, side="right").tolist(), strict=True):
            cell = self.cells[place]
            within = rank - (int(ends[place]) - cell.count)
            if not cell.known and 0 < within < cell.count - 1:
                found.setdefault(place, []).append((within + 0.5) / cell.count)
        return found

    def counted(self) -> tuple[Any, Any]:
        """Numbers in order and their counts: true at each wanted rank, at the ends and at each edge, and in number."""
        values, counts = [], []
        for cell in self.cells:
            values.append(cell.least)
            counts.append(cell.count if cell.least == cell.most else cell.count - 1)
            if cell.least != cell.most:
                values.append(cell.most)
                counts.append(1)
        return np.array(values, dtype=np.float64), np.array(counts, dtype=np.int64)


def climb(engine: Engine, wanted: Sequence[Wanted]) -> None:
    """Divide cells until all wanted ranks are known. Raises Conflict for data that changes meanwhile."""
    _divide(engine, [one for one in wanted if one.cells and one.least != one.most and one.edges], first=True)
    while True:
        unsettled = [(one, one.open) for one in wanted]
        unsettled = [(one, places) for one, places in unsettled if places]
        if not unsettled:
            return
        few = [one for one, places in unsettled if sum(one.cells[place].count for place in places) <= _most(one)]
        _list(engine, few)
        _divide(engine, [one for one, _ in unsettled if one not in few], first=False)


def _most(one: Wanted) -> int:
    return max(FEW, _EACH * len(one.ranks)) if FEW > _EACH else FEW


def _divide(engine: Engine, wanted: Sequence[Wanted], *, first: bool) -> None:
    asked = []
    for one in wanted:
        places: dict[int, list[float]] = one.open or ({0: []} if first else {})
        parts = max(4, max(EDGES, 4 * len(one.ranks)) // len(places))
        edges = {edge for place, shares in places.items() for edge in _edges(one.cells[place], parts, shares)}
        edges |= {edge for edge in one.edges if first and one.least < edge <= one.most}
        low, high = one.cells[min(places)].least, one.cells[max(places)].most
        asked.append(plan.Binned(one.column, tuple(sorted(edges)), low, high))
    found: list[list[Cell]] = [[] for _ in asked]
    for start, rows in in_parts(engine, asked, plan.Bins):
        for place, _, count, least, most in rows:
            found[start + int(place)].append(Cell(float(least) + 0.0, float(most) + 0.0, int(count)))
    for one, cells in zip(wanted, found, strict=True):
        _replace(one, cells)


def _list(engine: Engine, wanted: Sequence[Wanted]) -> None:
    asked = [
        plan.Spans(one.column, tuple((one.cells[place].least, one.cells[place].most) for place in one.open))
        for one in wanted
    ]
    found: list[dict[float, int]] = [{} for _ in asked]
    for start, rows in in_parts(engine, asked, plan.Numbers):
        for place, value, count in rows:
            held = found[start + int(place)]
            held[float(value) + 0.0] = held.get(float(value) + 0.0, 0) + int(count)
    for one, values in zip(wanted, found, strict=True):
        _replace(one, [Cell(value, value, count) for value, count in values.items()])


def _replace(one: Wanted, finer: Iterable[Cell]) -> None:
    """Put finer cells in the place of those they divide; cells between those are known already."""
    ordered = sorted(finer, key=lambda cell: cell.least)
    cells: list[Cell] = []
    divided = set(one.open) or set(range(len(one.cells)))
    at = 0
    for place, cell in enumerate(one.cells):
        while at < len(ordered) and ordered[at].least < cell.least:
            at += 1
        if place not in divided:
            cells.append(cell)
            continue
        parts = []
        while at < len(ordered) and ordered[at].least <= cell.most:
            parts.append(ordered[at])
            at += 1
        if sum(part.count for part in parts) != cell.count or parts[-1].most > cell.most:
            raise Conflict(
                f"Column {one.column.name!r} changed while it was read.", hint="Read again once nobody writes to it."
            )
        cells += parts
    one.cells = cells


def _edges(cell: Cell, parts: int, shares: Sequence[float]) -> set[float]:
    """Numbers above the cell's least, up to just above its most: where it begins, where it ends, and parts of it."""
    third = max(2, parts // 3)
    near = 2 / math.sqrt(cell.count)  # four deviations of how many of so many lie below a share
    guesses = [share + away for share in _spaced(shares, third // 2) for away in (-near, near)]
    evenly = [
        cell.least * (1 - share) + cell.most * share for share in (*guesses, *(i / third for i in range(1, third)))
    ]
    low, high = _ordinal(cell.least), _ordinal(cell.most)
    by_bits = [_double(low + (high - low) * i // third) for i in range(1, third)]
    inside = {edge for edge in (*evenly, *by_bits) if cell.least < edge <= cell.most}
    with np.errstate(over="ignore"):  # above the largest of doubles is infinity, which is no edge
        after = float(np.nextafter(cell.most, np.inf))
    return {edge for edge in (cell.least, *inside, cell.most, after) if np.isfinite(edge)}


def _spaced(shares: Sequence[float], most: int) -> Sequence[float]:
    """At most so many of the shares."""
    return shares[:: -(-len(shares) // max(1, most))] if shares else shares


def _ordinal(value: float) -> int:
    """The place of a double among all doubles."""
    bits = int(np.float64(value).view(np.int64))
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _double(ordinal: int) -> float:
    if ordinal >= 0:
        return float(np.int64(ordinal).view(np.float64))
    return -float(np.int64(-ordinal).view(np.float64))
