"""Rules of the schema itself: a feature's description that contradicts itself is an anomaly once there is data for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from bailiwick.data.schema.tree import SchemaTree, deprecate
from bailiwick.data.validation.anomalies import Finding

_TYPES_OF = {
    "domain": {schema_pb2.BYTES},
    "bool_domain": {schema_pb2.INT, schema_pb2.BYTES, schema_pb2.FLOAT},
    "int_domain": {schema_pb2.INT, schema_pb2.BYTES},
    "float_domain": {schema_pb2.FLOAT, schema_pb2.BYTES},
    "string_domain": {schema_pb2.BYTES},
    "struct_domain": {schema_pb2.STRUCT},
    "natural_language_domain": {schema_pb2.BYTES, schema_pb2.INT},
    "image_domain": {schema_pb2.BYTES},
    "mid_domain": {schema_pb2.BYTES},
    "url_domain": {schema_pb2.BYTES},
    "time_domain": {schema_pb2.INT, schema_pb2.BYTES},
}
_INVALID = "INVALID_SCHEMA_SPECIFICATION"
_INVALID_DOMAIN = "INVALID_DOMAIN_SPECIFICATION"


def check_specification(feature: Any, tree: SchemaTree) -> Iterator[Finding]:
    """What is wrong with the description; it is mended, or the feature deprecated where no mend is known."""
    if not feature.HasField("name"):
        yield Finding("FEATURE_MISSING_NAME", "Feature without a name", "Give the feature a name.")
        deprecate(feature)
        return
    if not feature.HasField("type"):
        texts = feature.HasField("domain") or feature.HasField("string_domain")
        long = "It has a domain of text, so BYTES is meant." if texts else "Say which type the feature has."
        yield Finding("FEATURE_MISSING_TYPE", "Feature without a type", long)
        if not texts:
            deprecate(feature)
            return
        feature.type = schema_pb2.BYTES
    yield from _check_numbers(feature)
    yield from _check_domain_type(feature)
    yield from _check_domain(feature, tree)


def _check_numbers(feature: Any) -> Iterator[Finding]:
    presence = feature.presence
    if presence.min_fraction < 0:
        yield Finding(_INVALID, "A share below 0", f"presence.min_fraction is {presence.min_fraction:g}.")
        presence.ClearField("min_fraction")
    if presence.min_fraction > 1:
        yield Finding(_INVALID, "A share above 1", f"presence.min_fraction is {presence.min_fraction:g}.")
        presence.min_fraction = 1.0
    counts = [("value_count", feature.value_count)] if feature.HasField("value_count") else []
    levels = enumerate(feature.value_counts.value_count)
    for name, count in [*counts, *((f"value_counts at level {level}", count) for level, count in levels)]:
        if count.min < 0:
            yield Finding(_INVALID, "A number of values below 0", f"{name}: min is {count.min}.")
            count.ClearField("min")
        if count.HasField("max") and count.max < count.min:
            long = f"{name}: max is {count.max}, min is {count.min}."
            yield Finding(_INVALID, "A largest number of values below the least", long)
            count.max = count.min
    if any(dim.size <= 0 for dim in feature.shape.dim):
        yield Finding(_INVALID, "A shape that holds nothing", "Each dimension of a shape must be at least 1.")
        feature.ClearField("shape")


def _check_domain_type(feature: Any) -> Iterator[Finding]:
    kind = feature.WhichOneof("domain_info")
    if kind in _TYPES_OF and feature.type not in _TYPES_OF[kind]:
        long = f"{kind} is not for {schema_pb2.FeatureType.Name(feature.type)}."
        yield Finding("DOMAIN_INVALID_FOR_TYPE", "The domain is not for this type", long)
        feature.ClearField(kind)


def _check_domain(feature: Any, tree: SchemaTree) -> Iterator[Finding]:
    kind = feature.WhichOneof("domain_info")
    if kind not in {"domain", "string_domain"} and feature.HasField("distribution_constraints"):
        long = f"min_domain_mass needs a domain of text values; this is {kind or 'no domain'}."
        yield Finding(_INVALID, "Distribution constraints without a domain of text", long)
        feature.ClearField("distribution_constraints")
    if kind == "domain" and feature.domain not in tree.domains:
        yield Finding(_INVALID_DOMAIN, "No such domain", f"The schema has no string domain {feature.domain!r}.")
        feature.ClearField("domain")
    elif kind == "bool_domain":
        domain = feature.bool_domain
        if domain.HasField("true_value") and domain.HasField("false_value") and domain.true_value == domain.false_value:
            domain.ClearField("false_value")  # as repeated values below: mended, but TFDV makes no anomaly of it
    elif kind == "string_domain":
        unique = list(dict.fromkeys(feature.string_domain.value))
        del feature.string_domain.value[:]
        feature.string_domain.value.extend(unique)
    elif kind is not None and kind not in _TYPES_OF:
        yield Finding(_INVALID_DOMAIN, "A domain that cannot be checked", f"{kind} is not known to validation.")
        feature.ClearField(kind)
