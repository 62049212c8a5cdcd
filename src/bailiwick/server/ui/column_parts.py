"""A column of data as pages and reports show it: its picture, its numbers, what is wrong with it, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.data.distributions.listing import SORTS, Choice
from bailiwick.data.distributions.model import Column, NumberFacts, Side
from bailiwick.data.distributions.shapes import OTHER, Bars, bars_of
from bailiwick.governance.cards.wording import visible
from bailiwick.server.ui.charts.distribution import histogram, paired_bar
from bailiwick.server.ui.words import count, measured, moment, number, percent, plural

if TYPE_CHECKING:
    from bailiwick.data.validation.anomalies import Anomaly

BARS, VALUES, MORE_VALUES = 24, 6, 20
_LONGEST_VALUE = 80
_NONE = "—"
_NOTHING_MOVED = 0.001
_RARE = 0.02
_DAYS = 3
_KINDS = {"integer": "whole number", "number": "number", "boolean": "yes or no", "bytes": "bytes"}

SORT_WORDS = {
    "drift": "Most moved",
    "missing": "Most missing",
    "anomalies": "Most anomalies",
    "name": "By name",
    "source": "As in the data",
}
NARROWING_WORDS = {"all": "All", "drifted": "Moved", "anomalies": "With anomalies", "missing": "With missing values"}


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One value of text, whole and as one short line: its bars, and its shares in words, the baseline's first."""

    value: str
    cut: str
    bars: Markup
    shares: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ColumnCard:
    """Everything that is written of a column. `badges` are (tone, text); `numbers` and `quantiles` (what, one text a
    side); `ranks` its place under each of `SORTS`; `tags` the narrowings it belongs to.
    """

    name: str
    kind: str
    badges: tuple[tuple[str, str], ...]
    verdict: str
    picture: Markup
    nothing: str
    low: str
    high: str
    numbers: tuple[tuple[str, tuple[str, ...]], ...]
    values: tuple[ValueRow, ...]
    more_values: tuple[tuple[str, tuple[str, ...]], ...]
    quantiles: tuple[tuple[str, tuple[str, ...]], ...]
    anomalies: tuple[Anomaly, ...]
    ranks: str = ""
    tags: str = ""


def cards_of(columns: Sequence[Column]) -> list[ColumnCard]:
    """One card a column, in the same order."""
    return [_card(column) for column in columns]


def ranked_cards(columns: Sequence[Column], *, first: str) -> list[ColumnCard]:
    """Sorted by `first`, each with its place under every sort, so that a script need not know how to sort."""
    places = [{id(column): place for place, column in enumerate(Choice(sort=sort).of(columns))} for sort in SORTS]
    tags = {name: {id(column) for column in Choice(only=name).of(columns)} for name in NARROWING_WORDS if name != "all"}
    return [
        _card(
            column,
            ranks=" ".join(str(place[id(column)]) for place in places),
            tags=" ".join(name for name, those in tags.items() if id(column) in those),
        )
        for column in Choice(sort=first).of(columns)
    ]


def _card(column: Column, *, ranks: str = "", tags: str = "") -> ColumnCard:
    bars = bars_of(column.sides, most=BARS)
    form = _form(column)
    numeric = bool(bars.edges)
    low, high = _ends(column, bars, form) if numeric else ("", "")
    values = () if numeric else _value_rows(column, VALUES)
    return ColumnCard(
        name=visible(column.name) if column.name.strip() else "(blank)",
        kind=_KINDS.get(column.kind, column.kind),
        badges=tuple(_badges(column)),
        verdict=_verdict(column),
        picture=histogram(bars.shares, title=_described(column, bars, low, high)) if numeric else Markup(""),
        nothing="" if numeric or values else _why_nothing(column),
        low=low,
        high=high,
        numbers=tuple(_numbers(column, form)),
        values=values,
        more_values=_more_values(column) if values else (),
        quantiles=tuple(_quantiles(column, form)),
        anomalies=column.anomalies,
        ranks=ranks,
        tags=tags,
    )


