"""Rules of change: a feature against earlier data (drift) and against serving data (skew), and how many examples there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from bailiwick.data.statistics.view import DatasetView, FeatureView
from bailiwick.data.validation.anomalies import Finding, Measurement
from bailiwick.data.validation.distances import QUANTILES, STANDARD, jensen_shannon, l_infinity, normalised_difference


@dataclass(frozen=True, slots=True)
class Baselines:
    """What data is compared with: `previous` in time, `serving`, and the `previous_version` of the same data."""

    previous: DatasetView | None = None
    serving: DatasetView | None = None
    previous_version: DatasetView | None = None


_WORDS = {"drift": ("earlier data", "this data"), "skew": ("serving data", "training data")}
_NAMES = {
    "L_INFTY": ("COMPARATOR_L_INFTY_HIGH", "L-infinity distance"),
    "NORMALIZED_ABSOLUTE_DIFFERENCE": (
        "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH",
        "normalised absolute difference",
    ),
    "JENSEN_SHANNON_DIVERGENCE": ("COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", "Jensen-Shannon divergence"),
}


def compare_feature(feature: Any, view: FeatureView, against: Baselines) -> Iterator[Finding | Measurement]:
    """Every distance that the schema asks for, and a finding for each that is above its threshold."""
    for word, field, control in (
        ("drift", "drift_comparator", against.previous),
        ("skew", "skew_comparator", against.serving),
    ):
        if control is None or not feature.HasField(field):
            continue
        comparator = getattr(feature, field)
        limits = [comparator.infinity_norm, comparator.normalized_abs_difference, comparator.jensen_shannon_divergence]
        if not any(limit.HasField("threshold") for limit in limits):
            continue
        other = control.features.get(view.path)
        if other is None:
            long = f"The {_WORDS[word][0]} have no statistics of the feature."
            yield Finding("COMPARATOR_CONTROL_DATA_MISSING", "Nothing to compare with", long)
            for limit in limits:
                limit.ClearField("threshold")
        else:
            yield from _measure(comparator, view, other, word)


def _measure(comparator: Any, view: FeatureView, other: FeatureView, word: str) -> Iterator[Finding | Measurement]:
    source = comparator.jensen_shannon_divergence.source.type
    kind = QUANTILES if source == schema_pb2.HistogramSelection.QUANTILES else STANDARD
    for limit, name, (value, distance) in (
        (comparator.infinity_norm, "L_INFTY", l_infinity(view.values, other.values)),
        (
            comparator.normalized_abs_difference,
            "NORMALIZED_ABSOLUTE_DIFFERENCE",
            normalised_difference(view.values, other.values),
        ),
        (
            comparator.jensen_shannon_divergence,
            "JENSEN_SHANNON_DIVERGENCE",
            ("", jensen_shannon(view, other, kind) if _has_threshold(comparator) else None),
        ),
    ):
        if not limit.HasField("threshold") or distance is None:
            continue
        yield Measurement(view.path, word, name, distance, limit.threshold)
        if distance > limit.threshold:
            anomaly, words = _NAMES[name]
            control, treatment = _WORDS[word]
            most = f", most at {value!r}" if value else ""
            long = (
                f"The {words} of {treatment} from {control} is {distance:.6g}{most}; {limit.threshold:.6g} is allowed."
            )
            yield Finding(anomaly, f"High {words} from {control}", long)
            limit.threshold = distance


def _has_threshold(comparator: Any) -> bool:
    return bool(comparator.jensen_shannon_divergence.HasField("threshold"))


def check_examples(constraints: Any, view: DatasetView, against: Baselines) -> Iterator[Finding]:
    """How many examples there are: against limits, against earlier data, and against the previous version."""
    count = view.examples
    for field, name, control in (
        ("num_examples_drift_comparator", "the earlier data", against.previous),
        ("num_examples_version_comparator", "the previous version", against.previous_version),
    ):
        if constraints.HasField(field) and control is not None:
            yield from _compare_examples(getattr(constraints, field), count, control.examples, name)
    if constraints.HasField("min_examples_count") and count < constraints.min_examples_count:
        long = f"There are {count:g} examples; there should be at least {constraints.min_examples_count}."
        yield Finding("DATASET_LOW_NUM_EXAMPLES", "Too few examples", long)
        constraints.min_examples_count = int(count)
    if constraints.HasField("max_examples_count") and count > constraints.max_examples_count:
        long = f"There are {count:g} examples; there should be at most {constraints.max_examples_count}."
        yield Finding("DATASET_HIGH_NUM_EXAMPLES", "Too many examples", long)
        constraints.max_examples_count = int(count)


def _compare_examples(limits: Any, count: float, control: float, name: str) -> Iterator[Finding]:
    if limits.HasField("max_fraction_threshold"):
        if control <= 0:
            long = f"There are {count:g} examples; {name} has none."
            yield Finding("COMPARATOR_HIGH_NUM_EXAMPLES", f"Many more examples than {name}", long)
            limits.ClearField("max_fraction_threshold")
        elif count / control > limits.max_fraction_threshold:
            long = (
                f"{count / control:.6g} times the examples of {name}; {limits.max_fraction_threshold:.6g} are allowed."
            )
            yield Finding("COMPARATOR_HIGH_NUM_EXAMPLES", f"Many more examples than {name}", long)
            limits.max_fraction_threshold = count / control
    if limits.HasField("min_fraction_threshold") and control > 0 and count / control < limits.min_fraction_threshold:
        long = f"{count / control:.6g} times the examples of {name}; at least {limits.min_fraction_threshold:.6g} should be."
        yield Finding("COMPARATOR_LOW_NUM_EXAMPLES", f"Many fewer examples than {name}", long)
        limits.min_fraction_threshold = count / control
