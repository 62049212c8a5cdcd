"""Has a source changed suddenly? A new snapshot against those before it, under one stated chance of a false alarm.

Schema: a column that is gone, new or of another type is a change, without any error.

Volume: rows (per asked length of time, where one was asked) against the `history` before, on three scales: as logarithms, as
square roots and as they are. Where the volumes are independent draws of one distribution that is normal on a scale, the Student
prediction interval with k-1 degrees of freedom holds the next one with exactly the stated probability there, however small k
is; what is a change has to be outside on all three, so the promise holds for log-normal volumes, for normal ones, and for
counts, which lie in between however much more they vary than Poisson's (a ladder of powers: Tukey 1957, Box and Cox 1964).
Sampling noise of a count (Poisson) is added as the least deviation, and a change smaller than `volume_margin` is none. Both
only make alarms rarer.

Freshness: how long before the data was taken its newest time lies, likewise, but only growing is a change, and only to
more than twice what could be expected.

Distribution: `comparison.compare` with the newest snapshot that may be used.

Volume, freshness and distribution each have a third of `false_alarms`, so by the union bound an unchanged source raises
any alarm with at most that probability a snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.comparison import compare

if TYPE_CHECKING:
    import numpy as np
    from scipy import special

    from bailiwick.data.profile import Profile
else:
    np, special = deferred("numpy"), deferred("scipy.special")

Kind = Literal["schema", "volume", "freshness", "distribution"]
KINDS: tuple[Kind, ...] = ("schema", "volume", "freshness", "distribution")
LEAST_HISTORY = 7
"""So that a source with a week's rhythm that arrives daily shows all of it before it is judged."""
_LATER = math.log(2.0)
_SCALES = (0.0, 0.5, 1.0)
_NAMED = 5


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """`false_alarms` is the chance a snapshot that an unchanged source raises any alarm; `margin` the share of rows that
    may be elsewhere in a column, `volume_margin` the share of rows that may be more or fewer, without mattering.
    """

    history: int = 14
    false_alarms: float = 0.01
    margin: float = 0.05
    volume_margin: float = 0.1

    def __post_init__(self) -> None:
        if self.history < 1:
            raise InvalidInput(f"history {self.history} must be at least 1: it counts snapshots.")
        if not 0 < self.false_alarms < 1:
            raise InvalidInput(f"false_alarms {self.false_alarms} is not a probability between 0 and 1.")

    @property
    def each(self) -> float:
        """The chance that each of the three tests has."""
        return self.false_alarms / 3


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is remembered of a snapshot. `rows` are those it added; `span_ms` the length of time that was asked for, None
    where all was taken; `lag_ms` how old its newest time was, None without times.
    """

    snapshot: str
    columns: tuple[tuple[str, str], ...]
    rows: int
    span_ms: int | None = None
    lag_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SourceChange:
    """The verdict on one aspect; `judged` is False where too little is known. `message` holds no row's values."""

    kind: Kind
    changed: bool
    message: str
    fix: str = ""
    judged: bool = True
    evidence: dict[str, Any] = field(default_factory=dict)


def schema_change(now: Arrival, before: Arrival) -> SourceChange:
    """Columns gone, new and retyped."""
    old, new = dict(before.columns), dict(now.columns)
    gone = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    retyped = [name for name in new if name in old and old[name] != new[name]]
    said = [f"column {name} is gone" for name in gone]
    said += [f"column {name} is {new[name]} and was {old[name]}" for name in retyped]
    said += [f"column {name} ({new[name]}) is new" for name in added]
    evidence = {"gone": gone, "added": added, "retyped": retyped}
    if not said:
        return SourceChange("schema", changed=False, message="The columns are the same.", evidence=evidence)
    message = f"{'; '.join(said)}, compared with snapshot {before.snapshot}."
    fix = "Bring the columns back at the source, or review the schema and the features that read them."
    return SourceChange("schema", changed=True, message=_sentence(message), fix=fix, evidence=evidence)


def volume_change(now: Arrival, past: Sequence[Arrival], rule: ChangeRule) -> SourceChange:
    """Rows against those of the snapshots before, newest of them first."""
    known = [each for each in past if (each.span_ms is None) == (now.span_ms is None)][: rule.history]
    if len(known) < LEAST_HISTORY:
        return _too_few("volume", len(known))
    days = [each.span_ms / 86_400_000 if each.span_ms else 1.0 for each in (now, *known)]
    rates = [max(each.rows, 0.5) / length for each, length in zip((now, *known), days, strict=True)]
    usual = math.exp(float(np.mean(np.log(rates[1:]))))
    expected = usual * days[0]
    noise = 1 / max(expected, 1.0)
    p_value = max(_outside_on(scale, rates, usual, noise=noise, margin=rule.volume_margin) for scale in _SCALES)
    evidence = {"rows": now.rows, "expected": expected, "p_value": p_value, "history": len(known)}
    about = f"{now.rows:,} rows arrived; about {expected:,.0f} were to be expected of the {len(known)} snapshots before"
    if p_value > rule.each:
        return SourceChange("volume", changed=False, message=f"{about}.", evidence=evidence)
    share = now.rows / expected
    message = f"{about}, so {share:.0%}. {_promise(rule.each)}"
    fix = "Find out what the source left out or sent twice, and ingest again."
    return SourceChange("volume", changed=True, message=message, fix=fix, evidence=evidence)