def _why_nothing(column: Column) -> str:
    distinct = column.shown.distinct
    if column.shown.not_numbers or column.shown.infinite:
        return "No finite values."
    if column.shown.missing >= 1.0 or column.shown.rows == 0:
        return "No values."
    if distinct and column.kind == "text":
        most = column.shown.values[:1]
        return f"{count(distinct)} different values, the most frequent of them {_share(most[0][1])}." if most else ""
    return f"{plural(distinct, 'different value')}." if distinct else "Nothing to draw."


def _form(column: Column) -> Callable[[float], str]:
    """How its values are written; of times that are days apart, the day."""
    if column.kind != "time":
        return _number
    facts = [side.numbers for side in column.sides if side and side.numbers]
    ends = [end for each in facts for end in (each.least, each.most)]
    by_day = bool(ends) and max(ends) - min(ends) >= _DAYS * MILLISECONDS_PER_DAY
    return lambda value: moment(int(value)).partition(" ")[0] if by_day else moment(int(value))


def _number(value: float) -> str:
    """A number with five digits or so: what is further behind tells nothing beside a picture."""
    size = abs(value)
    if not math.isfinite(value) or size >= 1e9 or float(value).is_integer():
        return measured(value)
    return number(value, max(0, 4 - math.floor(math.log10(size)))) if size >= 1e-3 else f"{value:.3g}"


def _ends(column: Column, bars: Bars, form: Callable[[float], str]) -> tuple[str, str]:
    """What the first and the last bar begin and end with; bars of whole numbers may reach beyond the values."""
    facts = [side.numbers for side in column.sides if side and side.numbers]
    half = 0.5 if bars.whole else 0.0
    low, high = bars.edges[0] + half, bars.edges[-1] - half
    if bars.whole and facts:
        low, high = max(low, min(each.least for each in facts)), min(high, max(each.most for each in facts))
    return f"{'< ' if bars.open_low else ''}{form(low)}", f"{'> ' if bars.open_high else ''}{form(high)}"


def _described(column: Column, bars: Bars, low: str, high: str) -> str:
    """The picture in words: where it begins and ends, and where most values are."""
    shares = next(shares for shares in reversed(bars.shares) if shares)
    tallest = max(range(len(shares)), key=lambda place: shares[place])
    form = _form(column)
    half = 0.5 if bars.whole else 0.0
    start, end = (form(edge) for edge in (bars.edges[tallest] + half, bars.edges[tallest + 1] - half))
    peak = start if start == end else f"{start} to {end}"
    return f"From {low} to {high}; most values, {percent(shares[tallest])}, at {peak}."


def _badges(column: Column) -> Iterable[tuple[str, str]]:
    if column.retyped:
        yield "bad", f"Was {_KINDS.get(column.retyped, column.retyped)}"
    elif len(column.sides) > 1 and column.sides[0] is None:
        yield "warn", "New"
    elif column.now is None:
        yield "bad", "Gone"
    elif column.drift and column.drift.drifted:
        yield "bad", "Drifted"
    if column.anomalies:
        wrong = any(anomaly.severity == "ERROR" for anomaly in column.anomalies)
        yield (
            "bad" if wrong else "warn",
            f"{len(column.anomalies)} anomal{'y' if len(column.anomalies) == 1 else 'ies'}",
        )


def _verdict(column: Column) -> str:
    """How far it moved, and what is sure of it."""
    if len(column.sides) == 1 or None in column.sides or column.retyped:
        return ""
    drift, distance = column.drift, column.distance
    still = (distance or 0.0) < _NOTHING_MOVED
    if drift is None:
        return "Not judged." if still else f"About {percent(distance or 0.0)} of rows are elsewhere; not judged."
    if still and not drift.drifted:
        return "As it was."
    sure = f", surely {percent(drift.bound)}" if drift.bound > 0 else ""
    most = f"; most at {_cut(drift.where)}" if drift.where and drift.drifted else ""
    return f"About {percent(max(distance or 0.0, drift.bound))} of rows are elsewhere{sure}{most}."


