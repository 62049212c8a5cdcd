"""One dot a row on a common scale, with a whisker for its uncertainty: how a metric differs between slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import element, empty_figure, figure, per_cent, table_of, words
from bailiwick.server.ui.charts.scales import Scale, nice_ticks, tick_words
from bailiwick.server.ui.words import compact

_ROW = 26
_LONGEST = 16


@dataclass(frozen=True, slots=True)
class Dot:
    """One row; `low` and `high` bound the value, both None where its uncertainty is not known. `detail` is said beside it."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    detail: str = ""


def dot_chart(
    dots: Sequence[Dot],
    *,
    title: str,
    reference: float | None = None,
    reference_label: str = "all rows",
    form: Callable[[float], str] = compact,
    empty: str = "Nothing was measured.",
    note: str = "",
) -> Markup:
    """Rows from top to bottom in the order given; `reference` is an upright line to hold them against."""
    if not dots:
        return empty_figure(title, empty, "dots")
    seen = [end for dot in dots for end in (dot.value, dot.low, dot.high) if end is not None]
    seen += [] if reference is None else [reference]
    ticks = nice_ticks(min(seen), max(seen), 4)
    across, height = Scale(ticks[0], ticks[-1]), len(dots) * _ROW
    drawn = [_row(dot, index, across, form) for index, dot in enumerate(dots)]
    if reference is not None:
        drawn.insert(0, _reference(across.place(reference), height, f"{reference_label}: {form(reference)}"))
    least, most = min(dots, key=lambda dot: dot.value), max(dots, key=lambda dot: dot.value)
    said = f"{len(dots)} rows, from {form(least.value)} ({least.label}) to {form(most.value)} ({most.label})."
    drawing = element(
        "svg",
        words(title, said),
        _gridlines(ticks, across, height, form),
        *drawn,
        class_="chart-svg dots-svg",
        role="img",
        height=height + 44,
    )
    rows = [[dot.label, form(dot.value), _interval(dot, form), dot.detail] for dot in dots]
    table = table_of(title, ["", "Value", "95 % interval", ""], rows)
    return figure(drawing, title=title, kind="dots", table=table, note=note)


def _row(dot: Dot, index: int, across: Scale, form: Callable[[float], str]) -> Markup:
    middle = index * _ROW + _ROW / 2
    interval = _interval(dot, form)
    said = (
        f"{dot.label}: {form(dot.value)}{f' ({interval})' if interval else ''}{f', {dot.detail}' if dot.detail else ''}"
    )
    parts = [
        element("title", said),
        element("text", _clipped(dot.label), x="-10", y=middle, dy="0.32em", text_anchor="end", class_="tick"),
    ]
    if dot.low is not None and dot.high is not None:
        ends = {"x1": per_cent(across.place(dot.low)), "x2": per_cent(across.place(dot.high))}
        parts.append(element("line", **ends, y1=middle, y2=middle, class_="whisker"))
    parts.append(element("circle", cx=per_cent(across.place(dot.value)), cy=middle, r=4.5, class_="dot"))
    return element("g", *parts, class_="s1")


def _reference(place: float, height: int, said: str) -> Markup:
    x = per_cent(place)
    anchor = "start" if place < 20 else "end" if place > 80 else "middle"
    line = element("line", x1=x, x2=x, y1=0, y2=height, class_="reference")
    return element("g", line, element("text", said, x=x, y=-7, text_anchor=anchor, class_="tick"))


def _gridlines(ticks: Sequence[float], across: Scale, height: int, form: Callable[[float], str]) -> Markup:
    parts = []
    for index, (tick, said) in enumerate(zip(ticks, tick_words(ticks, form), strict=True)):
        x = per_cent(across.place(tick))
        anchor = "start" if index == 0 else "end" if index == len(ticks) - 1 else "middle"
        parts.append(element("line", x1=x, x2=x, y1=0, y2=height, class_="grid"))
        parts.append(element("text", said, x=x, y=height + 16, text_anchor=anchor, class_="tick"))
    return element("g", *parts, aria_hidden="true")


def _interval(dot: Dot, form: Callable[[float], str]) -> str:
    return "" if dot.low is None or dot.high is None else f"{form(dot.low)} to {form(dot.high)}"


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
