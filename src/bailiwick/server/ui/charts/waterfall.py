"""From a starting value to an end, one step below the other: what each part added or took away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import element, empty_figure, figure, per_cent, table_of, words
from bailiwick.server.ui.charts.scales import Scale, nice_ticks, tick_words

_ROW, _BAR = 30, 20
_LONGEST = 16
_ROOM = 0.28  # of the range, to the right of the last tick, for the numbers of bars that end there


@dataclass(frozen=True, slots=True)
class Step:
    """A part called `label` that adds `value`; `said` tells more of it, `error` is one standard error."""

    label: str
    value: float
    said: str = ""
    error: float = 0.0


def waterfall_chart(
    steps: Sequence[Step], *, start: float, end: float, title: str, ends: tuple[str, str] = ("Base", "Output")
) -> Markup:
    """Bars to the right add, bars to the left take away; each begins where the one before it ended."""
    if not steps:
        return empty_figure(title, "There is nothing to part.", "waterfall")
    places = [start]
    for step in steps:
        places.append(places[-1] + step.value)
    ticks = nice_ticks(min(*places, end), max(*places, end))
    across = Scale(ticks[0], ticks[-1] + _ROOM * (ticks[-1] - ticks[0]))
    rows = [_end(ends[0], start, across, 0)]
    for number, step in enumerate(steps):
        rows.append(_step(step, places[number], across, (number + 1) * _ROW))
    rows.append(_end(ends[1], end, across, (len(steps) + 1) * _ROW))
    height = (len(steps) + 2) * _ROW
    said = "; ".join(f"{step.label} {step.value:+.3g}" for step in steps[:20])
    drawing = element(
        "svg",
        words(title, f"From {start:.4g} to {end:.4g}: {said}"),
        _grid(ticks, across, height),
        *rows,
        class_="chart-svg spans-svg waterfall-svg",
        role="img",
        height=height + 48,
    )
    told = [
        [step.label, step.said, f"{step.value:+.4g}", f"{step.error:.2g}" if step.error else "exact"] for step in steps
    ]
    table = table_of(title, ["Column", "Value", "Adds", "Standard error"], told)
    return figure(drawing, title=title, kind="waterfall", table=table)


def _step(step: Step, begins: float, across: Scale, top: float) -> Markup:
    left, right = sorted((across.place(begins), across.place(begins + step.value)))
    tone = "s1" if step.value >= 0 else "s2"
    number = f"{step.value:+.3g}"
    return element(
        "g",
        element("title", f"{step.label}{f' = {step.said}' if step.said else ''}: {number}"),
        _label(step.label, top),
        element(
            "rect", x=per_cent(left), width=per_cent(max(right - left, 0.4)), y=top, height=_BAR, rx=3, class_=tone
        ),
        element(
            "text",
            number,
            x=per_cent(right),
            dx=6,
            y=top + _BAR / 2,
            dy="0.34em",
            text_anchor="start",
            class_="waterfall-number",
        ),
        class_="waterfall-step",
    )


def _end(label: str, value: float, across: Scale, top: float) -> Markup:
    place = across.place(value)
    return element(
        "g",
        _label(label, top),
        element("line", x1=per_cent(place), x2=per_cent(place), y1=top - 3, y2=top + _BAR + 3, class_="waterfall-end"),
        element(
            "text",
            f"{value:.4g}",
            x=per_cent(place),
            dx=6,
            y=top + _BAR / 2,
            dy="0.34em",
            text_anchor="start",
            class_="waterfall-number",
        ),
    )


def _label(text: str, top: float) -> Markup:
    clipped = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return element("text", clipped, x="-12", y=top + _BAR / 2, dy="0.34em", text_anchor="end")


def _grid(ticks: Sequence[float], across: Scale, height: float) -> Markup:
    parts = []
    for tick, label in zip(ticks, tick_words(ticks, lambda value: f"{value:.3g}"), strict=True):
        place = across.place(tick)
        anchor = "start" if place < 6 else "end" if place > 94 else "middle"
        parts.append(element("line", x1=per_cent(place), x2=per_cent(place), y1=0, y2=height, class_="grid"))
        parts.append(element("text", label, x=per_cent(place), y=height + 18, text_anchor=anchor, class_="tick"))
    return element("g", *parts, aria_hidden="true")
