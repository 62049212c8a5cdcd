"""Lines over time or numbers: several series, shaded bands, event markers, thresholds, log scale, steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import (
    colour,
    element,
    empty_figure,
    figure,
    legend_of,
    per_cent,
    table_of,
    words,
)
from bailiwick.server.ui.charts.scales import Scale, tick_words, x_ticks, y_scale
from bailiwick.server.ui.words import compact, moment

_INNER = 1000  # units of the stretched drawing that holds the lines
Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """Points in order of x; a y of None is a gap. `step` holds each value until the next; `tone` overrides the colour."""

    name: str
    points: Sequence[Point]
    step: bool = False
    dashed: bool = False
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """A shaded stretch of x, e.g. a rollout."""

    start: float
    end: float
    label: str
    tone: str = "muted"


@dataclass(frozen=True, slots=True)
class Marker:
    """Something that happened at x: an alarm, a promotion."""

    x: float
    label: str
    tone: str = "bad"
    href: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A horizontal line that means something when crossed."""

    y: float
    label: str
    tone: str = "bad"


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    description: str = "",
    time: bool = True,
    log: bool = False,
    y_from: float | None = None,
    y_to: float | None = None,
    form: Callable[[float], str] = compact,
    axis: Callable[[float], str] = compact,
    bands: Sequence[Band] = (),
    markers: Sequence[Marker] = (),
    thresholds: Sequence[Threshold] = (),
    height: int = 224,
    empty: str = "Nothing has been measured yet.",
    note: str = "",
) -> Markup:
    """A figure of one or more lines. `x` is UTC milliseconds when `time`; `form` writes values, `axis` ticks."""
    places = sorted({x for line in series for x, _ in line.points})
    if not any(y is not None for line in series for _, y in line.points):
        return empty_figure(title, empty, "line")
    ends = [*places, *(band.start for band in bands), *(band.end for band in bands)]
    across = Scale(min(ends), max(ends))
    values = [y for line in series for _, y in line.points if y is not None]
    up, ticks = y_scale([*values, *(limit.y for limit in thresholds)], log=log, y_from=y_from, y_to=y_to)
    named = [
        (f"{line.tone or colour(index)}{' dashed' if line.dashed else ''}", line) for index, line in enumerate(series)
    ]
    drawing = element(
        "svg",
        words(title, description or _summary(series, form)),
        _grid(up, ticks, axis, across, time=time, whole=all(float(place).is_integer() for place in places)),
        *(_band(band, across) for band in bands),
        _lines(named, across, up),
        *(_threshold(limit, up) for limit in thresholds),
        *(_marker(marker, across) for marker in markers),
        *_hits(named, places, across, up, form, time=time),
        class_="chart-svg",
        role="img",
        height=height,
    )
    head = ["Time (UTC)" if time else "x", *(line.name for line in series)]
    return figure(
        drawing,
        title=title,
        kind="line",
        legend=legend_of([(css, line.name) for css, line in named]),
        table=table_of(title, head, _rows(series, places, form, time=time)),
        note=note,
    )


def _grid(
    up: Scale, ticks: Sequence[float], form: Callable[[float], str], across: Scale, *, time: bool, whole: bool
) -> Markup:
    parts = []
    for tick, said in zip(ticks, tick_words(ticks, form), strict=True):
        y = per_cent(100 - up.place(tick))
        parts.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        parts.append(element("text", said, x="-8", y=y, dy="0.32em", text_anchor="end", class_="tick"))
    for place, label in x_ticks(across, time=time, whole=whole, form=compact):
        x = across.place(place)
        parts.append(element("text", label, x=per_cent(x), y="100%", dy="18", text_anchor=_anchor(x), class_="tick"))
        parts.append(element("line", x1=per_cent(x), x2=per_cent(x), y1="100%", y2="100%", class_="tick-mark"))
    return element("g", *parts, aria_hidden="true")


def _anchor(x: float) -> str:
    return "start" if x < 4 else "end" if x > 96 else "middle"


def _lines(named: Sequence[tuple[str, Series]], across: Scale, up: Scale) -> Markup:
    paths, dots = [], []
    for css, line in named:
        for run in _runs(line.points):
            spots = [(across.place(x), 100 - up.place(y)) for x, y in run]
            if len(spots) == 1:
                dots.append(
                    element("circle", cx=per_cent(spots[0][0]), cy=per_cent(spots[0][1]), r=3, class_=f"dot {css}")
                )
            else:
                paths.append(element("path", d=_path(spots, step=line.step), class_=f"line {css}"))
    box = f"0 0 {_INNER} {_INNER}"
    stretched = element(
        "svg", *paths, viewBox=box, preserveAspectRatio="none", width="100%", height="100%", class_="stretch"
    )
    return Markup("").join([stretched, *dots])


