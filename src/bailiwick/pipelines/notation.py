"""Notations inside the project file's values: durations, shares, budgets. Each becomes a number with a named unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\d{1,9})\s*(ms|s|m|h|d|w)")
_BUDGET = re.compile(r"(\d{1,6})\s+per\s+(\d.*)")
_HOLDOUT = re.compile(r"newest\s+(\d{1,2}(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True)
class Budget:
    """How many of something are allowed in `per_ms` milliseconds, on average."""

    count: int
    per_ms: int


@dataclass(frozen=True, slots=True)
class Holdout:
    """Which rows evaluation keeps from training: the newest `fraction` (0 to 1) of them, or those of the last `length_ms`."""

    fraction: float = 0.0
    length_ms: int = 0


def parse_duration(value: object) -> int:
    """Milliseconds of a whole number with a unit, such as `90d`. Raises ValueError."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a duration: write a whole number and one of ms, s, m, h, d, w, such as 1d.")
    milliseconds = int(found[1]) * _UNITS_MS[found[2]]
    if milliseconds < 1:
        raise ValueError(f"{value!r} must be longer than nothing.")
    return milliseconds


def duration_text(milliseconds: int) -> str:
    """The shortest notation that `parse_duration` reads back to the same."""
    for unit in ("w", "d", "h", "m", "s"):
        if milliseconds % _UNITS_MS[unit] == 0:
            return f"{milliseconds // _UNITS_MS[unit]}{unit}"
    return f"{milliseconds}ms"


def parse_budget(value: object) -> Budget:
    """`1 per 90d`. Raises ValueError."""
    found = _BUDGET.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or int(found[1]) < 1:
        raise ValueError(f"{value!r} is not a budget: write a count and a duration, such as '1 per 90d'.")
    return Budget(int(found[1]), parse_duration(found[2]))


def parse_holdout(value: object) -> Holdout:
    """`newest 20%` or `newest 7d`. Raises ValueError."""
    text = value.strip() if isinstance(value, str) else ""
    share = _HOLDOUT.fullmatch(text)
    if share is not None and float(share[1]) > 0:
        return Holdout(fraction=float(share[1]) / 100)
    length = text.removeprefix("newest").strip()
    if text.startswith("newest ") and _DURATION.fullmatch(length):
        return Holdout(length_ms=parse_duration(length))
    raise ValueError(
        f"{value!r} is not a holdout: write `newest` and a share above 0% or a duration, such as 'newest 20%' or 'newest 7d'."
    )


def holdout_text(holdout: Holdout) -> str:
    """The notation that `parse_holdout` reads back to the same."""
    return f"newest {duration_text(holdout.length_ms)}" if holdout.length_ms else f"newest {holdout.fraction * 100:g}%"


def _optional_duration(value: object) -> int | None:
    return None if value is None else parse_duration(value)


def _text_or_none(milliseconds: Any) -> str | None:
    return None if milliseconds is None else duration_text(milliseconds)


_DURATION_SCHEMA = {"type": "string", "pattern": r"^\d{1,9}\s*(ms|s|m|h|d|w)$", "examples": ["1d", "6h", "90d"]}

DurationMs = Annotated[
    int, PlainValidator(parse_duration), PlainSerializer(duration_text), WithJsonSchema(_DURATION_SCHEMA)
]
OptionalDurationMs = Annotated[
    int | None, PlainValidator(_optional_duration), PlainSerializer(_text_or_none), WithJsonSchema(_DURATION_SCHEMA)
]
BudgetText = Annotated[
    Budget,
    PlainValidator(parse_budget),
    PlainSerializer(lambda budget: f"{budget.count} per {duration_text(budget.per_ms)}"),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,6}\s+per\s+\d.*$", "examples": ["1 per 90d"]}),
]
HoldoutText = Annotated[
    Holdout,
    PlainValidator(parse_holdout),
    PlainSerializer(holdout_text),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^newest\s+(\d{1,2}(\.\d+)?\s*%|\d{1,9}\s*(ms|s|m|h|d|w))$",
            "examples": ["newest 20%", "newest 7d"],
        }
    ),
]
