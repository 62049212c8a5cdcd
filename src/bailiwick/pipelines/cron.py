"""Five-field cron expressions: minute, hour, day of month, month, day of week; in UTC.

Lists, ranges, steps and English names as in Vixie cron's crontab(5), including its rule for days: where both day fields
are restricted (neither begins with `*`), a day that satisfies either one counts.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from bailiwick.core.errors import InvalidInput

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_HORIZON_DAYS = 366 * 41
"""29 February on a given day of the week comes at most 40 years after the last (across 2100)."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression. Sunday is 0 in `weekdays`."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def next_after(self, milliseconds: int) -> int:
        """The first fire time strictly after a time, both in UTC milliseconds. Raises InvalidInput when there is none."""
        start = datetime.fromtimestamp(milliseconds // 60_000 * 60, tz=UTC) + timedelta(minutes=1)
        day = start.date()
        for _ in range(_HORIZON_DAYS):
            if self._fires_on(day):
                earliest = start.time() if day == start.date() else time()
                found = self._first_time(earliest)
                if found is not None:
                    return int(datetime.combine(day, found, tzinfo=UTC).timestamp()) * 1000
            day += timedelta(days=1)
        raise InvalidInput(f"Cron expression {self.text!r} never fires: no such day exists.")

    def _fires_on(self, day: date) -> bool:
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (in_month or in_week if self.either_day else in_month and in_week)

    def _first_time(self, earliest: time) -> time | None:
        for hour in self.hours:
            if hour < earliest.hour:
                continue
            for minute in self.minutes:
                if hour > earliest.hour or minute >= earliest.minute:
                    return time(hour, minute)
        return None


def parse_cron(text: str) -> Cron:
    """Raises InvalidInput naming the field and what it may hold, also for dates that do not exist (31 February)."""
    parts = _SHORTHANDS.get(text.strip().lower(), text).split()
    if len(parts) != len(_FIELDS):
        raise InvalidInput(
            f"Cron expression {text!r} has {len(parts)} fields; it needs 5: minute hour day-of-month month day-of-week.",
            hint="For example '0 3 * * 1' is 03:00 UTC every Monday.",
        )
    minutes, hours, days, months, weekdays = (
        _parse_field(text, field, part) for field, part in zip(_FIELDS, parts, strict=True)
    )
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    longest = max(monthrange(2024, month)[1] for month in months)
    if min(days) > longest and not either:
        raise InvalidInput(f"Cron expression {text!r} never fires: no chosen month has a day {min(days)}.")
    return Cron(
        text=text,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % 7 for day in weekdays),
        either_day=either,
    )


def _parse_field(text: str, field: _Field, part: str) -> set[int]:
    return {value for item in part.split(",") for value in _parse_item(text, field, item)}


def _parse_item(text: str, field: _Field, item: str) -> range:
    span, slash, step_text = item.partition("/")
    step = int(step_text) if step_text.isdecimal() else 0
    if slash and step < 1:
        raise _wrong(text, field, item)
    if span == "*":
        return range(field.low, field.high + 1, step or 1)
    first, dash, last = span.partition("-")
    low = _parse_value(text, field, first)
    high = _parse_value(text, field, last) if dash else (field.high if slash else low)
    if high < low:
        raise _wrong(text, field, item)
    return range(low, high + 1, step or 1)


def _parse_value(text: str, field: _Field, value: str) -> int:
    if value.lower() in field.names:
        return field.names.index(value.lower()) + field.low
    if value.isdecimal() and len(value) <= 2 and field.low <= int(value) <= field.high:
        return int(value)
    raise _wrong(text, field, value)


def _wrong(text: str, field: _Field, item: str) -> InvalidInput:
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return InvalidInput(
        f"Cron expression {text!r}: {item!r} is not a {field.name}; it may hold {field.low} to {field.high}{names}.",
        hint="Lists (1,15), rising ranges (1-5) and steps (*/10) are understood.",
    )