def _path(spots: Sequence[tuple[float, float]], *, step: bool) -> str:
    scale = _INNER / 100
    points = [(round(x * scale, 1), round(y * scale, 1)) for x, y in spots]
    parts = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for x, y in points[1:]:
        parts.append(f"H{x:g}V{y:g}" if step else f"L{x:g} {y:g}")
    return "".join(parts)


def _runs(points: Sequence[Point]) -> Iterator[list[tuple[float, float]]]:
    """Unbroken stretches: a gap, a NaN or an infinity ends one."""
    run: list[tuple[float, float]] = []
    for x, y in points:
        if y is None or not math.isfinite(y):
            if run:
                yield run
            run = []
        else:
            run.append((x, y))
    if run:
        yield run


def _band(band: Band, across: Scale) -> Markup:
    left, right = across.place(band.start), across.place(band.end)
    rect = element(
        "rect", element("title", band.label), x=per_cent(left), width=per_cent(right - left), y=0, height="100%"
    )
    label = element("text", band.label, x=per_cent(left), dx=6, y=14, class_="band-label")
    return element("g", rect, label, class_=f"band {band.tone}")


def _threshold(limit: Threshold, up: Scale) -> Markup:
    y = per_cent(100 - up.place(limit.y))
    line = element("line", x1="0", x2="100%", y1=y, y2=y)
    label = element("text", limit.label, x="100%", y=y, dy=-6, text_anchor="end")
    return element("g", line, label, class_=f"threshold {limit.tone}")


def _marker(marker: Marker, across: Scale) -> Markup:
    x = per_cent(across.place(marker.x))
    drawn = Markup("").join(
        [
            element("title", marker.label),
            element("line", x1=x, x2=x, y1=0, y2="100%"),
            element("circle", cx=x, cy=0, r=5),
        ]
    )
    if marker.href:
        drawn = element("a", drawn, href=marker.href, aria_label=marker.label)
    return element("g", drawn, class_=f"marker {marker.tone}")


def _hits(
    named: Sequence[tuple[str, Series]],
    places: Sequence[float],
    across: Scale,
    up: Scale,
    form: Callable[[float], str],
    *,
    time: bool,
) -> Iterator[Markup]:
    """For each x an invisible column that shows its values while the pointer is over it; no script is needed."""
    if len(places) > 400:
        return
    spots = [across.place(place) for place in places]
    at = [(css, line.name, dict(line.points)) for css, line in named]
    for index, (place, spot) in enumerate(zip(places, spots, strict=True)):
        left = 0.0 if index == 0 else (spots[index - 1] + spot) / 2
        right = 100.0 if index == len(spots) - 1 else (spot + spots[index + 1]) / 2
        shown = [
            (css, name, y) for css, name, values in at if (y := values.get(place)) is not None and math.isfinite(y)
        ]
        said = " · ".join([_x_text(place, time=time), *(f"{name} {form(y)}" for _, name, y in shown)])
        x = per_cent(spot)
        yield element(
            "g",
            element("rect", element("title", said), x=per_cent(left), width=per_cent(right - left), y=0, height="100%"),
            element("line", x1=x, x2=x, y1=0, y2="100%", class_="cross"),
            element("text", said, x="100%", y=-8, text_anchor="end", class_="readout", aria_hidden="true"),
            *(element("circle", cx=x, cy=per_cent(100 - up.place(y)), r=4, class_=f"dot {css}") for css, _, y in shown),
            class_="hit",
        )


def _rows(
    series: Sequence[Series], places: Sequence[float], form: Callable[[float], str], *, time: bool
) -> Iterator[list[str]]:
    columns = [dict(line.points) for line in series]
    for place in places:
        cells = [column.get(place) for column in columns]
        yield [_x_text(place, time=time), *("—" if cell is None else form(cell) for cell in cells)]


def _x_text(place: float, *, time: bool) -> str:
    return moment(int(place)) if time else compact(place)


def _summary(series: Sequence[Series], form: Callable[[float], str]) -> str:
    said = []
    for line in series:
        values = [y for _, y in line.points if y is not None and math.isfinite(y)]
        if values:
            said.append(
                f"{line.name}: {len(values)} points between {form(min(values))} and {form(max(values))}, last {form(values[-1])}."
            )
    return " ".join(said)
