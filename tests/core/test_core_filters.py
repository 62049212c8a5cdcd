"""The search language: what is written is what is read, and what is not understood is refused with the place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput, LimitExceeded
from bailiwick.core.filters import Clause, Ordering, parse_filter, parse_ordering
from bailiwick.core.paging import page_position, page_token

ENTITIES = {"metrics": "metric", "metric": "metric", "params": "param", "tags": "tag", "attributes": "attribute"}


def read(text: str) -> tuple[Clause, ...]:
    return parse_filter(text, entities=ENTITIES, default="attribute")


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("metrics.auc > 0.8", Clause("metric", "auc", ">", 0.8)),
        ("metric.a=1", Clause("metric", "a", "=", 1)),
        ("metrics.`val loss` <= -1.5e-3", Clause("metric", "val loss", "<=", -1.5e-3)),
        ("metrics.loss<.5", Clause("metric", "loss", "<", 0.5)),
        ("params.lr = '0.1'", Clause("param", "lr", "=", "0.1")),
        ("params.'a b' = 'x'", Clause("param", "a b", "=", "x")),
        ('params."a.b" != "it is"', Clause("param", "a.b", "!=", "it is")),
        ("tags.mlflow.source.name LIKE '%x%'", Clause("tag", "mlflow.source.name", "LIKE", "%x%")),
        ("tags.`mlflow.prompt.is_prompt` != 'true'", Clause("tag", "mlflow.prompt.is_prompt", "!=", "true")),
        ("name iLike 'm%'", Clause("attribute", "name", "ILIKE", "m%")),
        ("attributes.run_id  not   in ('a','b')", Clause("attribute", "run_id", "NOT IN", ("a", "b"))),
        ("run_id IN('a')", Clause("attribute", "run_id", "IN", ("a",))),
        ("params.x IS  NOT NULL", Clause("param", "x", "IS NOT NULL", None)),
        ("tags.x is null", Clause("tag", "x", "IS NULL", None)),
        ("name = 'it''s'", Clause("attribute", "name", "=", "it's")),
        ("name = 'a AND b = 1'", Clause("attribute", "name", "=", "a AND b = 1")),
        ("name <> ''", Clause("attribute", "name", "!=", "")),
    ],
)
def test_a_comparison_is_read(text: str, clause: Clause) -> None:
    assert read(text) == (clause,)
    assert read(f"  {text}\n AND {text}\tand {text} ") == (clause,) * 3


def test_no_text_is_no_condition() -> None:
    assert read("") == read(" \n") == ()


@pytest.mark.parametrize(
    "text",
    [
        "metrics.auc",
        "metrics.auc >",
        "metrics.auc > 0.8 OR metrics.auc < 0.1",
        "(metrics.auc > 0.8)",
        "metrics.auc > 0.8 metrics.b > 1",
        "metrics.auc > 0.8 AND",
        "metrics.auc >> 3",
        "metrics. > 3",
        "= 3",
        "name = unquoted",
        "name = 'open",
        "name IN ()",
        "name IN ('a'",
        "name IN 'a'",
        "nothing.auc > 1",
        "metrics.a = 1; DROP TABLE runs",
        "metrics.a = 1x",
    ],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read(text)


def test_a_refusal_shows_the_place_and_what_may_stand_there() -> None:
    with pytest.raises(InvalidInput, match=r"needs a number, or a text in quotes where 'high' stands"):
        read("metrics.auc > high")
    with pytest.raises(InvalidInput, match=r"Search entity 'metrik'.*Did you mean 'metric'"):
        read("metrik.auc > 1")


def test_a_filter_has_limits() -> None:
    with pytest.raises(LimitExceeded):
        read(f"name = '{'x' * 40_000}'")
    with pytest.raises(LimitExceeded):
        read(" AND ".join(["a = 1"] * 300))


@given(st.text(st.characters(exclude_characters="`", exclude_categories=["Cs"]), min_size=1), st.text())
def test_any_key_and_text_can_be_written(key: str, value: str) -> None:
    quoted = value.replace("'", "''")
    assert read(f"tags.`{key}` = '{quoted}'") == (Clause("tag", key, "=", value),)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        read(text)


@pytest.mark.parametrize(
    ("text", "ordering"),
    [
        ("metrics.auc DESC", Ordering("metric", "auc", ascending=False)),
        ("metrics.`a b` desc ", Ordering("metric", "a b", ascending=False)),
        ("start_time", Ordering("attribute", "start_time", ascending=True)),
        ("params.x ASC", Ordering("param", "x", ascending=True)),
    ],
)
def test_an_order_is_read(text: str, ordering: Ordering) -> None:
    assert parse_ordering(text, entities=ENTITIES, default="attribute") == ordering


@pytest.mark.parametrize("text", ["", "metrics.auc DOWN", "metrics.a, metrics.b", "metrics.a DESC DESC", "x.y"])
def test_an_order_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_ordering(text, entities=ENTITIES, default="attribute")


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_page_token_gives_its_position_back(number: int, text: str, value: float) -> None:
    token = page_token([number, text, value], ["query", 1])
    assert page_position(token, ["query", 1], (int, str, float)) == [number, text, value]


@pytest.mark.parametrize(
    "token", ["", "x", "é", "bm90IGpzb24=", page_token([1], "other"), page_token(["1"], "q"), page_token([], "q")]
)
def test_a_page_token_of_anything_else_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput):
        page_position(token, "q", (int,))