def freshness_change(now: Arrival, past: Sequence[Arrival], rule: ChangeRule) -> SourceChange:
    """The age of the newest time against those of the snapshots before, newest of them first."""
    known = [each.lag_ms for each in past if each.lag_ms is not None][: rule.history]
    if now.lag_ms is None or len(known) < LEAST_HISTORY:
        return _too_few("freshness", len(known) if now.lag_ms is not None else 0)
    lags = [math.log(max(lag, 1_000)) for lag in (now.lag_ms, *known)]
    p_value = _outside(lags[0], lags[1:], ease=_LATER, noise=0.0, both=False)
    expected = math.exp(float(np.mean(lags[1:])))
    evidence = {"lag_ms": now.lag_ms, "expected_ms": expected, "p_value": p_value, "history": len(known)}
    about = f"The newest time is {_hours(now.lag_ms)} old; it was about {_hours(expected)} in the {len(known)} before"
    if p_value > rule.each:
        return SourceChange("freshness", changed=False, message=f"{about}.", evidence=evidence)
    fix = "Find out why the source is late, and ingest again when it has caught up."
    message = f"{about}. {_promise(rule.each)}"
    return SourceChange("freshness", changed=True, message=message, fix=fix, evidence=evidence)


def distribution_change(before: Profile, now: Profile, rule: ChangeRule, *, against: str) -> SourceChange:
    """Columns distributed unlike the snapshot `against`; both profiles have its bins."""
    if not before.features:
        return SourceChange(
            "distribution", changed=False, judged=False, message="No column of both can be compared.", evidence={}
        )
    found = compare(before, now, alpha=rule.each, margin=rule.margin)
    moved = sorted((each for each in found if each.drifted), key=lambda each: -each.bound)
    evidence: dict[str, Any] = {
        each.feature: {"distance": each.distance, "bound": each.bound, "p_value": each.p_value, "where": each.where}
        for each in moved
    }
    if not moved:
        message = f"{len(found)} columns are distributed as in snapshot {against}."
        return SourceChange("distribution", changed=False, message=message, evidence=evidence)
    named = ", ".join(
        f"{each.feature} ({each.distance:.0%} of rows moved, at least {each.bound:.0%} after sampling error)"
        for each in moved[:_NAMED]
    )
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    message = (
        f"{len(moved)} of {len(found)} columns are distributed unlike snapshot {against}: {named}{more}. "
        f"{_promise(rule.each)}"
    )
    fix = "Find out what changed at the source; if it is to stay, accept the snapshot and let the model learn it."
    return SourceChange("distribution", changed=True, message=message, fix=fix, evidence=evidence)


def _outside_on(power: float, rates: Sequence[float], usual: float, *, noise: float, margin: float) -> float:
    """The same for the first of the rates on a scale of powers (0: of logarithms), `margin` of it taken off the change first.

    `noise` is the square of the rate's least deviation as a share of it.
    """
    sample = [_on(power, rate) for rate in rates[1:]]
    middle, value = float(np.mean(sample)), _on(power, rates[0])
    eased = _on(power, rates[0] / (1 + margin) if value > middle else rates[0] * (1 + margin))
    if (value > middle) != (eased > middle):
        return 1.0
    least = noise * (power * usual**power if power else 1.0) ** 2
    return _outside(eased, sample, ease=0.0, noise=least, both=True)


def _on(power: float, rate: float) -> float:
    return float(rate**power) if power else math.log(rate)


def _outside(value: float, sample: Sequence[float], *, ease: float, noise: float, both: bool) -> float:
    """The chance of a next value so far from the sample's mean, or farther; `ease` is taken off the distance first."""
    k = len(sample)
    deviation = math.sqrt(max(float(np.var(sample, ddof=1)), noise))
    distance = value - float(np.mean(sample))
    beyond = max(0.0, (abs(distance) if both else distance) - ease)
    if not beyond:
        return 1.0
    if not deviation:
        return 0.0
    tail = float(special.stdtr(k - 1, -beyond / (deviation * math.sqrt(1 + 1 / k))))
    return 2 * tail if both else tail


def _too_few(kind: Kind, known: int) -> SourceChange:
    message = f"Not judged: {known} earlier snapshots tell of it, and {LEAST_HISTORY} are needed."
    return SourceChange(kind, changed=False, judged=False, message=message)


def _promise(chance: float) -> str:
    return f"Without a change, such an alarm comes at most once in {round(1 / chance):,} snapshots."


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _hours(milliseconds: float) -> str:
    hours = milliseconds / 3_600_000
    return (
        f"{hours / 24:,.1f} days"
        if hours >= 48
        else f"{hours:.1f} hours"
        if hours >= 1
        else f"{hours * 60:.1f} minutes"
    )
