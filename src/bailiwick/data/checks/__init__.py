"""Checks of whole datasets: volume, freshness, duplicates, unique keys, references, order. Declared, exact, and told by row."""

from bailiwick.data.checks.model import (
    Check,
    CheckResult,
    Condition,
    Duplicates,
    Freshness,
    Monotonic,
    References,
    SourceAge,
    Unique,
    Volume,
)
from bailiwick.data.checks.running import run_checks

__all__ = [
    "Check",
    "CheckResult",
    "Condition",
    "Duplicates",
    "Freshness",
    "Monotonic",
    "References",
    "SourceAge",
    "Unique",
    "Volume",
    "run_checks",
]
