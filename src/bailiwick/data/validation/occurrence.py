"""Rules of how often and how many: presence, valency, shape and different values. Each relaxes the feature it finds wanting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bailiwick.data.schema.inference import infer_value_count
from bailiwick.data.statistics.view import FeatureView
from bailiwick.data.validation.anomalies import Finding

_ALMOST_ALL = 0.9999  # what 1.0 is relaxed to where the share that is missing is lost in rounding


def check_presence(feature: Any, view: FeatureView) -> Iterator[Finding]:
    """Whether enough examples have the feature, in number and as a share."""
    presence = feature.presence
    if presence.HasField("min_count") and view.present < presence.min_count:
        long = f"{view.present:g} examples have the feature; at least {presence.min_count} should."
        yield Finding("FEATURE_TYPE_LOW_NUMBER_PRESENT", "Present in too few examples", long)
        presence.min_count = int(view.present)
    share = view.fraction_present
    if not presence.HasField("min_fraction") or share is None:
        return
    if share < presence.min_fraction:
        long = f"{share:.6f} of the examples have the feature; at least {presence.min_fraction:.6f} should."
        yield Finding("FEATURE_TYPE_LOW_FRACTION_PRESENT", "Present in too few examples", long)
        presence.min_fraction = share
    if presence.min_fraction == 1 and view.missing:
        long = f"Every example should have the feature; {view.missing:g} have not."
        yield Finding("FEATURE_TYPE_LOW_FRACTION_PRESENT", "Present in too few examples", long)
        presence.min_fraction = _ALMOST_ALL


def check_valency(feature: Any, view: FeatureView) -> Iterator[Finding]:
    """Whether examples have as many values as they should, at each level of nested lists."""
    if feature.HasField("value_count"):
        limits, levels = [feature.value_count], 1
    elif feature.HasField("value_counts"):
        limits, levels = list(feature.value_counts.value_count), len(feature.value_counts.value_count)
    else:
        return
    if len(view.lengths) != levels:
        long = f"Values are nested {len(view.lengths)} deep; the schema describes {levels}."
        yield Finding("VALUE_NESTEDNESS_MISMATCH", "Values are nested differently", long)
        feature.ClearField("value_count")
        feature.ClearField("value_counts")
        infer_value_count(feature, view)
        return
    for level, (limit, (low, high)) in enumerate(zip(limits, view.lengths, strict=True)):
        where = f" at level {level}" if levels > 1 else ""
        if limit.HasField("min") and low < limit.min:
            long = f"Some examples have {low} values{where}; there should be at least {limit.min}."
            yield Finding("FEATURE_TYPE_LOW_NUMBER_VALUES", "Too few values", long)
            if low:
                limit.min = low
            else:
                limit.ClearField("min")
        if limit.HasField("max") and high > limit.max:
            long = f"Some examples have {high} values{where}; there should be at most {limit.max}."
            yield Finding("FEATURE_TYPE_HIGH_NUMBER_VALUES", "Too many values", long)
            limit.max = high


def check_shape(feature: Any, view: FeatureView) -> Iterator[Finding]:
    """Whether every example has exactly the values of the shape. A shape that does not hold is dropped, not replaced:
    which other would suit the data seen earlier is not known.
    """
    if not feature.HasField("shape"):
        return
    expected = math.prod(dim.size for dim in feature.shape.dim)
    fixed = all(low == high > 0 for low, high in view.lengths)
    if not fixed or any(view.missing_by_level):
        low, high = view.lengths[0]
        long = f"The feature has a shape, but examples have {low} to {high} values and {view.missing:g} have none."
    elif math.prod(low for low, _ in view.lengths) != expected:
        long = f"Examples have {math.prod(low for low, _ in view.lengths)} values; the shape has {expected}."
    else:
        return
    yield Finding("INVALID_FEATURE_SHAPE", "The shape does not hold", long)
    feature.ClearField("shape")


def check_unique(feature: Any, view: FeatureView) -> Iterator[Finding]:
    """Whether there are as many different values as there should be; a limit that is not set allows any number."""
    if not feature.HasField("unique_constraints"):
        return
    limits = feature.unique_constraints
    if view.unique is None:
        long = "The number of different values is limited, but it is only counted for text and categories."
        yield Finding("FEATURE_TYPE_NO_UNIQUE", "Different values not counted", long)
        feature.ClearField("unique_constraints")
        return
    if limits.HasField("min") and view.unique < limits.min:
        long = f"There are {view.unique} different values; there should be at least {limits.min}."
        yield Finding("FEATURE_TYPE_LOW_UNIQUE", "Too few different values", long)
        limits.min = view.unique
    if limits.HasField("max") and view.unique > limits.max:
        long = f"There are {view.unique} different values; there should be at most {limits.max}."
        yield Finding("FEATURE_TYPE_HIGH_UNIQUE", "Too many different values", long)
        limits.max = view.unique
