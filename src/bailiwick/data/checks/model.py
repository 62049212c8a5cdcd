"""What can be asked of a dataset as a whole, and what came of asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

SEVERITIES = ("ERROR", "WARNING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something declared of a dataset; an ERROR forbids its use, a WARNING is only told."""

    severity: str = "ERROR"
    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise InvalidInput.choice(f"Severity of a check of {self.kind}", self.severity, SEVERITIES)

    @property
    def reads(self) -> tuple[str, ...] | None:
        """Columns that it looks at; None is all of them."""
        return ()

    @property
    def name(self) -> str:
        """The check in a few words; no two that differ have the same."""
        return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Check):
    """At least `least` rows and at most `most`; and of the snapshot before, at least and at most these shares."""

    kind: ClassVar[str] = "volume"
    least: int | None = None
    most: int | None = None
    of_previous: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness(Check):
    """The newest value of a time column is at most `max_age_ms` old. Times more than `slack_ms` ahead are no times."""

    kind: ClassVar[str] = "freshness"
    column: str
    max_age_ms: int
    slack_ms: int = 300_000

    @property
    def reads(self) -> tuple[str, ...]:
        """The time column."""
        return (self.column,)

    @property
    def name(self) -> str:
        """With its column."""
        return f"freshness of {self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAge(Check):
    """The source's files were written at most `max_age_ms` ago, the newest of them."""

    kind: ClassVar[str] = "source_age"
    max_age_ms: int

    @property
    def name(self) -> str:
        """In words."""
        return "age of the source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates(Check):
    """No more than the share `allowed` of the rows repeats an earlier one in `columns` (all columns where none is named)."""

    kind: ClassVar[str] = "duplicates"
    columns: tuple[str, ...] = ()
    allowed: float = 0.0

    @property
    def reads(self) -> tuple[str, ...] | None:
        """The columns that are compared."""
        return self.columns or None

    @property
    def name(self) -> str:
        """With its columns."""
        return f"duplicates of {', '.join(self.columns)}" if self.columns else "duplicate rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique(Check):
    """The columns together name a row: none is missing, and no two rows have the same values."""

    kind: ClassVar[str] = "unique"
    columns: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The key."""
        return self.columns

    @property
    def name(self) -> str:
        """With its columns."""
        return f"unique {', '.join(self.columns)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class References(Check):
    """Values of `columns` are there in `of` (the same names where left out) of another source; a missing value refers to nothing."""

    kind: ClassVar[str] = "references"
    columns: tuple[str, ...]
    source: str
    of: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that refer."""
        return self.columns

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that are referred to."""
        return self.of or self.columns

    @property
    def name(self) -> str:
        """With both sides."""
        return f"{', '.join(self.columns)} in {self.source}: {', '.join(self.targets)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Monotonic(Check):
    """In the order of the rows the column never falls, or always rises where `strictly`; within each value of `within`."""

    kind: ClassVar[str] = "monotonic"
    column: str
    within: tuple[str, ...] = ()
    strictly: bool = False

    @property
    def reads(self) -> tuple[str, ...]:
        """The column, and those that group it."""
        return (self.column, *self.within)

    @property
    def name(self) -> str:
        """With its columns."""
        return f"order of {self.column}" + (f" within {', '.join(self.within)}" if self.within else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Check):
    """An expression in SQL over the columns that is true, or null, of each row; `title` is what people call it."""

    kind: ClassVar[str] = "sql"
    expression: str
    title: str = ""

    @property
    def reads(self) -> None:
        """All columns: which of them the expression names is for DuckDB to find out."""
        return

    @property
    def name(self) -> str:
        """Its title, else the expression."""
        return self.title or self.expression


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of one check.

    `message` names columns, counts and the first rows, never a value of the data, so that it may be journalled and sent;
    `fix` says what to do. `count` are the offending rows, exactly; `places` those of the first of them, from 0, and `rows`
    their values. `measured` are the numbers that decided.
    """

    check: Check
    passed: bool
    message: str
    fix: str = ""
    count: int = 0
    places: tuple[int, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    measured: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """The dataset that is checked: its columns, how to read some of them in a stream, and what is known beside them.

    `now` is when it was taken from its source, `until` the event time up to which it was asked for, `written` when that
    source was last written, `previous_rows` how many rows the snapshot before had; times in UTC milliseconds, None where
    there is none.
    """

    columns: tuple[str, ...]
    read: Callable[[list[str]], pa.RecordBatchReader]
    now: int
    written: int | None = None
    previous_rows: int | None = None
    until: int | None = None


Others = Callable[[str, list[str]], "pa.RecordBatchReader"]
"""Reads the source that a reference names: its word, and the columns wanted."""
