"""Judging one window: pure, from its rows, the version's reference and the detector's state to findings under a budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bailiwick.core.clock import MILLISECONDS_PER_DAY, to_text
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.comparison import compare
from bailiwick.data.profile import FeatureProfile, NumericProfile, Profile, count
from bailiwick.monitoring.detector import Detector, DetectorState, detect, each_window
from bailiwick.monitoring.model import WATCHED, Drift, Kind, MonitorConfig
from bailiwick.monitoring.performance import bounded_baseline, bounded_losses, summarise
from bailiwick.monitoring.windows import PROBABILITY, Rows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
else:
    np, pa = deferred("numpy"), deferred("pyarrow")

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Standard:
    """What a version is held against: the profile of its reference data, its expected loss, what the detector knows."""

    profile: Profile
    expected_loss: float | None
    state: DetectorState


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of change that the window shows beyond its margin, in plain words."""

    kind: Kind
    message: str
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that is kept of a window. `spent` holds the kinds that could have raised an alarm."""

    drift: tuple[Drift, ...] = ()
    prediction_drift: Drift | None = None
    skipped: tuple[str, ...] = ()
    performance: dict[str, float] = field(default_factory=dict)
    spent: dict[Kind, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    state: DetectorState = field(default_factory=DetectorState)


def judge(config: MonitorConfig, standard: Standard, rows: Rows, *, start: int, end: int) -> Judgement:
    """Drift of inputs, drift of predictions and performance of one window, each under its share of the budget."""
    promise = _Promise(config, f"{rows.model} version {rows.version}", start, end)
    compared, skipped = comparable(standard.profile, rows.inputs)
    inputs = [feature for feature in compared if feature.name != PROBABILITY]
    outputs = [feature for feature in compared if feature.name == PROBABILITY]
    drift = _drift(config, standard.profile, inputs, rows.inputs, Kind.FEATURE_DRIFT)
    moved = _drift(config, standard.profile, outputs, rows.inputs, Kind.PREDICTION_DRIFT)
    performance, state, worse = _performance(config, standard, rows, promise)
    checked = {
        Kind.FEATURE_DRIFT: bool(inputs),
        Kind.PREDICTION_DRIFT: bool(outputs),
        Kind.PERFORMANCE: "limit" in performance,
    }
    findings = (_features_moved(drift, promise), _prediction_moved(moved, promise), worse)
    return Judgement(
        drift=drift,
        prediction_drift=moved[0] if moved else None,
        skipped=skipped,
        performance=performance,
        spent={kind: config.budget[kind] for kind in WATCHED if checked[kind]},
        findings=tuple(finding for finding in findings if finding is not None),
        state=state,
    )


def comparable(profile: Profile, table: pa.Table) -> tuple[list[FeatureProfile], tuple[str, ...]]:
    """The profile's features that the table's columns can be counted into, and the names of the others.

    The log keeps numbers as 32-bit floats, as the model receives them. Edges move to the next such number, so that a
    value on an edge stays in its bin.
    """
    kept: list[FeatureProfile] = []
    skipped = []
    for feature in profile.features:
        narrow = isinstance(feature, NumericProfile) and _is_single(table, feature.name)
        fitted = _narrowed(feature) if narrow and isinstance(feature, NumericProfile) else feature
        try:
            count(Profile(rows=0, features=(fitted,)), table.slice(0, 0))
        except InvalidInput:
            skipped.append(feature.name)
        else:
            kept.append(fitted)
    return kept, tuple(skipped)


def _is_single(table: pa.Table, name: str) -> bool:
    return name in table.column_names and pa.types.is_float32(table.schema.field(name).type)


def _narrowed(feature: NumericProfile) -> NumericProfile:
    if not feature.edges:
        return feature
    below = float(np.nextafter(np.float32(feature.edges[0]), np.float32(-np.inf)))
    rest = [max(edge, float(np.float32(edge))) for edge in feature.edges[1:]]
    return replace(feature, edges=(below, *rest))


def _drift(
    config: MonitorConfig, profile: Profile, features: list[FeatureProfile], table: pa.Table, kind: Kind
) -> tuple[Drift, ...]:
    if not features:
        return ()
    reference = Profile(rows=profile.rows, features=tuple(features))
    found = compare(reference, count(reference, table), alpha=config.budget[kind], margin=config.drift_margin)
    return tuple(Drift(d.feature, d.kind, d.distance, d.bound, d.p_value, d.drifted, d.where) for d in found)


def _performance(
    config: MonitorConfig, standard: Standard, rows: Rows, promise: _Promise
) -> tuple[dict[str, float], DetectorState, Finding | None]:
    measured = summarise(rows.outcomes, rows.probabilities)
    if not measured or standard.expected_loss is None:
        return measured, standard.state, None
    metric = config.performance_metric
    losses = bounded_losses(metric, rows.outcomes, rows.probabilities)
    baseline = bounded_baseline(metric, standard.expected_loss, config.performance_margin)
    rule = Detector(baseline=baseline, threshold=1 / config.budget[Kind.PERFORMANCE])
    detection = detect(rule, standard.state, losses, each_window(losses.size))
    limit = standard.expected_loss * (1 + config.performance_margin)
    measured |= {"expected": standard.expected_loss, "limit": limit, "evidence": detection.evidence}
    if detection.alarm is None:
        return measured, detection.state, None
    # Evidence is gathered outcome by outcome, earlier windows included: a bad stretch may be followed by better days.
    seen = detection.alarm + 1
    until = summarise(rows.outcomes[:seen], rows.probabilities[:seen]).get(metric, measured[metric])
    message = (
        f"{promise.subject} does worse than expected {promise.when}: {metric.replace('_', ' ')} {until:.3f} over the {seen} "
        f"outcomes until the alarm, {measured[metric]:.3f} over all {losses.size}; expected {standard.expected_loss:.3f}, "
        f"up to {limit:.3f} is in order. {promise.words(Kind.PERFORMANCE)}"
    )
    return measured, detection.state, Finding(Kind.PERFORMANCE, message, dict(measured))


def _features_moved(drift: tuple[Drift, ...], promise: _Promise) -> Finding | None:
    moved = sorted((d for d in drift if d.drifted), key=lambda d: -d.bound)
    if not moved:
        return None
    named = ", ".join(f"{d.feature} ({_distance(d)})" for d in moved[:_NAMED])
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    message = (
        f"{len(moved)} of {len(drift)} inputs of {promise.subject} are distributed unlike its reference data {promise.when}: "
        f"{named}{more}. {promise.words(Kind.FEATURE_DRIFT)}"
    )
    evidence = {d.feature: {"distance": d.distance, "bound": d.bound, "p_value": d.p_value} for d in moved}
    return Finding(Kind.FEATURE_DRIFT, message, evidence)


def _prediction_moved(moved: tuple[Drift, ...], promise: _Promise) -> Finding | None:
    if not moved or not moved[0].drifted:
        return None
    found = moved[0]
    message = (
        f"The predicted probabilities of {promise.subject} are distributed unlike those on its reference data {promise.when}: "
        f"{_distance(found)}. {promise.words(Kind.PREDICTION_DRIFT)}"
    )
    evidence = {"distance": found.distance, "bound": found.bound, "p_value": found.p_value}
    return Finding(Kind.PREDICTION_DRIFT, message, evidence)


def _distance(drift: Drift) -> str:
    where = f", most at {drift.where}" if drift.where else ""
    return f"{drift.distance:.0%} of rows moved, at least {drift.bound:.0%} after sampling error{where}"


@dataclass(frozen=True, slots=True)
class _Promise:
    """The words around a finding: whose it is, when, and how often such a thing is promised without any change."""

    config: MonitorConfig
    subject: str
    start: int
    end: int

    @property
    def when(self) -> str:
        return f"between {_moment(self.start)} and {_moment(self.end)}"

    def words(self, kind: Kind) -> str:
        apart = round(1 / self.config.budget[kind])
        return f"Without a change, such an alarm comes on average at most once in {apart} windows."


def _moment(time: int) -> str:
    """A day for midnight, so that windows of whole days read as such; else the time to the minute, UTC."""
    text = to_text(time)
    return text[:10] if time % MILLISECONDS_PER_DAY == 0 else text[:16].replace("T", " ")
