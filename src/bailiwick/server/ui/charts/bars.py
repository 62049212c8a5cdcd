"""Bars, sparklines, and the stacked bar that shows how traffic is split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import colour, element, empty_figure, figure, per_cent, table_of, words
from bailiwick.server.ui.charts.scales import Scale, nice_ticks, tick_words
from bailiwick.server.ui.words import compact, percent


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `label` is short for the axis, `detail` is said in full."""

    label: str
    value: float
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a whole, in any unit."""

    label: str
    share: float
    tone: str = ""
    href: str = ""


def bar_chart(
    bars: Sequence[Bar],
    *,
    title: str,
    description: str = "",
    form: Callable[[float], str] = compact,
    height: int = 160,
    empty: str = "Nothing has been counted yet.",
    note: str = "",
) -> Markup:
    """Upright bars from zero, left to right in the order given; labels are thinned to what fits a telephone."""
    if not bars:
        return empty_figure(title, empty, "bar")
    ticks = nice_ticks(0.0, max(0.0, *(bar.value for bar in bars)) or 1.0, 4)
    up, width = Scale(0.0, ticks[-1]), 100 / len(bars)
    stride = max(1, -(-len(bars) // 5))
    drawn = [_upright(bar, index, width, up, form) for index, bar in enumerate(bars)]
    labels = [
        element(
            "text", bar.label, x=per_cent((index + 0.5) * width), y="100%", dy=18, text_anchor=_anchor(index, len(bars))
        )
        for index, bar in enumerate(bars)
        if index % stride == 0
    ]
    said = (
        description
        or f"{len(bars)} bars between {form(min(b.value for b in bars))} and {form(max(b.value for b in bars))}."
    )
    drawing = element(
        "svg",
        words(title, said),
        _gridlines(ticks, up, form),
        *drawn,
        element("g", *labels, class_="tick", aria_hidden="true"),
        class_="chart-svg",
        role="img",
        height=height,
    )
    rows = [[bar.detail or bar.label, form(bar.value)] for bar in bars]
    return figure(drawing, title=title, kind="bar", table=table_of(title, ["", "Value"], rows), note=note)


def _gridlines(ticks: Sequence[float], up: Scale, form: Callable[[float], str]) -> Markup:
    parts = []
    for tick, said in zip(ticks, tick_words(ticks, form), strict=True):
        y = per_cent(100 - up.place(tick))
        parts.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        parts.append(element("text", said, x="-8", y=y, dy="0.32em", text_anchor="end", class_="tick"))
    return element("g", *parts, aria_hidden="true")


def _upright(bar: Bar, index: int, width: float, up: Scale, form: Callable[[float], str]) -> Markup:
    tall = up.place(bar.value)
    said = element("title", f"{bar.detail or bar.label}: {form(bar.value)}")
    return element(
        "rect",
        said,
        x=per_cent(index * width + width * 0.12),
        width=per_cent(width * 0.76),
        y=per_cent(100 - tall),
        height=per_cent(tall),
        rx=2,
        class_=f"bar {bar.tone or 's1'}",
    )


def _anchor(index: int, amount: int) -> str:
    if amount < 4:
        return "middle"
    return "start" if index == 0 else "end" if index == amount - 1 else "middle"


def sparkline(values: Sequence[float | None], *, title: str, form: Callable[[float], str] = compact) -> Markup:
    """A line without axes for tables and cards, 120 × 32 pixels; its ends and range are in the title."""
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return Markup("")
    across = Scale(0, len(values) - 1)
    up = Scale(min(value for _, value in known), max(value for _, value in known))
    spots = [
        (round(across.place(index) * 1.16 + 2, 1), round(29 - up.place(value) * 0.26, 1)) for index, value in known
    ]
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in spots)
    area = f"{path}L{spots[-1][0]:g} 32L{spots[0][0]:g} 32Z"
    said = f"From {form(known[0][1])} to {form(known[-1][1])}; between {form(up.low)} and {form(up.high)}."
    return element(
        "svg",
        words(title, said),
        element("path", d=area, class_="area s1"),
        element("path", d=path, class_="line s1"),
        element("circle", cx=spots[-1][0], cy=spots[-1][1], r=2.5, class_="dot s1"),
        class_="sparkline",
        role="img",
        viewBox="0 0 120 32",
        width=120,
        height=32,
    )


def split_bar(parts: Sequence[Part], *, title: str) -> Markup:
    """One bar cut into shares, with a legend that gives each share as a percentage; tiny shares stay visible."""
    whole = sum(part.share for part in parts)
    if whole <= 0:
        return element("p", "No traffic is assigned.", class_="chart-empty")
    drawn, at = [], 0.0
    for index, part in enumerate(parts):
        share = part.share / whole * 100
        css = part.tone or colour(index)
        rect = element(
            "rect",
            element("title", f"{part.label}: {percent(share / 100, 2)}"),
            x=per_cent(at),
            width=per_cent(share),
            height="100%",
            class_=f"bar {css}",
        )
        drawn.append(rect)
        at += share
    said = ", ".join(f"{part.label} {percent(part.share / whole, 2)}" for part in parts)
    drawing = element("svg", words(title, said), *drawn, class_="split-svg", role="img", height=16)
    items = [
        element(
            "li",
            element("span", class_=f"swatch block {part.tone or colour(index)}", aria_hidden="true"),
            element("a", part.label, href=part.href) if part.href else part.label,
            element("strong", percent(part.share / whole, 2)),
        )
        for index, part in enumerate(parts)
    ]
    return element("div", drawing, element("ul", *items, class_="legend"), class_="split")


def lane(start: float, end: float, low: float, high: float, *, title: str, tone: str = "") -> Markup:
    """One bar between two times on a track from `low` to `high`: a row of a Gantt chart. Very short bars stay visible."""
    across = Scale(low, high)
    left, right = across.place(start), across.place(end)
    bar = element(
        "rect", x=per_cent(min(left, 99.0)), width=per_cent(max(right - left, 1.0)), height="100%", rx=3, class_="bar"
    )
    return element("svg", element("title", title), bar, class_=f"lane {tone or 's1'}", role="img", height=10)
