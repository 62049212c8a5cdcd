"""Time is an integer: milliseconds since 1970-01-01 UTC. Text appears only at the edges."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]
"""Returns now in UTC milliseconds; passed in wherever a rule depends on time, so tests own the clock."""

MILLISECONDS_PER_DAY = 86_400_000


def system_clock() -> int:
    """Wall-clock now in UTC milliseconds."""
    return time.time_ns() // 1_000_000


def to_text(milliseconds: int) -> str:
    """RFC 3339 with milliseconds and `Z`, for people and for wire formats."""
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def from_text(text: str) -> int:
    """Milliseconds of an ISO 8601 time; a time without an offset is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
