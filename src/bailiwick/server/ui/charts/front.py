"""Throughput against latency: a dot a setting, both axes in decades, a line through those that no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import element, empty_figure, figure, legend_of, per_cent, table_of, words
from bailiwick.server.ui.charts.scales import Scale, log_ticks
from bailiwick.server.ui.words import compact

_HEIGHT = 340
_NEAR = 7.0
"""Per cent of the plot within which one name would cover another."""
_BEATEN, _FRONT, _CHOSEN = "s1", "s2", "s3"


@dataclass(frozen=True, slots=True)
class Tried:
    """One dot; `name` is read out with it, and `short` is written beside it where it is on the front."""

    name: str
    short: str
    x: float
    y: float
    best: bool = False
    chosen: bool = False


def front_chart(
    tried: Sequence[Tried],
    *,
    title: str,
    x_name: str,
    y_name: str,
    limit: float | None = None,
    limit_name: str = "",
    empty: str = "Nothing was tried.",
    note: str = "",
) -> Markup:
    """A figure; `x_name` and `y_name` name their units, `limit` is an upright line at so much of x."""
    shown = [each for each in tried if each.x > 0 and each.y > 0]
    if not shown:
        return empty_figure(title, empty, "front")
    across, xs = _scale([each.x for each in shown] + ([limit] if limit else []))
    up, ys = _scale([each.y for each in shown])
    parts = [_grid(across, xs, up, ys, x_name, y_name)]
    if limit:
        at = per_cent(across.place(limit))
        line = element("line", x1=at, x2=at, y1="0", y2="100%")
        parts.append(
            element("g", line, element("text", limit_name, x=at, y=-6, text_anchor="middle"), class_="threshold")
        )
    best = sorted((each for each in shown if each.best), key=lambda each: each.x)
    for one, other in pairwise(best):
        ends = (("x1", one.x), ("x2", other.x))
        places = {name: per_cent(across.place(value)) for name, value in ends}
        places |= {name: per_cent(100 - up.place(value)) for name, value in (("y1", one.y), ("y2", other.y))}
        parts.append(element("line", class_=f"front {_FRONT}", **places))
    order = sorted(shown, key=lambda each: (each.chosen, each.best, each.x))
    written: list[tuple[float, float]] = []
    for each in order:
        place = across.place(each.x), up.place(each.y)
        near = any(abs(place[0] - x) < _NEAR and abs(place[1] - y) < _NEAR for x, y in written)
        written += [place] if each.best and not near else []
        parts.append(_dot(each, across, up, (x_name, y_name), named=each.chosen or (each.best and not near)))
    said = f"{len(shown)} settings, {len(best)} of which no other beats; {y_name} against {x_name}."
    drawing = element(
        "svg", words(title, said), *parts, class_="chart-svg scatter-svg front-svg", role="group", height=_HEIGHT
    )
    rows = [
        [each.name, compact(each.x), compact(each.y), "yes" if each.best else "", "yes" if each.chosen else ""]
        for each in sorted(shown, key=lambda each: each.x)
    ]
    table = table_of(title, ["setting", x_name, y_name, "beaten by none", "chosen"], rows)
    names = [(_BEATEN, "beaten by another in both"), (_FRONT, "beaten by none")]
    names += [(_CHOSEN, "chosen")] if any(each.chosen for each in shown) else []
    return figure(drawing, title=title, kind="front", legend=legend_of(names), table=table, note=note)


def _scale(values: Sequence[float]) -> tuple[Scale, list[float]]:
    ticks = log_ticks(min(values), max(values))
    return Scale(ticks[0], ticks[-1], log=True), ticks


def _grid(across: Scale, xs: Sequence[float], up: Scale, ys: Sequence[float], x_name: str, y_name: str) -> Markup:
    parts = []
    for tick in ys:
        y = per_cent(100 - up.place(tick))
        parts.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        parts.append(element("text", compact(tick), x="-8", y=y, dy="0.32em", text_anchor="end", class_="tick"))
    for tick in xs:
        x = per_cent(across.place(tick))
        parts.append(element("line", x1=x, x2=x, y1="0", y2="100%", class_="grid"))
        parts.append(element("text", compact(tick), x=x, y="100%", dy=18, text_anchor="middle", class_="tick"))
    parts.append(element("text", x_name, x="50%", y="100%", dy=38, text_anchor="middle", class_="axis-name"))
    parts.append(element("text", y_name, x="-48", y=-12, text_anchor="start", class_="axis-name"))
    return element("g", *parts, aria_hidden="true")


def _dot(each: Tried, across: Scale, up: Scale, names: tuple[str, str], *, named: bool) -> Markup:
    said = f"{each.name}: {names[0]} {compact(each.x)}, {names[1]} {compact(each.y)}"
    x, y = across.place(each.x), 100 - up.place(each.y)
    tone = _CHOSEN if each.chosen else _FRONT if each.best else _BEATEN
    dot = element(
        "circle",
        element("title", said),
        cx=per_cent(x),
        cy=per_cent(y),
        r=7 if each.chosen else 5,
        class_=f"dot {tone}",
    )
    if not named:
        return dot
    anchor, off = ("end", -9) if x > 85 else ("start", 9)
    label = element("text", each.short, x=per_cent(x), y=per_cent(y), dx=off, dy=14, text_anchor=anchor, class_="tick")
    return element("g", dot, label)
