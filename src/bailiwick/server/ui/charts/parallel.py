"""Parallel coordinates: an axis for each param and metric, a line for each run, coloured by the last axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import NOTHING, element, empty_figure, figure, per_cent, words
from bailiwick.server.ui.words import compact

_INNER = 1000
_SHADES = 5  # of the heat colours, leaving out the two that are hard to see


@dataclass(frozen=True, slots=True)
class Axis:
    """One upright axis: a value for each line, a number or a word, None where a line has none."""

    name: str
    values: Sequence[float | str | None]


def parallel_chart(
    axes: Sequence[Axis],
    lines: Sequence[str],
    *,
    title: str,
    form: Callable[[float], str] = compact,
    height: int = 300,
    note: str = "",
) -> Markup:
    """`lines` names what each position of the axes' values belongs to; a line breaks where it has no value."""
    drawn_axes = [axis for axis in axes if any(value is not None for value in axis.values)]
    if len(drawn_axes) < 2 or not lines:
        return empty_figure(title, "Two params or metrics that the runs share are needed to draw this.", "parallel")
    placed = [_placed(axis, form) for axis in drawn_axes]
    shades = _shades([heights for heights, _ in placed][-1])
    step = 100 / (len(drawn_axes) - 1)
    paths = [
        element("path", element("title", name), d=path, class_=f"line {shades[index]}")
        for index, name in enumerate(lines)
        if (path := _path([heights[index] for heights, _ in placed], step))
    ]
    box = f"0 0 {_INNER} {_INNER}"
    stretched = element(
        "svg", *paths, viewBox=box, preserveAspectRatio="none", width="100%", height="100%", class_="stretch"
    )
    drawing = element(
        "svg",
        words(title, f"{len(lines)} lines over {', '.join(axis.name for axis in drawn_axes)}."),
        stretched,
        *(
            _axis(axis.name, ends, index * step)
            for index, (axis, (_, ends)) in enumerate(zip(drawn_axes, placed, strict=True))
        ),
        class_="chart-svg parallel-svg",
        role="img",
        height=height,
    )
    return figure(drawing, title=title, kind="parallel", table=NOTHING, note=note)


def _placed(axis: Axis, form: Callable[[float], str]) -> tuple[list[float | None], tuple[str, str]]:
    """Per cent of the way up of each value, and what stands at the bottom and at the top."""
    known = [value for value in axis.values if value is not None]
    numbers = [value for value in known if not isinstance(value, str)]
    if len(numbers) < len(known):
        names = sorted({str(value) for value in known})
        span = max(len(names) - 1, 1)
        rank = {name: index / span * 100 if len(names) > 1 else 50.0 for index, name in enumerate(names)}
        return [None if value is None else rank[str(value)] for value in axis.values], (names[0], names[-1])
    low, high = min(numbers), max(numbers)
    width = high - low

    def place(value: float | str | None) -> float | None:
        if value is None or isinstance(value, str):
            return None
        return (value - low) / width * 100 if width else 50.0

    return [place(value) for value in axis.values], (form(low), form(high))


def _shades(heights: Sequence[float | None]) -> list[str]:
    return [
        "none" if height is None else f"h{7 - _SHADES + 1 + min(int(height / 100 * _SHADES), _SHADES - 1)}"
        for height in heights
    ]


def _path(heights: Sequence[float | None], step: float) -> str:
    scale, parts, pen = _INNER / 100, [], "M"
    for index, height in enumerate(heights):
        if height is None:
            pen = "M"
            continue
        parts.append(f"{pen}{index * step * scale:.0f} {(100 - height) * scale:.0f}")
        pen = "L"
    return "".join(parts)


def _axis(name: str, ends: tuple[str, str], place: float) -> Markup:
    x = per_cent(place)
    anchor = "start" if place < 4 else "end" if place > 96 else "middle"
    return element(
        "g",
        element("line", x1=x, x2=x, y1=0, y2="100%", class_="axis"),
        element("text", _clipped(name, 18), element("title", name), x=x, y=-20, text_anchor=anchor, class_="axis-name"),
        element("text", _clipped(ends[1], 12), x=x, y=-6, text_anchor=anchor, class_="tick"),
        element("text", _clipped(ends[0], 12), x=x, y="100%", dy=16, text_anchor=anchor, class_="tick"),
    )


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
