"""What is measured of forms and settings, and the report of it. Read by pages too, so nothing here runs models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct


@dataclass(frozen=True, slots=True)
class Speed:
    """Time of one row in microseconds, at the median and at the 99th percentile; rows a second by size of batch.

    `ratio` is the time of one row over the version's: the median of rounds, between `ratio_low` and `ratio_high`.
    """

    p50_us: float = 0.0
    p99_us: float = 0.0
    rows_per_second: Mapping[int, float] = field(default_factory=dict)
    ratio: float = 1.0
    ratio_low: float = 1.0
    ratio_high: float = 1.0

    @property
    def faster(self) -> bool:
        """Whether it is, as far as rounds can tell."""
        return self.ratio_high < 1


@dataclass(frozen=True, slots=True)
class Setting:
    """So many workers with so many threads a run, each worker busy with calls of so many rows."""

    workers: int
    batch: int
    p99_ms: float
    rows_per_second: float
    best: bool = False
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether a setting keeps an objective: `beyond` of `calls` fresh calls took longer; `p_value` of "1 % or more do".

    It is `shown` where that is refuted with all that were tried counted in.
    """

    setting: Setting
    calls: int
    beyond: int
    p_value: float
    shown: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """One form, and what was measured of it; `problem` says why it is none to choose, empty where it is one.

    `difference` is how much worse it is on these rows by the metric, `p_value` that of "it is worse by the margin or
    more", adjusted for all forms that were judged.
    """

    name: str
    problem: str = ""
    size_bytes: int = 0
    speed: Speed = field(default_factory=Speed)
    metrics: Mapping[str, float] = field(default_factory=dict)
    max_error: float = 0.0
    difference: float = 0.0
    p_value: float = 1.0
    gates: tuple[str, ...] = ()
    package: bytes | None = None


class Report(Struct, frozen=True, kw_only=True):
    """Times are of one machine, which `machine` names, so they hold for its like. Fields are only ever added."""

    format: int = 1
    model: str
    version: int
    time: int
    machine: str
    cores: int
    rows: int
    metric: str
    margin: float
    forms: tuple[Measured, ...]
    swept: str
    settings: tuple[Setting, ...]
    seconds: float
    p99_ms: float | None = None
    setting: Setting | None = None
    kept: tuple[Kept, ...] = ()
    registered: int | None = None

    @property
    def metrics(self) -> list[str]:
        """Those that every form has, the compared one first."""
        known = self.forms[0].metrics
        return [self.metric] * (self.metric in known) + sorted(
            name for name in known if name not in {self.metric, "rows", "base_rate"}
        )
