"""Which columns are shown, and in which order: chosen by pattern, found by name, narrowed, sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from bailiwick.core.errors import InvalidInput
from bailiwick.data.distributions.model import Column

SORTS = ("source", "name", "missing", "drift", "anomalies")
NARROWINGS = ("all", "drifted", "anomalies", "missing")


@dataclass(frozen=True, slots=True)
class Choice:
    """`find` is a part of a name, in either case; `patterns` are names with `*` and `?`; `sort` one of `SORTS`."""

    find: str = ""
    patterns: tuple[str, ...] = ()
    sort: str = "source"
    only: str = "all"

    def of(self, columns: Sequence[Column]) -> list[Column]:
        """The chosen columns. Raises InvalidInput for a sort that is none, and a pattern that no column fits."""
        if self.sort not in SORTS:
            raise InvalidInput.choice("Sort", self.sort, SORTS)
        if self.only not in NARROWINGS:
            raise InvalidInput.choice("Narrowing", self.only, NARROWINGS)
        for pattern in self.patterns:
            if not any(_fits(column, pattern) for column in columns):
                raise InvalidInput.choice("Column", pattern, [column.name for column in columns])
        wanted = self.find.strip().casefold()
        found = [
            column
            for column in columns
            if wanted in column.name.casefold()
            and (not self.patterns or any(_fits(column, pattern) for pattern in self.patterns))
            and _NARROW[self.only](column)
        ]
        return sorted(found, key=_ORDERS[self.sort]) if self.sort != "source" else found


def drift_key(column: Column) -> tuple[Any, ...]:
    """What moved most, first: new, gone and retyped columns, then by verdict, by what is sure of it, and by distance."""
    drift = column.drift
    return (
        not (column.retyped or None in column.sides),
        not (drift and drift.drifted),
        -(drift.bound if drift else 0.0),
        -(column.distance or 0.0),
    )


def _missing_key(column: Column) -> tuple[Any, ...]:
    shares = [1.0 if side is None else side.missing for side in column.sides]
    return (-max(shares), -shares[-1])


_ORDERS: dict[str, Callable[[Column], tuple[Any, ...]]] = {
    "name": lambda column: (column.name.casefold(), column.name),
    "missing": _missing_key,
    "drift": drift_key,
    "anomalies": lambda column: (-len(column.anomalies), drift_key(column)),
}
_NARROW: dict[str, Callable[[Column], bool]] = {
    "all": lambda _column: True,
    "drifted": lambda column: column.moved,
    "anomalies": lambda column: bool(column.anomalies),
    "missing": lambda column: any(side is None or side.missing > 0 for side in column.sides),
}


def count_moved(columns: Iterable[Column]) -> int:
    """How many are surely not as they were."""
    return sum(column.moved for column in columns)


def _fits(column: Column, pattern: str) -> bool:
    return column.name == pattern or fnmatchcase(column.name, pattern)
