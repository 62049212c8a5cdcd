"""SQL of people over the rows: checks, slices and who is to blame, with errors that name the expression."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data import expressions
from bailiwick.data.checks import Condition, run_checks
from bailiwick.data.checks.model import Held
from bailiwick.data.schema import parse_schema
from bailiwick.data.validation.row_rules import schema_checks
from bailiwick.data.validation.sql import SqlCheck, check_sql, offending_rows, sql_slices

ROWS = pa.table({"dep": [1, 5, None, 7], "arr": [2, 4, 3, 6], "carrier": ["UA", "B6", "DL", "UA"]})
LATER = SqlCheck("later", "arr >= dep")


def test_rows_of_which_a_check_is_false_are_counted_and_listed() -> None:
    (found,) = offending_rows(ROWS, [LATER, SqlCheck("known", "carrier IS NOT NULL")], limit=1)
    assert (found.check, found.count, found.places) == (LATER, 2, [1])
    assert found.rows.to_pylist() == [{"dep": 5, "arr": 4, "carrier": "B6"}]


def test_a_failed_check_is_an_anomaly_of_tfdvs_custom_kind() -> None:
    (anomaly,) = check_sql(ROWS, [SqlCheck("later", "arr >= dep", severity="WARNING")])
    assert (anomaly.kind, anomaly.severity) == ("CUSTOM_VALIDATION", "WARNING")
    assert anomaly.long == "2 of 4 rows are not arr >= dep; the first is row 2."


def test_slices_are_cut_in_order() -> None:
    cut = sql_slices(ROWS, {"late": "arr > 3", "united -- all": "carrier = 'UA' -- of them"})
    assert cut["late"].column("arr").to_pylist() == [4, 6]
    assert cut["united -- all"].num_rows == 2


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("arr >=", "Parser Error"),
        ("nope > 1", r"Check 'c': 'nope > 1' is not SQL .*nope"),
        ("arr > 1; DROP TABLE data", "not SQL|more than one statement"),
        ("true) OR (true", "not SQL"),
        ("carrier = 1", "not SQL"),
        ("arr", "not SQL"),
        ("(SELECT count(*) FROM table) = 1", "not SQL"),
        ('(SELECT count(*) FROM "table") = 1', "not SQL"),
        ("(SELECT count(*) FROM read_text('{path}')) = 1", "not SQL"),
    ],
)
def test_an_expression_that_is_no_condition_is_named(expression: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    written = expression.replace("{path}", str(tmp_path / "secret"))
    if expression == "arr":
        assert offending_rows(ROWS, [SqlCheck("c", written)]) == []  # any number but 0 is true in SQL
        return
    with pytest.raises(InvalidInput, match=message):
        offending_rows(ROWS, [SqlCheck("c", written)])


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12))
def test_any_name_of_a_column_can_be_checked(name: str) -> None:
    schema = parse_schema('feature { name: "x" type: INT int_domain { min: 2 } presence { min_fraction: 1 } }')
    schema.feature[0].name = name or "x"
    table = pa.table({name or "x": [1, None, 3]})
    found = _broken(table, schema)
    assert found == {"FEATURE_TYPE_LOW_FRACTION_PRESENT": [1], "INT_TYPE_SMALL_INT": [0]}


def test_the_schema_lists_the_rows_that_break_it() -> None:
    schema = parse_schema(
        """
        feature { name: "carrier" type: BYTES domain: "c" }
        feature { name: "dep" type: INT int_domain { max: 5 } }
        feature { name: "old" type: INT lifecycle_stage: DEPRECATED presence { min_fraction: 1 } }
        string_domain { name: "c" value: "UA" value: "it's" }
        """
    )
    found = {rows.check.name: rows.places for rows in offending_rows(ROWS, schema_checks(schema, ROWS.schema))}
    assert found == {"carrier: ENUM_TYPE_UNEXPECTED_STRING_VALUES": [1, 2], "dep: INT_TYPE_BIG_INT": [3]}


def _broken(table: pa.Table, schema: Any) -> dict[str, list[int]]:
    checks = schema_checks(schema, table.schema)
    return {rows.check.name.rpartition(": ")[2]: rows.places for rows in offending_rows(table, checks)}


def test_the_schema_blames_nan_for_being_nan_only_where_it_forbids_it() -> None:
    table = pa.table({"x": [math.nan, math.inf, 1.0, None, 20.0]})
    schema = parse_schema('feature { name: "x" type: FLOAT float_domain { min: 0 max: 10 } }')
    assert _broken(table, schema) == {"FLOAT_TYPE_BIG_FLOAT": [1, 4]}
    schema.feature[0].float_domain.disallow_nan = schema.feature[0].float_domain.disallow_inf = True
    assert _broken(table, schema) == {
        "FLOAT_TYPE_BIG_FLOAT": [1, 4],
        "FLOAT_TYPE_HAS_NAN": [0],
        "FLOAT_TYPE_HAS_INF": [1],
    }


def test_the_schema_is_held_against_each_value_of_a_list() -> None:
    table = pa.table(
        {
            "words": [["a"], ["a", "{b}"], [], None],
            "deep": pa.array([[[1, 2], [9]], [[1]], None, [[]]], pa.list_(pa.list_(pa.int64()))),
            "codes": ["1", "-7", "1.5", None],
        }
    )
    schema = parse_schema(
        """
        feature { name: "words" type: BYTES value_count { min: 1 max: 1 } string_domain { value: "a" value: "{c}" } }
        feature { name: "deep" type: INT int_domain { max: 5 } }
        feature { name: "codes" type: BYTES int_domain { min: 0 } }
        feature { name: "absent" type: INT int_domain { max: 5 } presence { min_fraction: 1 } }
        """
    )
    assert _broken(table, schema) == {
        "FEATURE_TYPE_LOW_NUMBER_VALUES": [2],
        "FEATURE_TYPE_HIGH_NUMBER_VALUES": [1],
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES": [1],
        "INT_TYPE_BIG_INT": [0],
        "INT_TYPE_NOT_INT_STRING": [2],
        "INT_TYPE_SMALL_INT": [1],
    }


def test_columns_that_sql_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(InvalidInput, match="Columns 'a' and 'A' have the same name in SQL"):
        offending_rows(pa.table({"a": [1], "A": [5]}), [SqlCheck("c", '"A" > 2')])


def test_an_expression_that_never_ends_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "MOST_SECONDS", 0.3)
    endless = "(SELECT count(*) FROM range(1000000000) a, range(1000000000) b) > arr"
    with pytest.raises(InvalidInput, match=r"Check 'c': .* took more than 0\.3 seconds"):
        offending_rows(ROWS, [SqlCheck("c", endless)])
    held = Held(tuple(ROWS.column_names), lambda names: ROWS.select(names).to_reader(), 0)
    with pytest.raises(InvalidInput, match=r"took more than 0\.3 seconds"):
        run_checks(held, [Condition(expression=endless)])
