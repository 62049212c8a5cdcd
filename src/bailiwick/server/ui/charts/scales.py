"""From values to places: ticks that people would choose, and positions as percentages of the plot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
SMALLEST = 1e-300
MOST_DECIMALS = 9
"""What is smaller, or no farther apart, cannot be told apart on an axis: its power of ten may be no double."""

_TIME_STEPS = (
    *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 4, 7, 14, 28, 56, 91, 182, 365)),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low`..`high` to 0..100 per cent; `log` uses decades, and holds values at or below zero at `low`."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Per cent of the way from low to high, held within the plot."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        if high == low:
            return 50.0
        return min(max((at - low) / (high - low) * 100, 0.0), 100.0)


def nice_ticks(low: float, high: float, most: int = 5, *, whole: bool = False) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) that enclose the range, about `most` of them; `whole` has no halves."""
    if high - low < SMALLEST:
        margin = abs(low) * 0.05 if abs(low) > SMALLEST else 0.5
        low, high = low - margin, high + margin
    raw = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= raw * (1 - 1e-9))
    if whole:
        step = max(1.0, float(math.ceil(step)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") + 0.0 for index in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten that enclose the range, thinned to about `most`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if first == last:
        last += 1
    stride = max(1, math.ceil((last - first) / (most - 1)))
    powers = list(range(first, last + 1, stride))
    if powers[-1] < last:
        powers.append(powers[-1] + stride)
    return [10.0**power for power in powers]


def time_ticks(start: float, end: float, most: int = 5) -> list[tuple[float, str]]:
    """UTC times at round steps inside the range, with labels no longer than they need to be."""
    if end <= start:
        return [(start, _date(start))]
    step = next((step for step in _TIME_STEPS if (end - start) / step <= most), _TIME_STEPS[-1])
    offset = 4 * _DAY if step % (7 * _DAY) == 0 else 0  # weeks begin on Monday; the epoch was a Thursday
    first = math.ceil((start - offset) / step) * step + offset
    places = [first + index * step for index in range(int((end - first) // step) + 1)] if first <= end else []
    return [(place, _time_label(place, step)) for place in places]


def y_scale(
    values: Iterable[float], *, log: bool, y_from: float | None, y_to: float | None
) -> tuple[Scale, list[float]]:
    """The vertical scale and its ticks for every value that must be visible."""
    finite = [value for value in values if math.isfinite(value) and (value >= SMALLEST or not log)]
    if not finite:
        finite = [0.1, 1.0] if log else [0.0, 1.0]
    low = min(finite) if y_from is None else y_from
    high = max(finite) if y_to is None else y_to
    ticks = log_ticks(low, high) if log else nice_ticks(low, high)
    return Scale(ticks[0], ticks[-1], log), ticks


def x_ticks(
    scale: Scale, *, time: bool, whole: bool, form: Callable[[float], str], most: int = 5
) -> Sequence[tuple[float, str]]:
    """Labelled places along the bottom; `whole` where x counts something."""
    if time:
        return time_ticks(scale.low, scale.high, most)
    ticks = nice_ticks(scale.low, scale.high, most, whole=whole)
    inside = [tick for tick in ticks if scale.low <= tick <= scale.high]
    return list(zip(inside, tick_words(inside, form), strict=True))


def tick_words(ticks: Sequence[float], form: Callable[[float], str]) -> list[str]:
    """What is written at ticks: in the chart's form, or with as many decimals as tell them apart (`60k` four times says nothing)."""
    for say in (form, *((lambda tick, digits=digits: f"{tick:,.{digits}f}") for digits in range(MOST_DECIMALS))):
        said = [say(tick) for tick in ticks]
        if len(set(said)) == len(said):
            return said
    return [repr(tick) for tick in ticks]


def _time_label(place: float, step: float) -> str:
    if step >= _DAY or place % _DAY == 0:
        return _date(place)
    return f"{datetime.fromtimestamp(place / 1000, tz=UTC):%H:%M}"


def _date(place: float) -> str:
    date = datetime.fromtimestamp(place / 1000, tz=UTC)
    return f"{date.day} {date:%b}"
