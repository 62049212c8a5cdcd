"""What was found when a snapshot was inspected, and what later snapshots are compared with. JSON in a blob, no row's values."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bailiwick.core.errors import Corrupted
from bailiwick.data.changes import Arrival, SourceChange


class Verdict(Struct, frozen=True, kw_only=True):
    """One check or change. `kind` is that of a check, or `schema`, `volume`, `freshness`, `distribution` for a change.

    `passed` is None where too little was known to judge; `rows` are the places of the first offending rows, from 0.
    """

    kind: str
    name: str
    severity: str
    change: bool
    passed: bool | None
    message: str
    fix: str = ""
    count: int = 0
    rows: tuple[int, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it was judged, and badly."""
        return self.passed is False


class Inspection(Struct, frozen=True, kw_only=True):
    """`taken` is when the data was taken from its source (UTC milliseconds), `rule` the digest of what was asked, `against`
    the snapshot compared with ("" for the first), `profile` the blob of this one's own profile, and `skipped` the columns
    whose distribution could not be compared.
    """

    snapshot: str
    dataset: str
    taken: int
    rule: str
    rows: int
    span_ms: int | None
    lag_ms: int | None
    against: str
    false_alarms: float
    profile: str
    skipped: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    told: tuple[str, ...] = ()
    format: int = 1

    @property
    def failed(self) -> list[Verdict]:
        """What was judged badly."""
        return [each for each in self.verdicts if each.failed]

    def arrival(self, columns: tuple[tuple[str, str], ...]) -> Arrival:
        """What of it later snapshots are compared with."""
        return Arrival(self.snapshot, columns, self.rows, self.span_ms, self.lag_ms)

    def to_json(self) -> bytes:
        """What `read_inspection` reads."""
        return msgspec.json.encode(self)


def read_inspection(data: bytes) -> Inspection:
    """Raises Corrupted for what is none."""
    try:
        return msgspec.json.decode(data, type=Inspection)
    except msgspec.MsgspecError as error:
        raise Corrupted(f"This is not what an inspection found: {error}.") from error


def verdict_of(change: SourceChange, severity: str) -> Verdict:
    """A change as it is kept."""
    return Verdict(
        kind=change.kind,
        name=change.kind,
        severity=severity,
        change=True,
        passed=not change.changed if change.judged else None,
        message=change.message,
        fix=change.fix,
    )
