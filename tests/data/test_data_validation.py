"""Anomalies that no case of TFDV's tests raises by itself, one each, and what checking guarantees."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from bailiwick.core.errors import InvalidInput
from bailiwick.data.schema import infer_schema, parse_schema
from bailiwick.data.schema.difference import differences
from bailiwick.data.schema.personal import mark_personal, personal_columns
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.validation import check, relax, validate


def _statistics(text: str, examples: int = 10) -> Any:
    dataset = text_format.Parse(text, statistics_pb2.DatasetFeatureStatistics(num_examples=examples))
    return statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset])


def _kinds(schema: str, statistics: Any, **others: Any) -> list[str]:
    parsed = text_format.Parse(schema, schema_pb2.Schema())
    return [anomaly.kind for anomaly in validate(statistics, parsed, **others)]


def _text(*values: str, invalid: int = 0) -> str:
    buckets = " ".join(f'buckets {{ label: "{value}" sample_count: 1 }}' for value in values)
    return (
        'features { path { step: "c" } type: STRING string_stats { '
        f"common_stats {{ num_non_missing: 10 tot_num_values: 10 }} unique: {len(values)} "
        f"invalid_utf8_count: {invalid} rank_histogram {{ {buckets} }} }} }}"
    )


def _number(kind: str, low: float, high: float, more: str = "") -> str:
    return (
        f'features {{ path {{ step: "c" }} type: {kind} num_stats {{ common_stats {{ num_non_missing: 10 }} '
        f"min: {low} max: {high} {more} }} }}"
    )


@pytest.mark.parametrize(
    ("feature", "statistics", "kind"),
    [
        ("type: INT bool_domain {}", _number("INT", -1, 1), "BOOL_TYPE_SMALL_INT"),
        ("type: INT bool_domain {}", _number("INT", 0, 2), "BOOL_TYPE_BIG_INT"),
        ('type: BYTES bool_domain { true_value: "y" }', _text("n"), "BOOL_TYPE_UNEXPECTED_STRING"),
        ("type: BYTES int_domain {}", _text("1", "x"), "INT_TYPE_NOT_INT_STRING"),
        ("type: BYTES int_domain { min: 2 }", _text("1", "2"), "INT_TYPE_SMALL_INT"),
        ("type: INT int_domain { max: 2 }", _number("INT", 0, 3), "INT_TYPE_BIG_INT"),
        ("type: INT int_domain { max: 2 }", _number("INT", 0, 1e30), "DOMAIN_INVALID_FOR_TYPE"),
        ("type: BYTES float_domain {}", _text("1.5", "x"), "FLOAT_TYPE_STRING_NOT_FLOAT"),
        ("type: BYTES float_domain { disallow_nan: true }", _text("1.5", "nan"), "FLOAT_TYPE_HAS_NAN"),
        ("type: FLOAT float_domain { disallow_inf: true }", _number("FLOAT", 0, "inf"), "FLOAT_TYPE_HAS_INF"),  # type: ignore[arg-type]
        ("type: FLOAT float_domain { min: 1 }", _number("FLOAT", 0, 2), "FLOAT_TYPE_SMALL_FLOAT"),
        ("type: FLOAT float_domain { max: 1 }", _number("FLOAT", 0, 2), "FLOAT_TYPE_BIG_FLOAT"),
        ("type: BYTES string_domain {}", _text("a", invalid=1), "ENUM_TYPE_INVALID_UTF8"),
        ("type: BYTES unique_constraints { min: 2 }", _text("a"), "FEATURE_TYPE_LOW_UNIQUE"),
        ("type: INT unique_constraints { min: 2 }", _number("INT", 0, 3), "FEATURE_TYPE_NO_UNIQUE"),
        ("type: FLOAT presence { min_count: 11 }", _number("FLOAT", 0, 3), "FEATURE_TYPE_LOW_NUMBER_PRESENT"),
        ('type: BYTES domain: "gone"', _text("a"), "INVALID_DOMAIN_SPECIFICATION"),
        ("type: BYTES audio_domain {}", _text("a"), "INVALID_DOMAIN_SPECIFICATION"),
        ("type: BYTES shape { dim { size: 0 } }", _text("a"), "INVALID_SCHEMA_SPECIFICATION"),
    ],
)  # fmt: skip
def test_each_rule_of_a_feature_has_its_anomaly(feature: str, statistics: str, kind: str) -> None:
    assert _kinds(f'feature {{ name: "c" {feature} }}', _statistics(statistics)) == [kind]


@pytest.mark.parametrize(
    ("constraints", "kind"),
    [
        ("min_examples_count: 11", "DATASET_LOW_NUM_EXAMPLES"),
        ("max_examples_count: 9", "DATASET_HIGH_NUM_EXAMPLES"),
        ("num_examples_drift_comparator { max_fraction_threshold: 1.5 }", "COMPARATOR_HIGH_NUM_EXAMPLES"),
        ("num_examples_drift_comparator { min_fraction_threshold: 2.5 }", "COMPARATOR_LOW_NUM_EXAMPLES"),
        ("num_examples_version_comparator { max_fraction_threshold: 1.5 }", None),
    ],
)
def test_the_number_of_examples_is_held_against_limits_and_earlier_data(constraints: str, kind: str | None) -> None:
    earlier = _statistics("", examples=5)
    found = _kinds(f"dataset_constraints {{ {constraints} }}", _statistics(""), previous=earlier)
    assert found == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("comparator", "kind", "value"),
    [
        ("infinity_norm { threshold: 0.1 }", "L_INFTY", 0.5),
        ("normalized_abs_difference { threshold: 0.1 }", "NORMALIZED_ABSOLUTE_DIFFERENCE", 1 / 3),
        ("jensen_shannon_divergence { threshold: 0.1 }", "JENSEN_SHANNON_DIVERGENCE", 0.3112781244591328),
    ],
)
def test_drift_and_skew_are_measured_and_named(comparator: str, kind: str, value: float) -> None:
    schema = (
        f'feature {{ name: "c" type: BYTES drift_comparator {{ {comparator} }} skew_comparator {{ {comparator} }} }}'
    )
    parsed = text_format.Parse(schema, schema_pb2.Schema())
    other = _statistics(_text("a"))
    report = check(_statistics(_text("a", "b")), parsed, previous=other, serving=other)
    assert {anomaly.kind for anomaly in report.anomalies} == {f"COMPARATOR_{kind}_HIGH"}
    assert [(one.against, one.kind) for one in report.measurements] == [("drift", kind), ("skew", kind)]
    assert [one.value for one in report.measurements] == pytest.approx([value, value])
    assert _kinds(schema, _statistics(_text("a")), previous=_statistics("")) == ["COMPARATOR_CONTROL_DATA_MISSING"]
    assert report.to_proto(parsed).anomaly_info["c"].short_description == "Multiple errors"


@pytest.mark.parametrize(
    ("constraint", "kind"),
    [
        ("min_fraction_of_sequences: 0.6", "SEQUENCE_VALUE_TOO_SMALL_FRACTION"),
        ("max_fraction_of_sequences: 0.4", "SEQUENCE_VALUE_TOO_LARGE_FRACTION"),
        ("min_per_sequence: 2", "SEQUENCE_VALUE_TOO_FEW_OCCURRENCES"),
        ("max_per_sequence: 2", "SEQUENCE_VALUE_TOO_MANY_OCCURRENCES"),
    ],
)
def test_tokens_of_texts_are_held_against_their_limits(constraint: str, kind: str) -> None:
    statistics = _statistics(_text("a"))
    language = statistics_pb2.NaturalLanguageStatistics()
    language.token_statistics.add(
        string_token="x", fraction_of_sequences=0.5, per_sequence_min_frequency=1, per_sequence_max_frequency=3
    )
    schema = (
        'feature { name: "c" type: BYTES natural_language_domain { '
        f'token_constraints {{ string_value: "x" {constraint} }} }} }}'
    )
    assert _kinds(schema, statistics) == ["STATS_NOT_AVAILABLE"]
    statistics.datasets[0].features[0].custom_stats.add(name="nl_statistics").any.Pack(language)
    assert _kinds(schema, statistics) == [kind]


def test_a_severity_can_be_changed_by_kind() -> None:
    statistics = _statistics(_text("a"))
    found = validate(statistics, schema_pb2.Schema(), severities={"SCHEMA_NEW_COLUMN": "WARNING"})
    assert [anomaly.severity for anomaly in found] == ["WARNING"]
    with pytest.raises(InvalidInput, match="Did you mean 'SCHEMA_NEW_COLUMN'"):
        validate(statistics, schema_pb2.Schema(), severities={"SCHEMA_NEW_COLUM": "WARNING"})
    with pytest.raises(InvalidInput, match="Severity of SCHEMA_NEW_COLUMN 'FATAL'"):
        validate(statistics, schema_pb2.Schema(), severities={"SCHEMA_NEW_COLUMN": "FATAL"})


def test_statistics_of_slices_need_one_of_all_examples() -> None:
    slices = [statistics_pb2.DatasetFeatureStatistics(name=name) for name in ("a", "b")]
    with pytest.raises(InvalidInput, match="hold 2 datasets and none is called 'All Examples'"):
        validate(statistics_pb2.DatasetFeatureStatisticsList(datasets=slices), schema_pb2.Schema())
    slices[1].name = "All Examples"
    assert validate(statistics_pb2.DatasetFeatureStatisticsList(datasets=slices), schema_pb2.Schema())


def test_features_with_a_name_here_and_a_path_there_are_refused() -> None:
    mixed = _statistics('features { name: "a" type: INT num_stats {} } ' + _text("a"))
    with pytest.raises(InvalidInput, match="all should have a path"):
        validate(mixed, schema_pb2.Schema())


_COLUMN = st.sampled_from([pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.list_(pa.int64())])
_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-5, 5),
    pa.float64(): st.floats(),
    pa.string(): st.text(max_size=3),
    pa.bool_(): st.booleans(),
    pa.list_(pa.int64()): st.lists(st.integers(0, 3), max_size=2),
}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_data_satisfies_the_relaxation_of_any_schema(data: st.DataObject) -> None:
    def table() -> pa.Table:
        columns = {}
        rows = data.draw(st.integers(1, 6))
        for name in data.draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)):
            kind = data.draw(_COLUMN)
            values = data.draw(st.lists(st.none() | _VALUES[kind], min_size=rows, max_size=rows))
            columns[name] = pa.array(values, kind)
        return pa.table(columns)

    before, after = compute_statistics(table()), compute_statistics(table())
    schema = infer_schema(before)
    relaxed = relax(schema, after)
    assert validate(after, relaxed) == []
    assert (relaxed == schema) == (validate(after, schema) == [])
    assert bool(differences(schema, relaxed)) == (relaxed != schema)


def test_ranges_are_inferred_on_request() -> None:
    from bailiwick.data.schema.inference import Inference

    statistics = compute_statistics(pa.table({"n": [3, 9], "x": [0.5, 1.5], "t": ["3", "8"]}))
    number, real, text = infer_schema(statistics, Inference(ranges=True)).feature
    assert (number.int_domain.min, number.int_domain.max) == (3, 9)
    assert (real.float_domain.min, real.float_domain.max) == (0.5, 1.5)
    assert (text.int_domain.min, text.int_domain.max) == (3, 8)


def test_differences_are_told_by_feature_and_field() -> None:
    before = parse_schema('feature { name: "a" type: INT } feature { name: "b" type: INT } default_environment: "X"')
    after = parse_schema('feature { name: "a" type: FLOAT } feature { name: "c" type: INT }')
    told = [(change.where, change.field, change.before, change.after) for change in differences(before, after)]
    assert told == [
        ("", "default_environment", 'default_environment: "X"', ""),
        ("a", "type", "type: INT", "type: FLOAT"),
        ("b", "", 'name: "b" type: INT', ""),
        ("c", "", "", 'name: "c" type: INT'),
    ]


def test_personal_data_is_marked_in_the_schema() -> None:
    schema = parse_schema('feature { name: "mail" type: BYTES } feature { name: "n" type: INT }')
    mark_personal(schema, "mail", kind="email")
    mark_personal(schema, "mail", kind="email")
    mark_personal(schema, "n")
    assert personal_columns(schema) == {"mail": ("email",), "n": ()}
    mark_personal(schema, "n", holds=False)
    assert personal_columns(schema) == {"mail": ("email",)}
    with pytest.raises(InvalidInput, match="Did you mean 'mail'"):
        mark_personal(schema, "mial")
    with pytest.raises(InvalidInput, match="may hold only a-z"):
        mark_personal(schema, "mail", kind="E Mail")


def test_a_feature_that_is_not_validated_is_left_as_it_was_written() -> None:
    """TFDV mends nothing there, not even what makes no sense: the description belongs to whoever put it aside."""
    schema = parse_schema(
        'feature { name: "n" type: FLOAT lifecycle_stage: ALPHA int_domain { min: 5 } value_count { min: 2 max: 1 } }'
    )
    assert relax(schema, compute_statistics(pa.table({"n": [0.5]}))) == schema
