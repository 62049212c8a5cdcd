"""One dot a thing, placed by two of its numbers: whether a param has to do with a metric. Words are placed side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import element, empty_figure, figure, per_cent, table_of, words
from bailiwick.server.ui.charts.scales import SMALLEST, Scale, log_ticks, nice_ticks, tick_words
from bailiwick.server.ui.words import compact

_MOST_WORDS = 12
_LONGEST_WORD = 14


@dataclass(frozen=True, slots=True)
class Spot:
    """One dot. `x` is a number, or a word where not all are numbers."""

    label: str
    x: float | str
    y: float
    href: str = ""
    tone: str = ""


def scatter_chart(
    spots: Sequence[Spot],
    *,
    title: str,
    x_name: str,
    y_name: str,
    log_x: bool = False,
    form: Callable[[float], str] = compact,
    height: int = 280,
    empty: str = "No run has both.",
    note: str = "",
) -> Markup:
    """A figure of dots; `log_x` counts only where every x is above zero."""
    if not spots:
        return empty_figure(title, empty, "scatter")
    places, labels = _across(spots, log=log_x, form=form)
    ups = [spot.y for spot in spots]
    ticks = nice_ticks(min(ups), max(ups))
    up = Scale(ticks[0], ticks[-1])
    said = f"{len(spots)} dots; {y_name} between {form(min(ups))} and {form(max(ups))}."
    drawing = element(
        "svg",
        words(title, said),
        _grid(ticks, up, labels, form),
        *(_dot(spot, place, up, (x_name, y_name), form) for spot, place in zip(spots, places, strict=True)),
        class_="chart-svg scatter-svg",
        role="group",
        height=height,
    )
    rows = [[spot.label, _text(spot.x, form), form(spot.y)] for spot in spots]
    table = table_of(title, ["", x_name, y_name], rows)
    return figure(drawing, title=title, kind="scatter", table=table, note=note)


def _across(
    spots: Sequence[Spot], *, log: bool, form: Callable[[float], str]
) -> tuple[list[float], list[tuple[float, str]]]:
    """Per cent of the way from left to right of each dot, and the labels along the bottom."""
    numbers = [spot.x for spot in spots if not isinstance(spot.x, str)]
    if len(numbers) < len(spots):
        names = sorted({_text(spot.x, form) for spot in spots})
        step = 100 / len(names)
        place = {name: (index + 0.5) * step for index, name in enumerate(names)}
        stride = -(-len(names) // _MOST_WORDS)
        shown = [(place[name], _clipped(name)) for name in names[::stride]]
        return [place[_text(spot.x, form)] for spot in spots], shown
    low, high = min(numbers), max(numbers)
    logarithmic = log and low >= SMALLEST
    ticks = log_ticks(low, high) if logarithmic else nice_ticks(low, high)
    across = Scale(ticks[0], ticks[-1], logarithmic)
    return [across.place(number) for number in numbers], [
        (across.place(tick), said) for tick, said in zip(ticks, tick_words(ticks, form), strict=True)
    ]


def _grid(
    ticks: Sequence[float], up: Scale, labels: Sequence[tuple[float, str]], form: Callable[[float], str]
) -> Markup:
    parts = []
    for tick, said in zip(ticks, tick_words(ticks, form), strict=True):
        y = per_cent(100 - up.place(tick))
        parts.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        parts.append(element("text", said, x="-8", y=y, dy="0.32em", text_anchor="end", class_="tick"))
    for place, label in labels:
        anchor = "start" if place < 4 else "end" if place > 96 else "middle"
        parts.append(element("text", label, x=per_cent(place), y="100%", dy=18, text_anchor=anchor, class_="tick"))
    return element("g", *parts, aria_hidden="true")


def _dot(spot: Spot, place: float, up: Scale, names: tuple[str, str], form: Callable[[float], str]) -> Markup:
    said = f"{spot.label}: {names[0]} {_text(spot.x, form)}, {names[1]} {form(spot.y)}"
    dot = element(
        "circle",
        element("title", said),
        cx=per_cent(place),
        cy=per_cent(100 - up.place(spot.y)),
        r=5,
        class_=f"dot {spot.tone or 's1'}",
    )
    return element("a", dot, href=spot.href, aria_label=said) if spot.href else dot


def _text(value: float | str, form: Callable[[float], str]) -> str:
    return value if isinstance(value, str) else form(value)


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST_WORD else f"{text[: _LONGEST_WORD - 1]}…"
