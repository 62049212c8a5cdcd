"""Columns of data as tables for a terminal: one line a column, with a picture of its values."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli import layout
from bailiwick.cli.output import print_table, say
from bailiwick.cli.sparklines import shows, sparkline

if TYPE_CHECKING:
    from bailiwick.data.distributions.model import Column, NumberFacts, Side

ColumnsOption = Annotated[
    list[str] | None,
    typer.Option("--column", "--columns", help="Only this column, or those of a pattern: 'arr_*'; repeat for more."),
]
SearchOption = Annotated[str, typer.Option(help="Only columns with this in their name.")]
SortOption = Annotated[str, typer.Option(help="source, name, missing or drift.")]

_LEAST_NAME, _LEAST_RANGE = 10, 14
_WIDE = 110
_VALUES, _VALUE = 3, 12
_NARROW_KINDS = {"integer": "int", "number": "float", "boolean": "bool"}


def print_statistics(columns: Sequence[Column], *, title: str, in_all: int) -> None:
    """Type, missing, distinct, mean and deviation, least, median and most (or the most frequent values), and the shape."""
    narrow = layout.width() < _WIDE
    middle, ends = ("mean±sd", "min…median…max") if narrow else ("mean ± sd", "min / median / max")
    heads = ["column", "type", "missing", "distinct", middle, ends, "shape"]
    rows = [_statistics(column, narrow=narrow) for column in columns]
    _print(title, heads, rows, right=(2, 3, 4), shrink=(0, 5), least=(_LEAST_NAME, _LEAST_RANGE))
    _tell_left_out(len(columns), in_all)


def print_drifts(columns: Sequence[Column], *, title: str, in_all: int) -> None:
    """How far each column moved, what is sure of it, its shape then and now, and the verdict."""
    heads = ["column", "moved", "at least", "then", "now", "verdict", "most at"]
    rows = [_drift(column) for column in columns]
    _print(title, heads, rows, right=(1, 2), shrink=(0, 6), least=(_LEAST_NAME, 8))
    _tell_left_out(len(columns), in_all)


def _print(
    title: str,
    heads: list[str],
    rows: list[tuple[str, ...]],
    *,
    right: Sequence[int],
    shrink: tuple[int, int],
    least: tuple[int, int],
) -> None:
    """A table whose rows take one line each: the cells of two columns are cut to the room there is."""
    cells = [[_said(layout.plain(cell).replace("\n", " ")) for cell in row] for row in rows]
    heads = [_said(head) for head in heads]
    taken = [max(map(layout.cells_of, column)) for column in zip(heads, *cells, strict=True)]
    for place in right:
        heads[place] = heads[place].rjust(taken[place])
        cells = [[*row[:place], row[place].rjust(taken[place]), *row[place + 1 :]] for row in cells]
    fixed = sum(size for place, size in enumerate(taken) if place not in shrink) + len(layout.GAP) * (len(heads) - 1)
    first, second = shrink
    room = max(layout.width() - fixed, sum(least))
    if taken[first] + taken[second] > room:
        name = max(least[0], min(taken[first], room - max(least[1], min(taken[second], room // 2))))
        sizes = {first: name, second: max(least[1], room - name)}
        heads = [_cut(head, sizes.get(place, layout.cells_of(head))) for place, head in enumerate(heads)]
        cells = [
            [_cut(cell, sizes.get(place, layout.cells_of(cell))) for place, cell in enumerate(row)] for row in cells
        ]
    print_table(title, heads, cells, empty="No column is left to show.")


def _statistics(column: Column, *, narrow: bool) -> tuple[str, ...]:
    side = column.shown
    return (
        column.name,
        _NARROW_KINDS.get(column.kind, column.kind) if narrow else column.kind,
        _share(side.missing),
        "" if side.distinct is None else f"{side.distinct:,}",
        "" if side.numbers is None or column.kind == "time" else _mean(side.numbers, narrow=narrow),
        _range(column.kind, side, narrow=narrow),
        _shapes(column)[-1],
    )


def _drift(column: Column) -> tuple[str, ...]:
    drift, shapes = column.drift, _shapes(column)
    if column.retyped:
        verdict = f"{column.retyped}, now {column.kind}"
    elif None in column.sides:
        verdict = "gone" if column.now is None else "new"
    else:
        verdict = "drifted" if drift and drift.drifted else ""
    return (
        column.name,
        "" if column.distance is None else f"{column.distance:.3f}",
        "" if drift is None else f"{drift.bound:.3f}",
        shapes[0],
        shapes[-1],
        verdict,
        drift.where if drift else "",
    )


def _shapes(column: Column) -> list[str]:
    """One line a side, each to its own height; of text, its most frequent values."""
    from bailiwick.data.distributions.shapes import OTHER, bars_of

    bars = bars_of(column.sides, most=8 if layout.width() < _WIDE else 12)
    count = len(bars.labels) - 1 if bars.labels[-1:] == (OTHER,) else bars.size
    return [sparkline(shares[:count]) if shares else "" for shares in bars.shares] or ["", ""]


def _range(kind: str, side: Side, *, narrow: bool) -> str:
    if side.numbers is not None:
        ends = (side.numbers.least, side.numbers.median, side.numbers.most)
        words = [day(value) if kind == "time" else short(value, 3 if narrow else 4) for value in ends]
        return ("…" if narrow else " / ").join(words)
    odd = [
        f"{_share(share)} {what}" for share, what in ((side.not_numbers, "NaN"), (side.infinite, "infinite")) if share
    ]
    return ", ".join(odd or [_cut(value or "(empty)", _VALUE) for value, _ in side.values[:_VALUES]])


def _mean(numbers: NumberFacts, *, narrow: bool) -> str:
    return f"{short(numbers.mean)}{'±' if narrow else ' ± '}{short(numbers.deviation, 3 if narrow else 4)}"


def short(value: float, digits: int = 4) -> str:
    """A number in few characters: `1.357T`, `12.63`, `-0.004`, `1e-9`."""
    size = abs(value)
    if not math.isfinite(value):
        return f"{value:g}"
    if size >= 1e15 or (value and size < 1e-3):
        return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), f"{value:.1e}").replace(".0e", "e")
    for power, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= power and size >= 1e5:
            return f"{value / power:.{digits}g}{suffix}"
    return f"{value:.0f}" if float(value).is_integer() or size >= 10**digits else f"{value:.{digits}g}"


def day(milliseconds: float) -> str:
    """A date; what is outside the calendar is held at its ends."""
    seconds = min(max(milliseconds / 1000, -62_135_596_800), 253_402_300_799)
    return datetime.fromtimestamp(seconds, tz=UTC).date().isoformat()


def _share(share: float) -> str:
    """A share as a percentage that is 0% only of none, and 100% only of all."""
    if share in {0.0, 1.0}:
        return f"{share:.0%}"
    return "<0.1%" if share < 0.001 else ">99.9%" if share > 0.999 else f"{share:.1%}"


def _tell_left_out(shown: int, in_all: int) -> None:
    if shown < in_all:
        say(f"{shown:,} of {in_all:,} columns.")


def _said(text: str) -> str:
    """The text without what standard output cannot say."""
    for letter, instead in (("±", "+-"), ("…", ".."), ("≤", "<=")):
        if letter in text and not shows(letter):
            text = text.replace(letter, instead)
    if shows(text):
        return text
    known = sys.stdout.encoding or "ascii"
    return text.encode(known, "backslashreplace").decode(known)  # here, so that columns are as wide as what is printed


def _cut(text: str, size: int) -> str:
    """The beginning of a text, with a sign that it goes on."""
    if layout.cells_of(text) <= size:
        return text
    sign = _said("…")
    kept = text
    while kept and layout.cells_of(kept) + layout.cells_of(sign) > size:
        kept = kept[:-1]
    return kept.rstrip() + sign
