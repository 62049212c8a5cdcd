"""Rules of which values: booleans, numbers, text and images. Each relaxes the domain it finds wanting."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from bailiwick.data.schema.inference import is_integer
from bailiwick.data.statistics.view import FeatureView, Stats
from bailiwick.data.validation.anomalies import Finding

_MAX_EXAMPLES = 10
_NOT_BOOLEAN = "Values that are not booleans"
_OUT_OF_RANGE = "Values out of range"
_INVALID = "Invalid values"
_FLOAT = re.compile(
    r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf(inity)?|nan)\s*", re.ASCII | re.IGNORECASE
)


def check_bool(feature: Any, view: FeatureView) -> Iterator[Finding]:
    """Only 0 and 1, or only the two words; otherwise the domain becomes one of numbers, or none."""
    if view.type == Stats.STRING:
        words = {getattr(feature.bool_domain, name) for name in ("true_value", "false_value")
                 if feature.bool_domain.HasField(name)}  # fmt: skip
        strange = next((value for value in view.values if value not in words), None)
        if strange is not None:
            long = f"{strange!r} is none of {sorted(words)}."
            yield Finding("BOOL_TYPE_UNEXPECTED_STRING", _NOT_BOOLEAN, long)
            feature.ClearField("bool_domain")
        return
    low, high = view.numbers.min, view.numbers.max
    if view.type == Stats.INT and (low < 0 or high > 1):
        kind, example = ("BOOL_TYPE_SMALL_INT", low) if low < 0 else ("BOOL_TYPE_BIG_INT", high)
        yield Finding(kind, _NOT_BOOLEAN, f"Whole numbers such as {example:.6g} are neither 0 nor 1.")
        feature.int_domain.min, feature.int_domain.max = _whole(low), _whole(high)
    elif view.type == Stats.FLOAT:
        strange = _strange_float(view.numbers)
        if strange is not None:
            yield Finding("BOOL_TYPE_UNEXPECTED_FLOAT", _NOT_BOOLEAN, f"Numbers such as {strange} are neither 0 nor 1.")
            feature.float_domain.min, feature.float_domain.max = low, high


def check_int(feature: Any, view: FeatureView) -> Iterator[Finding]:
    """Whole numbers, in text too, within the range."""
    domain, values = feature.int_domain, list(view.values)
    if values and view.type in {Stats.INT, Stats.STRING, Stats.BYTES}:
        strange = next((value for value in values if not is_integer(value)), None)
        low, high = (0, 0) if strange is not None else (min(map(int, values)), max(map(int, values)))
    elif view.type == Stats.INT:
        numbers = (view.numbers.min, view.numbers.max)
        strange = next((f"{number:g}" for number in numbers if not -(2**63) <= number <= 2**63), None)
        low, high = (0, 0) if strange is not None else (_whole(numbers[0]), _whole(numbers[1]))
    else:
        return
    if strange is not None:
        yield from _not_an_int(feature, view, strange)
        return
    if domain.HasField("min") and low < domain.min:
        yield Finding("INT_TYPE_SMALL_INT", _OUT_OF_RANGE, f"{low} is smaller than {domain.min}.")
        domain.min = low
    if domain.HasField("max") and high > domain.max:
        yield Finding("INT_TYPE_BIG_INT", _OUT_OF_RANGE, f"{high} is larger than {domain.max}.")
        domain.max = high


def check_float(feature: Any, view: FeatureView) -> Iterator[Finding]:
    """Numbers, in text too, within the range; no NaN and no infinity where those are not allowed.

    TFDV compares in single precision, which is what the schema keeps.
    """
    domain = feature.float_domain
    strange = None
    if view.type == Stats.FLOAT:
        numbers = [_single(view.numbers.min), _single(view.numbers.max)]
        nan = any(histogram.num_nan > 0 for histogram in view.numbers.histograms)
    elif view.type in {Stats.STRING, Stats.BYTES}:
        strange = next((value for value in view.values if not _FLOAT.fullmatch(value)), None)
        parsed = [_single(float(value)) for value in view.values if _FLOAT.fullmatch(value)]
        numbers = [number for number in parsed if not math.isnan(number)]
        nan = len(numbers) < len(parsed)
    else:
        return
    if domain.disallow_nan and nan:
        yield Finding("FLOAT_TYPE_HAS_NAN", _INVALID, "There are NaN values.")
        domain.disallow_nan = False
    if strange is not None:
        yield Finding("FLOAT_TYPE_STRING_NOT_FLOAT", _INVALID, f"{strange!r} is not a number.")
        feature.ClearField("float_domain")
    elif numbers:
        yield from _float_range(domain, min(numbers), max(numbers))


def check_strings(feature: Any, view: FeatureView, domain: Any) -> Iterator[Finding]:
    """Values of the domain, but for the share that `min_domain_mass` leaves. Unknown ones are added to the domain."""
    if view.invalid_utf8:
        yield Finding("ENUM_TYPE_INVALID_UTF8", "Text that is not UTF-8", "There are values that are not UTF-8.")
        return
    constraints = feature.distribution_constraints
    allowed = 1 - constraints.min_domain_mass if constraints.HasField("min_domain_mass") else 0.0
    known = set(domain.value)
    unknown = {value: count for value, count in view.values.items() if value not in known}
    mass, total = sum(unknown.values()), view.total_values
    share = mass / total if total else math.inf if mass else math.nan
    if share > allowed or (allowed == 0 and unknown):
        long = f"Values that are not in the schema: {_listed(unknown, total)}."
        yield Finding("ENUM_TYPE_UNEXPECTED_STRING_VALUES", "Values that are not in the domain", long)
        domain.value.extend(unknown)


def check_image(feature: Any, view: FeatureView) -> Iterator[Finding]:
    """Enough images of a known format, and none too large."""
    domain = feature.image_domain
    formats = view.custom("image_format_histogram")
    if domain.HasField("minimum_supported_image_fraction") and formats is not None:
        counts = [(bucket.label == "UNKNOWN", bucket.sample_count) for bucket in formats.rank_histogram.buckets]
        total = sum(count for _, count in counts)
        share = _single(sum(count for unknown, count in counts if not unknown) / total) if total else math.nan
        if share < domain.minimum_supported_image_fraction:
            wanted = domain.minimum_supported_image_fraction
            long = f"{share:.6f} of the values are images of a known format; at least {wanted:.6f} should be."
            yield Finding("LOW_SUPPORTED_IMAGE_FRACTION", "Too few known images", long)
            domain.minimum_supported_image_fraction = share
    largest = view.stats.bytes_stats.max_num_bytes_int
    if domain.HasField("max_image_byte_size") and largest > domain.max_image_byte_size:
        long = f"The largest image has {largest} bytes; {domain.max_image_byte_size} are allowed."
        yield Finding("MAX_IMAGE_BYTE_SIZE_EXCEEDED", "An image is too large", long)
        domain.max_image_byte_size = largest


def _strange_float(numbers: Any) -> str | None:
    """A value, or a range of values, that is there and is neither 0 nor 1; None as far as the statistics tell."""
    for bound in (numbers.min, numbers.max):
        if bound not in {0.0, 1.0}:
            return f"{bound:.6g}"
    for histogram in numbers.histograms:
        if histogram.num_nan > 0:
            return "NaN"
        quantiles = histogram.type == statistics_pb2.Histogram.QUANTILES
        for bucket in histogram.buckets:
            if bucket.sample_count <= 0:
                continue
            between = quantiles and bucket.low_value > 0 and bucket.high_value < 1
            if bucket.high_value < 0 or bucket.low_value > 1 or between:
                return f"those from {bucket.low_value:.6g} to {bucket.high_value:.6g}"
    return None


def _not_an_int(feature: Any, view: FeatureView, strange: str) -> Iterator[Finding]:
    domain = feature.int_domain
    if view.schema_type == schema_pb2.BYTES:
        yield Finding("INT_TYPE_NOT_INT_STRING", _INVALID, f"{strange!r} is not a whole number.")
        feature.ClearField("int_domain")
    elif domain.HasField("min") or domain.HasField("max"):
        yield Finding("DOMAIN_INVALID_FOR_TYPE", _INVALID, f"{strange!r} is not a whole number of 64 bits.")
        feature.ClearField("int_domain")


def _float_range(domain: Any, low: float, high: float) -> Iterator[Finding]:
    if domain.HasField("min") and low < domain.min:
        yield Finding("FLOAT_TYPE_SMALL_FLOAT", _OUT_OF_RANGE, f"{low:.6g} is smaller than {domain.min:.6g}.")
        domain.min = low
    if domain.HasField("max") and high > domain.max:
        yield Finding("FLOAT_TYPE_BIG_FLOAT", _OUT_OF_RANGE, f"{high:.6g} is larger than {domain.max:.6g}.")
        domain.max = high
    if domain.disallow_inf and (math.isinf(low) or math.isinf(high)):
        yield Finding("FLOAT_TYPE_HAS_INF", _INVALID, "There are infinite values.")
        domain.disallow_inf = False


def _listed(counts: Mapping[str, float], total: float) -> str:
    """The most frequent values with the share that each has."""
    shown = sorted(counts, key=lambda value: (-counts[value], value))[:_MAX_EXAMPLES]
    more = f" and {len(counts) - len(shown)} more" if len(counts) > len(shown) else ""
    return ", ".join(f"{value} ({_percent(counts[value], total)})" for value in shown) + more


def _percent(count: float, total: float) -> str:
    if not total:
        return "?"
    return "<1%" if count / total < 0.01 else f"~{math.floor(100 * count / total)}%"


def _single(number: float) -> float:
    """The number in single precision; too large ones are infinite."""
    return ctypes.c_float(number).value


def _whole(number: float) -> int:
    """The number cut to a whole one of 64 bits; NaN is 0."""
    if math.isnan(number):
        return 0
    return int(min(max(number, -(2.0**63)), 2.0**63 - 1024)) if math.isinf(number) else min(int(number), 2**63 - 1)
