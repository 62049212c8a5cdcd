"""Numbers, times and sizes as people read them. English, UTC, and the same text on every page."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

_ID = re.compile(r"\b[0-9a-f]{32}\b")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?Z")
_LARGEST, _WIDE = 1e300, 1e9
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


def count(value: float) -> str:
    """A whole number with thousands separated: `1,234,567`."""
    return f"{round(value):,}"


def number(value: object, digits: int = 4) -> str:
    """A number with at most `digits` decimals and no trailing zeros; an em dash for what is missing or not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "—" if value is None else str(value)
    if isinstance(value, int) or not math.isfinite(value):
        return f"{value:,}" if isinstance(value, int) else "—"
    if value and abs(value) < 10**-digits:
        return f"{value:.1e}"
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") or "0"


def metric(value: object) -> str:
    """A model metric with four decimals, so that a column of them lines up; what counts something has none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        counted = abs(value) > 1 and float(value).is_integer()
        return f"{value:,.0f}" if counted else f"{value:.4f}"
    return number(value)


def measured(value: object) -> str:
    """A measurement as it was logged, short: four decimals at most, `NaN` said, the largest double as infinity."""
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - only NaN differs from itself
        return "NaN"
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > _LARGEST:
        return "∞" if value > 0 else "−∞"
    if isinstance(value, float) and abs(value) >= _WIDE:
        return f"{value:.4g}"
    return number(value)


def signed(value: float) -> str:
    """A difference of two metrics with its sign: `+0.0120`, `−0.0031`."""
    return f"{value:+.4f}".replace("-", "−")


def change(value: float) -> str:
    """A difference of two numbers of any kind with its sign: `+0.0120`, and of whole ones `−4,000`."""
    whole = float(value).is_integer() and abs(value) >= 1
    return f"{value:+,.0f}".replace("-", "−") if whole else signed(value)


_LABELS = {
    "roc_auc": "ROC AUC",
    "auc": "AUC",
    "log_loss": "Log loss",
    "calibration_error": "Calibration error",
    "brier": "Brier score",
}
_CAPITALS = {"Cpu": "CPU", "cpu": "CPU", "Gpu": "GPU", "gpu": "GPU"}


def label(name: str) -> str:
    """The name of a metric as people write it: `holdout_roc_auc` is `Holdout ROC AUC`."""
    if name in _LABELS:
        return _LABELS[name]
    for known, text in _LABELS.items():
        if name.endswith(f"_{known}"):
            before = name.removesuffix(f"_{known}").replace("_", " ")
            return f"{before[:1].upper()}{before[1:]} {text if text.isupper() or ' AUC' in text else text.lower()}"
    plain = name.replace("_", " ")
    return " ".join(_CAPITALS.get(word, word) for word in (plain[:1].upper() + plain[1:]).split(" "))


def compact(value: float) -> str:
    """A short number for axes: `950`, `1.2k`, `3.4M`, `0.25`, `1e-06`."""
    size = abs(value)
    for limit, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{value / limit:.1f}".rstrip("0").rstrip(".") + suffix
    if value and size < 0.001:
        return f"{value:.0e}"
    return f"{value:.3f}".rstrip("0").rstrip(".") or "0"


def percent(share: float, digits: int = 1) -> str:
    """A share of one as a percentage, without needless decimals: `5%`, `0.5%`."""
    return f"{share * 100:.{digits}f}".rstrip("0").rstrip(".") + "%" if digits else f"{share * 100:.0f}%"


def basis_points(weight: int) -> str:
    """A weight of 10,000 as a percentage."""
    return percent(weight / 10_000, 2)


def size(octets: float) -> str:
    """Bytes in binary units: `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if octets < 1024:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1024
    return f"{octets:.1f} TiB"


def duration(milliseconds: float | None) -> str:
    """A length of time in its two largest units: `850 ms`, `12.4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if milliseconds is None:
        return "—"
    if milliseconds < _SECOND:
        return f"{milliseconds:.0f} ms"
    if milliseconds < _MINUTE:
        return f"{milliseconds / _SECOND:.1f} s"
    for large, small, names in (
        (_MINUTE, _SECOND, ("min", "s")),
        (_HOUR, _MINUTE, ("h", "min")),
        (_DAY, _HOUR, ("d", "h")),
    ):
        if milliseconds < large * {_MINUTE: 60, _HOUR: 24, _DAY: 10**9}[large]:
            whole, rest = divmod(int(milliseconds), large)
            return f"{whole} {names[0]}" + (f" {rest // small} {names[1]}" if rest >= small else "")
    return f"{milliseconds / _DAY:.0f} d"


def moment(milliseconds: int | None) -> str:
    """A time of day: `2013-01-05 14:30`, in UTC."""
    if milliseconds is None:
        return "—"
    return _utc(milliseconds).strftime("%Y-%m-%d %H:%M")


def second(milliseconds: int) -> str:
    """A time with its second: `2013-01-05 14:30:59`, in UTC."""
    return _utc(milliseconds).strftime("%Y-%m-%d %H:%M:%S")


def instant(milliseconds: int) -> str:
    """RFC 3339 with seconds, for `<time datetime>`."""
    return _utc(milliseconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(milliseconds: int | None) -> str:
    """A date: `5 Jan 2013`."""
    if milliseconds is None:
        return "—"
    date = _utc(milliseconds)
    return f"{date.day} {date:%b %Y}"


def span(start: int, end: int) -> str:
    """A window of time: one day is that day, part of a day shows hours, more days show both ends."""
    if end - start == _DAY and start % _DAY == 0:
        return day(start)
    if end - start < _DAY:
        return f"{day(start)}, {_utc(start):%H:%M}–{_utc(end):%H:%M}"
    return f"{day(start)} – {day(end - 1)}"


def ago(milliseconds: int | None, now: int) -> str:
    """How long before `now`: `just now`, `5 min ago`, `3 d ago`; a date past 30 days. What is to come is `in 3 d`."""
    if milliseconds is None:
        return "—"
    passed = now - milliseconds
    length = abs(passed)
    if length < 5 * _SECOND:
        return "just now"
    if length >= 30 * _DAY:
        return day(milliseconds)
    steps = ((_MINUTE, _SECOND, "s"), (_HOUR, _MINUTE, "min"), (_DAY, _HOUR, "h"), (30 * _DAY, _DAY, "d"))
    told = next(f"{length // unit} {name}" for limit, unit, name in steps if length < limit)
    return f"{told} ago" if passed > 0 else f"in {told}"


def told(text: str) -> str:
    """A message with its RFC 3339 times as people write them, and its ids by their ends.

    `2014-01-24T00:00:00.000Z` is `2014-01-24`.
    """
    text = _ID.sub(lambda found: found[0][-8:], text)
    return _MOMENT.sub(lambda found: found[1] if found[2] == "00:00" else f"{found[1]} {found[2]}", text)


def plural(amount: int, noun: str, many: str = "") -> str:
    """`1 alarm`, `2 alarms`."""
    return f"{count(amount)} {noun if amount == 1 else many or noun + 's'}"


def short(identifier: str, digits: int = 8) -> str:
    """The end of an id or digest, where UUIDv7 differs soonest."""
    return identifier if len(identifier) <= digits else identifier[-digits:]


def _utc(milliseconds: int) -> datetime:
    """The moment as a datetime; times outside the calendar are held at its ends."""
    seconds = min(max(milliseconds / 1000, -62_135_596_800), 253_402_300_799)
    return datetime.fromtimestamp(seconds, tz=UTC)
