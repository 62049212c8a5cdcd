"""What held from when to when: a row for each name, a bar for each stretch. Bars that overlap are drawn below each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.server.ui.charts.figure import colour, element, empty_figure, figure, per_cent, table_of, words
from bailiwick.server.ui.charts.scales import Scale, time_ticks
from bailiwick.server.ui.words import moment, second

_ROW, _BAR = 34, 24
_LONGEST = 16
_FITS = 5.0  # per cent of the width that a label of a few letters needs


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to `end` (UTC milliseconds, None: still) the name `row` meant `label`. `said` adds who and why."""

    row: str
    label: str
    start: int
    end: int | None
    said: str = ""
    href: str = ""


def span_chart(spans: Sequence[Span], *, title: str, now: int, empty: str = "Nothing has been set yet.") -> Markup:
    """Rows in the order in which their names come first; equal labels have equal colours."""
    if not spans:
        return empty_figure(title, empty, "spans")
    start, end = min(span.start for span in spans), max(now, *(span.end or now for span in spans))
    across = Scale(start, max(end, start + 1))
    tones = {label: colour(index) for index, label in enumerate(dict.fromkeys(span.label for span in spans))}
    drawn: list[Markup] = []
    row = 0
    for name in dict.fromkeys(span.row for span in spans):
        lanes = _lanes([span for span in spans if span.row == name], end)
        middle = row * _ROW + _BAR / 2
        drawn.append(
            element("text", _clipped(name), element("title", name), x="-12", y=middle, dy="0.32em", text_anchor="end")
        )
        for lane in lanes:
            drawn.extend(_bar(span, row * _ROW, across, end, tones[span.label]) for span in lane)
            row += 1
    height = row * _ROW - (_ROW - _BAR)
    said = "; ".join(f"{span.row} was {span.label} {_times(span)}" for span in spans[:20])
    drawing = element(
        "svg",
        words(title, said),
        _ticks(across, height),
        *drawn,
        class_="chart-svg spans-svg",
        role="group",
        height=height + 48,
    )
    rows = [[span.row, span.label, moment(span.start), moment(span.end) if span.end else "now"] for span in spans]
    table = table_of(title, ["", "Was", "From (UTC)", "To (UTC)"], rows)
    return figure(drawing, title=title, kind="spans", table=table)


def _lanes(spans: Sequence[Span], end: int) -> list[list[Span]]:
    lanes: list[list[Span]] = []
    for span in sorted(spans, key=lambda each: (each.start, each.end or end)):
        free = next((lane for lane in lanes if (lane[-1].end or end) <= span.start), None)
        if free is None:
            lanes.append([span])
        else:
            free.append(span)
    return lanes


def _bar(span: Span, top: float, across: Scale, end: int, tone: str) -> Markup:
    left, right = across.place(span.start), across.place(span.end or end)
    width = max(right - left, 0.6)
    said = f"{span.row}: {span.label} {_times(span)}{f'. {span.said}' if span.said else ''}"
    parts = [
        element("title", said),
        element("rect", x=per_cent(min(left, 99.4)), width=per_cent(width), y=top, height=_BAR, rx=5, class_=tone),
    ]
    if width >= _FITS:
        parts.append(element("text", span.label, x=per_cent(left + width / 2), y=top + _BAR / 2, dy="0.34em"))
    if span.href:
        return element("a", *parts, href=span.href, class_="span", aria_label=said)
    return element("g", *parts, class_="span")


def _ticks(across: Scale, height: float) -> Markup:
    ticks = [(across.place(place), label) for place, label in time_ticks(across.low, across.high)]
    if len(ticks) < 2:
        ticks = [(0.0, second(int(across.low))), (100.0, second(int(across.high)))]
    parts = []
    for place, label in ticks:
        x = per_cent(place)
        anchor = "start" if place < 6 else "end" if place > 94 else "middle"
        parts.append(element("line", x1=x, x2=x, y1=0, y2=height, class_="grid"))
        parts.append(element("text", label, x=x, y=height + 18, text_anchor=anchor, class_="tick"))
    return element("g", *parts, aria_hidden="true")


def _times(span: Span) -> str:
    return f"from {moment(span.start)} {f'to {moment(span.end)}' if span.end else 'on'}"


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
