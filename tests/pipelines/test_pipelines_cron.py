"""Cron expressions: the same times as counting minutes one by one gives."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.clock import from_text, to_text
from bailiwick.core.errors import InvalidInput
from bailiwick.pipelines.cron import parse_cron


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 3 * * 1", "2026-11-21T23:00:00", "2026-11-23T03:00:00"),
        ("* * * * *", "2026-11-21T23:59:30", "2026-11-22T00:00:00"),
        ("* * * * *", "2026-11-21T23:59:00", "2026-11-22T00:00:00"),
        ("*/15 * * * *", "2026-11-21T10:45:00", "2026-11-21T11:00:00"),
        ("5/20 * * * *", "2026-11-21T10:25:00", "2026-11-21T10:45:00"),
        ("0 0 29 2 *", "2096-03-01T00:00:00", "2104-02-29T00:00:00"),
        ("0 9-17/4 * * mon-fri", "2026-11-20T17:30:00", "2026-11-23T09:00:00"),
        ("0 0 1,15 jan,JUL *", "2026-01-15T00:00:00", "2026-07-01T00:00:00"),
        ("0 0 13 * 5", "2026-11-21T00:00:00", "2026-11-27T00:00:00"),
        ("0 0 13 * 5", "2026-12-11T00:00:00", "2026-12-13T00:00:00"),
        ("0 0 */2 * 5", "2026-11-21T00:00:00", "2026-11-27T00:00:00"),
        ("0 0 * * 7", "2026-11-21T00:00:00", "2026-11-22T00:00:00"),
        ("0 0 * * 5-7", "2026-11-21T00:00:00", "2026-11-22T00:00:00"),
        ("@daily", "2026-12-31T12:00:00", "2027-01-01T00:00:00"),
        ("0 0 29 2 */7", "2088-03-01T00:00:00", "2128-02-29T00:00:00"),
    ],
)
def test_the_next_time_is_the_one_in_the_calendar(expression: str, after: str, expected: str) -> None:
    assert to_text(parse_cron(expression).next_after(from_text(after))) == f"{expected}.000Z"


_FIELDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> tuple[str, set[int]]:
    """One field as text, and the values it stands for."""
    kind = draw(st.sampled_from(["*", "*/n", "value", "range", "list"]))
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, 9))
    if kind == "*":
        return "*", set(range(low, high + 1))
    if kind == "*/n":
        return f"*/{step}", set(range(low, high + 1, step))
    if kind == "value":
        return str(first), {first}
    if kind == "range":
        return f"{first}-{last}/{step}", set(range(first, last + 1, step))
    return f"{first},{last}", {first, last}


@given(st.tuples(*(fields(low, high) for low, high in _FIELDS)), st.integers(0, 4_000_000_000))
@settings(max_examples=60, deadline=None)
def test_the_next_time_is_the_first_minute_that_matches(parts: list[tuple[str, set[int]]], seconds: int) -> None:
    texts, (minutes, hours, days, months, weekdays) = [part[0] for part in parts], [part[1] for part in parts]
    weekdays = {day % 7 for day in weekdays}
    either = "*" not in texts[2] and "*" not in texts[4]

    def fires(moment: datetime) -> bool:
        in_month, in_week = moment.day in days, moment.isoweekday() % 7 in weekdays
        on_day = (in_month or in_week) if either else (in_month and in_week)
        return moment.minute in minutes and moment.hour in hours and moment.month in months and on_day

    try:
        cron = parse_cron(" ".join(texts))
    except InvalidInput:
        assert min(days) > 28
        return
    found = datetime.fromtimestamp(cron.next_after(seconds * 1000) / 1000, tz=UTC)
    start = datetime.fromtimestamp(seconds - seconds % 60, tz=UTC)
    assert fires(found)
    assert found > start
    moment = start
    for _ in range(3_000):  # two days of minutes, then no earlier match is taken on trust
        moment += timedelta(minutes=1)
        if moment >= found:
            break
        assert not fires(moment)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 3 * *", "has 4 fields; it needs 5"),
        ("", "has 0 fields"),
        ("60 * * * *", "'60' is not a minute; it may hold 0 to 59"),
        ("0 0 * * fry", "'fry' is not a day of week; it may hold 0 to 7 or sun to sat"),
        ("0 0 * 13 *", "'13' is not a month; it may hold 1 to 12 or jan to dec"),
        ("0 0 31 2 *", "never fires: no chosen month has a day 31"),
        ("0 0 31 4,6 *", "never fires"),
        ("*/0 * * * *", "is not a minute"),
        ("*/ * * * *", "is not a minute"),
        ("5-1 * * * *", "'5-1' is not a minute"),
        ("1, * * * *", "'' is not a minute"),
        ("-1 * * * *", "is not a minute"),
        ("²  * * * *", "is not a minute"),
        ("0 0 * * *; rm", "has 6 fields"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_the_field(expression: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_cron(expression)
    assert message in str(caught.value)


@given(st.text(max_size=30))
def test_any_other_text_is_refused_and_never_crashes(text: str) -> None:
    with suppress(InvalidInput):
        parse_cron(text).next_after(0)
