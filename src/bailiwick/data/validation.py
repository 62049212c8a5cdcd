"""Holding statistics against a schema: TFDV's anomaly types by their own names, with TFDV's default severities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from bailiwick.core.errors import InvalidInput
from bailiwick.data.schema import common_statistics, feature_name, is_integer, string_values

_Stats = statistics_pb2.FeatureNameStatistics
_TYPE_NAMES = {
    _Stats.INT: "INT",
    _Stats.FLOAT: "FLOAT",
    _Stats.STRING: "BYTES",
    _Stats.BYTES: "BYTES",
    _Stats.STRUCT: "STRUCT",
}
_NOT_VALIDATED = frozenset(
    {
        schema_pb2.PLANNED,
        schema_pb2.ALPHA,
        schema_pb2.DEPRECATED,
        schema_pb2.DEBUG_ONLY,
        schema_pb2.DISABLED,
    }
)
_MAX_EXAMPLES = 10

Finding = tuple[str, str, str]
"""A TFDV anomaly type, a short and a long description."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One thing the data does that the schema forbids. `feature` is "" for the whole dataset; `kind` is a name of TFDV's
    `AnomalyInfo.Type`; `severity` is ERROR, as TFDV has it for every type unless overridden.
    """

    feature: str
    kind: str
    severity: str
    short: str
    long: str


def validate(statistics: Any, schema: Any, environment: str = "") -> list[Anomaly]:
    """Anomalies of the first dataset, in order of feature name; an empty list means the data is as the schema says.

    `environment` (e.g. `SERVING`) leaves out features that the schema does not expect there. Raises InvalidInput for one
    that the schema does not know.
    """
    dataset = statistics.datasets[0]
    if environment and environment not in _environments(schema):
        raise InvalidInput.choice("Environment", environment, _environments(schema))
    anomalies = [Anomaly("", kind, "ERROR", short, long) for kind, short, long in _check_size(dataset, schema)]
    by_name = {feature_name(stats): stats for stats in dataset.features}
    expected = {feature.name: feature for feature in schema.feature}
    for name in sorted(by_name.keys() | expected.keys()):
        findings = _check_feature(expected.get(name), by_name.get(name), dataset, schema, environment)
        anomalies.extend(Anomaly(name, kind, "ERROR", short, long) for kind, short, long in findings)
    return anomalies


def _environments(schema: Any) -> set[str]:
    return set(schema.default_environment).union(*(set(feature.in_environment) for feature in schema.feature))


def _expected_in(feature: Any, schema: Any, environment: str) -> bool:
    if not environment:
        return True
    if environment in feature.not_in_environment:
        return False
    return environment in feature.in_environment or environment in schema.default_environment


def _check_size(dataset: Any, schema: Any) -> Iterator[Finding]:
    least = max(1, schema.dataset_constraints.min_examples_count)
    most = schema.dataset_constraints.max_examples_count
    count = dataset.num_examples
    if count < least:
        long = f"The dataset has {count} examples, fewer than the {least} expected."
        yield "DATASET_LOW_NUM_EXAMPLES", "Low num examples in dataset.", long
    if most and count > most:
        long = f"The dataset has {count} examples, more than the {most} expected."
        yield "DATASET_HIGH_NUM_EXAMPLES", "High num examples in dataset.", long


def _check_feature(feature: Any, stats: Any, dataset: Any, schema: Any, environment: str) -> Iterator[Finding]:
    if feature is None:
        yield "SCHEMA_NEW_COLUMN", "New column", "New column (column in data but not in schema)"
        return
    if (
        feature.deprecated
        or feature.lifecycle_stage in _NOT_VALIDATED
        or not _expected_in(feature, schema, environment)
    ):
        return
    if stats is None:
        if feature.presence.min_count > 0 or feature.presence.min_fraction > 0:
            yield "SCHEMA_MISSING_COLUMN", "Column dropped", "Column is completely missing"
        return
    common = common_statistics(stats)
    yield from _check_presence(feature, common, dataset.num_examples)
    if not common.num_non_missing:
        return  # nothing has a type or a value
    if feature.type not in {schema_pb2.TYPE_UNKNOWN, schema_pb2.FeatureType.Value(_TYPE_NAMES[stats.type])}:
        wanted = schema_pb2.FeatureType.Name(feature.type)
        long = f"Expected data of type: {wanted} but got {_TYPE_NAMES[stats.type]}"
        yield "UNEXPECTED_DATA_TYPE", "Unexpected data type", long
        return
    yield from _check_valency(feature, common)
    yield from _check_domain(feature, stats, common, schema)


def _check_presence(feature: Any, common: Any, examples: int) -> Iterator[Finding]:
    presence, count = feature.presence, common.num_non_missing
    if count < presence.min_count:
        long = f"The feature was present in fewer examples than expected: minimum = {presence.min_count}, actual = {count}."
        yield "FEATURE_TYPE_LOW_NUMBER_PRESENT", "Column dropped", long
    if examples and count / examples < presence.min_fraction:
        long = (
            "The feature was present in fewer examples than expected: "
            f"minimum fraction = {presence.min_fraction:.6f}, actual = {count / examples:.6f}."
        )
        yield "FEATURE_TYPE_LOW_FRACTION_PRESENT", "Column dropped", long


def _check_valency(feature: Any, common: Any) -> Iterator[Finding]:
    low, high = common.min_num_values, common.max_num_values
    if feature.HasField("shape"):
        size = math.prod(dim.size for dim in feature.shape.dim)
        if not low == high == size:
            long = f"The feature has a shape of {size} values, but its examples have {low} to {high}."
            yield "INVALID_FEATURE_SHAPE", "Invalid feature shape", long
    limits = feature.value_count
    if limits.HasField("min") and low < limits.min:
        long = f"Some examples have fewer values than expected: minimum = {limits.min}, actual = {low}."
        yield "FEATURE_TYPE_LOW_NUMBER_VALUES", "Missing values", long
    if limits.HasField("max") and high > limits.max:
        long = f"Some examples have more values than expected: maximum = {limits.max}, actual = {high}."
        yield "FEATURE_TYPE_HIGH_NUMBER_VALUES", "Superfluous values", long


def _check_domain(feature: Any, stats: Any, common: Any, schema: Any) -> Iterator[Finding]:
    domain = feature.WhichOneof("domain_info")
    if domain in {"domain", "string_domain"}:
        if domain == "domain":
            named = next((d for d in schema.string_domain if d.name == feature.domain), None)
            allowed = set(named.value) if named is not None else set()
        else:
            allowed = set(feature.string_domain.value)
        yield from _check_values(feature, string_values(stats), allowed, common.tot_num_values)
    elif domain == "bool_domain":
        yield from _check_bool(feature.bool_domain, stats)
    elif domain == "int_domain":
        yield from _check_int(feature.int_domain, stats)
    elif domain == "float_domain" and stats.type == _Stats.FLOAT:
        yield from _check_float(feature.float_domain, stats.num_stats)


def _check_values(feature: Any, values: dict[str, float], allowed: set[str], total: float) -> Iterator[Finding]:
    constraints = feature.distribution_constraints
    most = 1 - constraints.min_domain_mass if constraints.HasField("min_domain_mass") else 0.0
    off = {value: count for value, count in values.items() if value not in allowed}
    mass = sum(off.values()) / total if total else 0.0
    if not off or mass <= most:
        return
    shown = sorted(off, key=lambda value: -off[value])[:_MAX_EXAMPLES]
    listed = ", ".join(f"{value} ({_percent(off[value] / total)})" for value in shown)
    more = f" and {len(off) - len(shown)} more" if len(off) > len(shown) else ""
    long = f"Examples contain values missing from the schema: {listed}{more}."
    yield "ENUM_TYPE_UNEXPECTED_STRING_VALUES", "Unexpected string values", long


def _check_bool(domain: Any, stats: Any) -> Iterator[Finding]:
    short = "Non-boolean values"
    if stats.type == _Stats.INT:
        low, high = stats.num_stats.min, stats.num_stats.max
        if low < 0:
            yield "BOOL_TYPE_SMALL_INT", short, f"Integers (such as {low:g}) not in {{0, 1}}."
        elif high > 1:
            yield "BOOL_TYPE_BIG_INT", short, f"Integers (such as {high:g}) not in {{0, 1}}."
    elif stats.type == _Stats.FLOAT:
        outside = [value for value in (stats.num_stats.min, stats.num_stats.max) if value not in {0.0, 1.0}]
        if outside:
            yield "BOOL_TYPE_UNEXPECTED_FLOAT", short, f"Floats (such as {outside[0]:g}) not in {{0, 1}}."
    elif stats.type == _Stats.STRING:
        allowed = {getattr(domain, name) for name in ("true_value", "false_value") if domain.HasField(name)}
        strange = next((value for value in string_values(stats) if value not in allowed), None)
        if strange is not None:
            yield (
                "BOOL_TYPE_UNEXPECTED_STRING",
                short,
                f'Saw unexpected value "{strange}" instead of {sorted(allowed)}.',
            )


def _check_int(domain: Any, stats: Any) -> Iterator[Finding]:
    if stats.type == _Stats.STRING:
        values = string_values(stats)
        strange = next((value for value in values if not is_integer(value)), None)
        if strange is not None:
            long = f'String values that were not ints were found, such as "{strange}".'
            yield "INT_TYPE_NOT_INT_STRING", "Invalid values", long
            return
        if not values:
            return
        low, high = min(map(int, values)), max(map(int, values))
    else:
        low, high = int(stats.num_stats.min), int(stats.num_stats.max)
    if domain.HasField("min") and low < domain.min:
        yield "INT_TYPE_SMALL_INT", "Out-of-range values", f"Unexpectedly small value: {low} < {domain.min}."
    if domain.HasField("max") and high > domain.max:
        yield "INT_TYPE_BIG_INT", "Out-of-range values", f"Unexpectedly large value: {high} > {domain.max}."


def _check_float(domain: Any, numeric: Any) -> Iterator[Finding]:
    if domain.HasField("min") and numeric.min < domain.min:
        yield (
            "FLOAT_TYPE_SMALL_FLOAT",
            "Out-of-range values",
            f"Unexpectedly low values: {numeric.min:g} < {domain.min:g}.",
        )
    if domain.HasField("max") and numeric.max > domain.max:
        yield (
            "FLOAT_TYPE_BIG_FLOAT",
            "Out-of-range values",
            f"Unexpectedly high value: {numeric.max:g} > {domain.max:g}.",
        )
    if domain.disallow_nan and any(histogram.num_nan for histogram in numeric.histograms):
        yield "FLOAT_TYPE_HAS_NAN", "Invalid values", "Float feature has NaN values."
    if domain.disallow_inf and (math.isinf(numeric.min) or math.isinf(numeric.max)):
        yield "FLOAT_TYPE_HAS_INF", "Invalid values", "Float feature has Inf values."


def _percent(share: float) -> str:
    return "<1%" if share < 0.01 else f"~{math.floor(100 * share)}%"
