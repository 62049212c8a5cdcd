"""One feature against its description: every rule in TFDV's order, each relaxing the description where it finds something.

What the rules leave behind is a description that the data satisfies, so checking and proposing are one walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from bailiwick.data.schema.inference import adopt_semantic_domain
from bailiwick.data.schema.tree import SchemaTree, deprecate, is_deprecated
from bailiwick.data.statistics.view import FeatureView, Stats
from bailiwick.data.validation.anomalies import Finding, Measurement
from bailiwick.data.validation.comparators import Baselines, compare_feature
from bailiwick.data.validation.composites import check_composite
from bailiwick.data.validation.domains import check_bool, check_float, check_image, check_int, check_strings
from bailiwick.data.validation.language import check_language
from bailiwick.data.validation.occurrence import check_presence, check_shape, check_unique, check_valency
from bailiwick.data.validation.specification import check_specification

_DOMAINS_OF_BYTES = {None, "natural_language_domain", "image_domain", "url_domain"}


def check_feature(
    tree: SchemaTree, view: FeatureView, environment: str, against: Baselines
) -> Iterator[Finding | Measurement]:
    """Findings and measurements of a feature that the schema knows; its description in `tree` is relaxed to the data."""
    composite = check_composite(tree, view)
    if composite is not None:
        yield from composite
        return
    feature = tree.features.get(view.path)
    if feature is None:  # only a sparse feature that is deprecated
        return
    yield from check_specification(feature, tree)
    if is_deprecated(feature):
        return
    if view.present == 0:
        if tree.required(feature, environment):
            yield Finding("FEATURE_TYPE_NOT_PRESENT", "Column without a value", "No example has the feature.")
            deprecate(feature)
        return
    yield from _check_environment(tree, feature, view, environment)
    yield from check_valency(feature, view)
    yield from check_shape(feature, view)
    if feature.HasField("presence"):
        yield from check_presence(feature, view)
    yield from _check_type(feature, view)
    yield from _check_domain(tree, feature, view)
    yield from check_unique(feature, view)
    yield from compare_feature(feature, view, against)
    yield from _check_derived(feature, view)


def _check_environment(tree: SchemaTree, feature: Any, view: FeatureView, environment: str) -> Iterator[Finding]:
    if tree.expected_in(feature, environment):
        return
    long = f"The data has {'.'.join(view.path)!r}, which the schema does not expect in environment {environment}."
    yield Finding("SCHEMA_NEW_COLUMN", "Column not expected in this environment", long)
    kept = [other for other in feature.not_in_environment if other != environment]
    del feature.not_in_environment[:]
    feature.not_in_environment.extend(kept)
    if not tree.expected_in(feature, environment):
        feature.in_environment.append(environment)


def _check_type(feature: Any, view: FeatureView) -> Iterator[Finding]:
    if view.schema_type != feature.type:
        wanted, kind = schema_pb2.FeatureType.Name(feature.type), Stats.Type.Name(view.type)
        yield Finding("UNEXPECTED_DATA_TYPE", "Another type of data", f"{wanted} is expected; the data is {kind}.")
        deprecate(feature)


def _check_domain(tree: SchemaTree, feature: Any, view: FeatureView) -> Iterator[Finding]:
    kind = feature.WhichOneof("domain_info")
    if view.type == Stats.BYTES and kind not in _DOMAINS_OF_BYTES:
        yield Finding("DOMAIN_INVALID_FOR_TYPE", "The domain is not for bytes", f"The data is bytes; {kind} is not.")
        feature.ClearField(kind)
        kind = None
    if kind == "domain":
        yield from check_strings(feature, view, tree.domains[feature.domain])
        if view.invalid_utf8:
            tree.drop_domain(feature.domain)
    elif kind == "string_domain":
        yield from check_strings(feature, view, feature.string_domain)
        if view.invalid_utf8:
            feature.ClearField("string_domain")
    elif kind in _CHECKS:
        yield from _CHECKS[kind](feature, view)
    elif kind is None and adopt_semantic_domain(feature, view):
        long = f"The values look like {feature.WhichOneof('domain_info')}, which the schema does not say."
        yield Finding("SEMANTIC_DOMAIN_UPDATE", "The values have a meaning", long)


def _check_derived(feature: Any, view: FeatureView) -> Iterator[Finding]:
    source = view.stats.validation_derived_source
    if view.stats.HasField("validation_derived_source") and not feature.HasField("validation_derived_source"):
        long = "The data says what the feature was derived from; the schema does not."
        yield Finding("DERIVED_FEATURE_INVALID_SOURCE", "Derived feature without a source", long)
        feature.validation_derived_source.CopyFrom(source)
        feature.lifecycle_stage = schema_pb2.VALIDATION_DERIVED
    stage = feature.lifecycle_stage
    if (
        feature.HasField("validation_derived_source")
        and stage != schema_pb2.VALIDATION_DERIVED
        and not is_deprecated(feature)
    ):
        long = f"A derived feature should be VALIDATION_DERIVED; it is {schema_pb2.LifecycleStage.Name(stage)}."
        yield Finding("DERIVED_FEATURE_BAD_LIFECYCLE", "Derived feature in another stage of life", long)
        feature.lifecycle_stage = schema_pb2.VALIDATION_DERIVED


_CHECKS = {
    "bool_domain": check_bool,
    "int_domain": check_int,
    "float_domain": check_float,
    "image_domain": check_image,
    "natural_language_domain": check_language,
}
