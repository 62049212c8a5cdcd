"""A grid of cells whose shade is a value: one row a feature, one column a window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import element, empty_figure, figure, per_cent, table_of, words
from bailiwick.server.ui.words import compact

SHADES = 8
_ROW = 22


def heatmap(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    title: str,
    description: str = "",
    marked: Sequence[Sequence[bool]] = (),
    top: float | None = None,
    form: Callable[[float], str] = compact,
    empty: str = "Nothing has been compared yet.",
    note: str = "",
) -> Markup:
    """`values[row][column]` shaded in eight steps from 0 to `top` (default the largest); `marked` cells carry a dot."""
    if not rows or not columns:
        return empty_figure(title, empty, "heat")
    known = [cell for row in values for cell in row if cell is not None and math.isfinite(cell)]
    highest = top or max(known, default=0.0) or 1.0
    parts: list[Markup] = []
    for index, name in enumerate(rows):
        middle = index * _ROW + _ROW / 2
        parts.append(element("text", _clipped(name), x="-8", y=middle, dy="0.32em", text_anchor="end", class_="tick"))
        flags = marked[index] if marked else [False] * len(columns)
        parts.extend(_cells(name, columns, values[index], flags, index, highest, form))
    parts.extend(_labels(columns, len(rows)))
    said = (
        description
        or f"{len(rows)} rows by {len(columns)} columns; the largest value is {form(max(known, default=0.0))}."
    )
    drawing = element(
        "svg", words(title, said), *parts, class_="chart-svg heat-svg", role="img", height=len(rows) * _ROW + 32
    )
    table = table_of(
        title,
        ["", *columns],
        [[name, *("—" if cell is None else form(cell) for cell in values[index])] for index, name in enumerate(rows)],
    )
    return figure(drawing, title=title, kind="heat", legend=_key(highest, form), table=table, note=note)


def _cells(
    name: str,
    columns: Sequence[str],
    cells: Sequence[float | None],
    flags: Sequence[bool],
    index: int,
    highest: float,
    form: Callable[[float], str],
) -> list[Markup]:
    width, parts = 100 / len(columns), []
    for at, (column, cell, flag) in enumerate(zip(columns, cells, flags, strict=True)):
        value = "not measured" if cell is None else form(cell) + (" (drifted)" if flag else "")
        rect = element(
            "rect",
            element("title", f"{name}, {column}: {value}"),
            x=per_cent(at * width),
            y=index * _ROW + 1,
            width=per_cent(width),
            height=_ROW - 2,
            class_=f"cell {_shade(cell, highest)}",
        )
        parts.append(rect)
        if flag:
            parts.append(
                element("circle", cx=per_cent((at + 0.5) * width), cy=index * _ROW + _ROW / 2, r=3, class_="cell-mark")
            )
    return parts


def _labels(columns: Sequence[str], amount: int) -> list[Markup]:
    stride = max(1, -(-len(columns) // 5))
    width, parts = 100 / len(columns), []
    for at in range(0, len(columns), stride):
        anchor = "start" if at == 0 and len(columns) > 3 else "end" if at == len(columns) - 1 and at else "middle"
        x = at * width if anchor == "start" else (at + 1) * width if anchor == "end" else (at + 0.5) * width
        parts.append(
            element("text", columns[at], x=per_cent(x), y=amount * _ROW + 18, text_anchor=anchor, class_="tick")
        )
    return parts


def _shade(cell: float | None, highest: float) -> str:
    if cell is None or not math.isfinite(cell):
        return "h-none"
    return f"h{min(int(max(cell, 0.0) / highest * SHADES), SHADES - 1)}"


def _key(highest: float, form: Callable[[float], str]) -> Markup:
    steps = [element("span", class_=f"swatch block h{shade}", aria_hidden="true") for shade in range(SHADES)]
    return element("div", element("span", form(0.0)), *steps, element("span", form(highest)), class_="heat-key")


def _clipped(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"
