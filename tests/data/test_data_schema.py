"""The schema: inferred as TFDV infers, kept as text, and data held against it with TFDV's anomaly names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from bailiwick.core.errors import InvalidInput
from bailiwick.data.schema import infer_schema, parse_schema, read_schema, schema_text, write_schema
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics.view import DatasetView
from bailiwick.data.validation import validate


def _infer(**columns: Any) -> Any:
    return infer_schema(compute_statistics(pa.table(columns)))


def _kinds(schema: str | Any, environment: str = "", **columns: Any) -> list[tuple[str, str]]:
    parsed = parse_schema(schema) if isinstance(schema, str) else schema
    statistics = compute_statistics(pa.table(columns))
    types = {path[0]: view.schema_type for path, view in DatasetView(statistics.datasets[0]).features.items()}
    for feature in parsed.feature:
        if not feature.HasField("type"):
            feature.type = types.get(feature.name, schema_pb2.BYTES)
    anomalies = validate(statistics, parsed, environment)
    assert all(anomaly.severity == "ERROR" for anomaly in anomalies)
    assert all(anomaly.kind in anomalies_pb2.AnomalyInfo.Type.keys() for anomaly in anomalies)  # noqa: SIM118
    return [(anomaly.feature, anomaly.kind) for anomaly in anomalies]


def test_presence_shape_and_domains_are_inferred_as_tfdv_does() -> None:
    schema = _infer(
        always=[1.5, 2.5, 3.5],
        gaps=["UA", None, "B6"],
        flag=[0, 1, 1],
        word=["true", "false", "true"],
        digits=["10", "11", "12"],
        never=pa.nulls(3),
        several=[[1], [1, 2], [3]],
        range=[5, 6, 7],
    )
    expected = """
      feature { name: "always" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
      feature { name: "gaps" type: BYTES domain: "gaps" presence { min_count: 1 } value_count { min: 1 max: 1 } }
      feature { name: "flag" type: INT bool_domain {} presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
      feature { name: "word" type: BYTES bool_domain { true_value: "true" false_value: "false" }
                presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
      feature { name: "digits" type: BYTES int_domain {} presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
      feature { name: "never" type: BYTES presence { min_count: 0 } }
      feature { name: "several" type: INT presence { min_fraction: 1.0 min_count: 1 } value_count { min: 1 } }
      feature { name: "range" type: INT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
      string_domain { name: "gaps" value: "B6" value: "UA" }
    """
    assert schema_text(schema) == schema_text(text_format.Parse(expected, schema_pb2.Schema()))


def test_text_with_more_than_a_hundred_values_has_no_domain() -> None:
    assert not _infer(t=[f"v{i}" for i in range(101)]).feature[0].domain
    assert _infer(t=[f"v{i}" for i in range(100)]).feature[0].domain == "t"


def test_like_sets_of_values_share_a_domain() -> None:
    many = [f"v{i:02}" for i in range(20)]
    schema = _infer(origin=many, dest=[*many[:15], *["w1", "w2", "w3", "w4", "w5"]], small=["a", "b"] * 10)
    assert [feature.domain for feature in schema.feature] == ["origin", "origin", "small"]
    assert len(schema.string_domain[0].value) == 25


def test_a_schema_survives_writing_and_reading(tmp_path: Path) -> None:
    schema = _infer(carrier=["UA", "Ünï"], n=[1, 2])
    path = tmp_path / "schemas" / "flights.pbtxt"
    write_schema(schema, path)
    assert read_schema(path) == schema
    assert "Ünï" in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["flights.pbtxt"]


def test_a_bad_schema_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.pbtxt"
    path.write_text('feature {\n  name: "a"\n  typo: INT\n}\n')
    with pytest.raises(InvalidInput, match=r'bad\.pbtxt, line 3: Message type .* has no field named "typo"'):
        read_schema(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match=r"bad\.pbtxt cannot be read"):
        read_schema(path)
    with pytest.raises(InvalidInput, match=r"none\.pbtxt does not exist"):
        read_schema(tmp_path / "none.pbtxt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feature { type: INT }", "a feature has no name"),
        ('feature { name: "a" } feature { name: "a" }', "'a' appears twice"),
        ('feature { name: "a" domain: "carier" } string_domain { name: "carrier" }', "Did you mean 'carrier'"),
    ],
)
def test_a_schema_that_contradicts_itself_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_schema(text)


_COLUMN = st.sampled_from([pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.list_(pa.int64())])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_data_satisfies_the_schema_inferred_from_it(data: st.DataObject) -> None:
    columns: dict[str, pa.Array] = {}
    rows = data.draw(st.integers(1, 8))
    for i in range(data.draw(st.integers(1, 4))):
        kind = data.draw(_COLUMN)
        value: st.SearchStrategy[Any] = {
            pa.int64(): st.integers(-5, 5), pa.float64(): st.floats(), pa.string(): st.text(max_size=3),
            pa.bool_(): st.booleans(), pa.list_(pa.int64()): st.lists(st.integers(0, 3), max_size=2),
        }[kind]  # fmt: skip
        columns[f"c{i}"] = pa.array(data.draw(st.lists(st.none() | value, min_size=rows, max_size=rows)), kind)
    assert _kinds(_infer(**columns), **columns) == []


@pytest.mark.parametrize(
    ("feature", "values", "kind"),
    [
        ("type: INT", [1.5], "UNEXPECTED_DATA_TYPE"),
        ("type: BYTES", [1], "UNEXPECTED_DATA_TYPE"),
        ("presence { min_fraction: 0.9 }", [1, None], "FEATURE_TYPE_LOW_FRACTION_PRESENT"),
        ("presence { min_count: 3 }", [1, 2], "FEATURE_TYPE_LOW_NUMBER_PRESENT"),
        ("value_count { min: 1 }", [[1], []], "FEATURE_TYPE_LOW_NUMBER_VALUES"),
        ("value_count { max: 1 }", [[1], [1, 2]], "FEATURE_TYPE_HIGH_NUMBER_VALUES"),
        ("shape { dim { size: 2 } }", [[1, 2], [1]], "INVALID_FEATURE_SHAPE"),
        ("int_domain { min: 0 max: 9 }", [-1], "INT_TYPE_SMALL_INT"),
        ("int_domain { min: 0 max: 9 }", [10], "INT_TYPE_BIG_INT"),
        ("int_domain { max: 9 }", ["10", "3"], "INT_TYPE_BIG_INT"),
        ("int_domain {}", ["10", "x"], "INT_TYPE_NOT_INT_STRING"),
        ("float_domain { min: 0 }", [-0.5], "FLOAT_TYPE_SMALL_FLOAT"),
        ("float_domain { max: 1 }", [1.5], "FLOAT_TYPE_BIG_FLOAT"),
        ("float_domain { disallow_nan: true }", [float("nan"), 1.0], "FLOAT_TYPE_HAS_NAN"),
        ("float_domain { disallow_inf: true }", [float("inf"), 1.0], "FLOAT_TYPE_HAS_INF"),
        ("bool_domain {}", [-1, 1], "BOOL_TYPE_SMALL_INT"),
        ("bool_domain {}", [0, 2], "BOOL_TYPE_BIG_INT"),
        ("bool_domain {}", [0.5], "BOOL_TYPE_UNEXPECTED_FLOAT"),
        ('bool_domain { true_value: "yes" }', ["yes", "no"], "BOOL_TYPE_UNEXPECTED_STRING"),
        ('string_domain { value: "UA" }', ["UA", "B6"], "ENUM_TYPE_UNEXPECTED_STRING_VALUES"),
    ],
)
def test_each_rule_has_tfdvs_anomaly(feature: str, values: list[Any], kind: str) -> None:
    assert _kinds(f'feature {{ name: "c" {feature} }}', c=values) == [("c", kind)]


def test_new_and_missing_columns_and_empty_data_are_anomalies() -> None:
    schema = 'feature { name: "gone" presence { min_count: 1 } } feature { name: "maybe" }'
    assert _kinds(schema, new=[1]) == [("gone", "SCHEMA_MISSING_COLUMN"), ("new", "SCHEMA_NEW_COLUMN")]
    assert _kinds('feature { name: "a" }', a=pa.array([], pa.int64())) == [("", "DATASET_LOW_NUM_EXAMPLES")]
    assert _kinds('feature { name: "a" } dataset_constraints { max_examples_count: 1 }', a=[1, 2]) == [
        ("", "DATASET_HIGH_NUM_EXAMPLES")
    ]


def test_a_share_of_values_outside_the_domain_is_allowed_by_min_domain_mass() -> None:
    schema = 'feature {{ name: "c" type: BYTES string_domain {{ value: "a" }} distribution_constraints {{ min_domain_mass: {} }} }}'
    values = ["a"] * 9 + ["b"]
    assert _kinds(schema.format(0.8), c=values) == []
    assert _kinds(schema.format(0.95), c=values) == [("c", "ENUM_TYPE_UNEXPECTED_STRING_VALUES")]
    anomaly = validate(compute_statistics(pa.table({"c": values})), parse_schema(schema.format(1.0)))[0]
    assert anomaly.long == "Values that are not in the schema: b (~10%)."


def test_environments_and_lifecycle_decide_what_is_expected() -> None:
    schema = """
      default_environment: "TRAINING" default_environment: "SERVING"
      feature { name: "label" not_in_environment: "SERVING" presence { min_count: 1 } }
      feature { name: "old" lifecycle_stage: DEPRECATED presence { min_count: 1 } type: INT }
      feature { name: "x" presence { min_count: 1 } }
    """
    assert _kinds(schema, "SERVING", x=[1], old=["text"]) == []
    assert _kinds(schema, "TRAINING", x=[1]) == [("label", "SCHEMA_MISSING_COLUMN")]
    with pytest.raises(InvalidInput, match=r"Environment 'SERVNG' is not known.*Did you mean 'SERVING'"):
        _kinds(schema, "SERVNG", x=[1])