def _numbers(column: Column, form: Callable[[float], str]) -> Iterable[tuple[str, tuple[str, ...]]]:
    sides = column.sides
    yield "missing", tuple(_share(side.missing) if side else _NONE for side in sides)
    facts = [side.numbers if side else None for side in sides]
    if any(facts):
        yield from _number_facts(column.kind, facts, form)
    rows: Sequence[tuple[str, Callable[[Side], float | None], Callable[[float], str]]] = (
        ("not a number", lambda side: side.not_numbers or None, _share),
        ("infinite", lambda side: side.infinite or None, _share),
        ("distinct", lambda side: side.distinct, count),
        ("average length", lambda side: side.lengths if side.distinct else None, lambda value: f"{number(value, 1)} B"),
        ("values a row", lambda side: side.per_row[1] if side.per_row else None, measured),
    )
    for what, take, write in rows:
        found = [take(side) if side else None for side in sides]
        if any(each is not None for each in found):
            yield what, tuple(_NONE if each is None else write(each) for each in found)


def _number_facts(
    kind: str, facts: Sequence[NumberFacts | None], form: Callable[[float], str]
) -> Iterable[tuple[str, tuple[str, ...]]]:
    def row(take: Callable[[NumberFacts], str]) -> tuple[str, ...]:
        return tuple(take(each) if each else _NONE for each in facts)

    if kind != "time":
        yield "mean", row(lambda each: form(each.mean))
        yield "deviation", row(lambda each: form(each.deviation))
    yield "least", row(lambda each: form(each.least))
    yield "median", row(lambda each: form(each.median))
    yield "greatest", row(lambda each: form(each.most))
    if kind != "time" and any(each and each.zeros for each in facts):
        yield "zero", row(lambda each: _share(each.zeros))


def _quantiles(column: Column, form: Callable[[float], str]) -> Iterable[tuple[str, tuple[str, ...]]]:
    facts = [side.numbers if side else None for side in column.sides]
    steps = {len(each.quantiles) for each in facts if each and each.quantiles}
    if column.kind == "boolean" or len(steps) != 1:
        return
    size = steps.pop()
    for place in range(size):
        texts = tuple(form(each.quantiles[place]) if each and each.quantiles else _NONE for each in facts)
        yield percent(place / (size - 1)), texts


def _value_rows(column: Column, most: int) -> tuple[ValueRow, ...]:
    bars = bars_of(column.sides, most=most)
    if not bars.labels or _all_rare(bars):
        return ()
    shares = [tuple(each[place] if each else None for each in bars.shares) for place in range(bars.size)]
    others = bars.labels[-1] == OTHER and bars.size > 1
    named = shares[:-1] if others else shares
    tallest = max((share or 0.0 for each in named for share in each), default=0.0)
    rows = [
        ValueRow(
            value=visible(label[:1_000]),
            cut=_cut(label),
            bars=paired_bar(each, tallest=tallest),
            shares=_shares(each),
        )
        for label, each in zip(bars.labels, named, strict=False)
    ]
    if others:  # not a value among the others: it has no bar
        rows.append(ValueRow(OTHER, OTHER, Markup("<span></span>"), _shares(shares[-1])))
    return tuple(rows)


def _more_values(column: Column) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """More of the most frequent values, without bars; none where the bars show all."""
    bars = bars_of(column.sides, most=MORE_VALUES)
    if bars.size <= VALUES:
        return ()
    shares = (tuple(each[place] if each else None for each in bars.shares) for place in range(bars.size))
    return tuple((_cut(label), _shares(each)) for label, each in zip(bars.labels, shares, strict=True))


def _shares(shares: Sequence[float | None]) -> tuple[str, ...]:
    return tuple(_NONE if share is None else _share(share) for share in shares)


def _all_rare(bars: Bars) -> bool:
    """Whether each value is as good as unique, so that naming a few of them tells nothing."""
    named = [share for shares in bars.shares if shares for share in shares[:-1]]
    return bars.labels[-1:] == (OTHER,) and max(named, default=0.0) < _RARE


def _cut(value: str) -> str:
    """A value as one short line; a blank one is said to be, and what would steer the line is spelt out."""
    line = visible(" ".join(value.split())) or ("(empty)" if not value else "(blank)")
    return line if len(line) <= _LONGEST_VALUE else f"{line[: _LONGEST_VALUE - 1]}…"


def _share(share: float) -> str:
    """A percentage that is 0% only of none, and 100% only of all."""
    if share in {0.0, 1.0}:
        return f"{share:.0%}"
    return "<0.1%" if share < 0.001 else ">99.9%" if share > 0.999 else percent(share)
