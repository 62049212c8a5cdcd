"""Several runs side by side: every param, metric and tag that one of them has, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bailiwick.tracking.model import Run

MAX_COMPARED = 100
Value = str | float | None


@dataclass(frozen=True, slots=True)
class ComparedKey:
    """One param, metric or tag: a value for each run in order, None where a run has none."""

    key: str
    values: tuple[Value, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class RunComparison:
    """`runs` in the order that was asked for; the keys of each kind by name."""

    runs: tuple[Run, ...]
    params: tuple[ComparedKey, ...]
    metrics: tuple[ComparedKey, ...]
    tags: tuple[ComparedKey, ...]


def compare(runs: Sequence[Run]) -> RunComparison:
    """Two NaN metrics are the same; a missing value differs from every other."""
    return RunComparison(
        tuple(runs),
        params=_compared(run.params for run in runs),
        metrics=_compared(run.metrics for run in runs),
        tags=_compared(run.tags for run in runs),
    )


def _compared(columns: Iterable[Mapping[str, Value]]) -> tuple[ComparedKey, ...]:
    kept = list(columns)
    keys = sorted({key for column in kept for key in column})
    rows = ((key, tuple(column.get(key) for column in kept)) for key in keys)
    return tuple(ComparedKey(key, values, len({_identity(value) for value in values}) > 1) for key, values in rows)


def _identity(value: Value) -> object:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value
