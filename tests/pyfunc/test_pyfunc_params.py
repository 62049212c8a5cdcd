"""Params as MLflow's schema holds them: what stands for what, what is filled in, and words for what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.pyfunc.params import ParamSpec, held, read_params, resolved

TOP = ParamSpec("top", "long", 3)
SPECS = (TOP, ParamSpec("warmth", "double", 0.5), ParamSpec("words", "string", ["a"], (-1,)))


def one(kind: str, value: Any, **more: Any) -> Any:
    return held([ParamSpec("p", kind, **more)], {"p": value})["p"]


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("boolean", True, True),
        ("integer", 5, 5),
        ("long", 1 << 40, 1 << 40),
        ("float", 5, 5.0),
        ("double", 0.1, 0.1),
        ("string", "", ""),
        ("string", None, None),
        ("datetime", "2023-07-01", "2023-07-01"),
        ("datetime", "2023-07-01T10:00:00", "2023-07-01T10:00:00"),
        ("datetime", "2023-07-01T10:00:00+02:00", "2023-07-01T08:00:00"),
        ("datetime", "NaT", None),
    ],
)
def test_a_value_of_its_type_is_taken(kind: str, value: Any, found: Any) -> None:
    assert (one(kind, value), type(one(kind, value))) == (found, type(found))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", 5.0),
        ("long", True),
        ("double", "5"),
        ("double", False),
        ("boolean", 1),
        ("string", 5),
        ("string", ["a"]),
        ("string", {"a": 1}),
        ("datetime", 5),
        ("datetime", "soon"),
        ("datetime", "2023-07-01T10:00:00.123456789"),
        ("datetime", "0001-01-01T00:00:00+05:00"),
    ],
)
def test_a_value_of_another_is_not(kind: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match="'p'"):
        one(kind, value)


def test_a_moment_that_is_none_is_told_in_mlflows_words() -> None:
    with pytest.raises(
        InvalidInput, match=r"Failed to convert value `soon` from type `<class 'str'>` to `DataType.dat"
    ):
        one("datetime", "soon")


def test_a_list_holds_values_of_its_type() -> None:
    assert one("double", [1, 2.5, None], shape=(-1,)) == [1.0, 2.5, None]
    assert one("double", "[1, 2]", shape=(-1,)) == [1.0, 2.0]  # as protocols say it that have single values only
    for wrong in (1.0, "[1", [[1.0]], ["a"], None, {"a": 1}):
        with pytest.raises(InvalidInput):
            one("double", wrong, shape=(-1,))


def test_an_object_has_what_it_must_have_and_nothing_else() -> None:
    properties: dict[str, Any] = {
        "name": {"type": "string", "required": True},
        "sizes": {"type": "array", "items": {"type": "long"}, "required": False},
        "inner": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": False},
    }
    given = {"name": "x", "sizes": [1, 2], "inner": {"on": True}}
    assert one("object", given, properties=properties) == given
    assert one("object", '{"name": "x"}', properties=properties) == {"name": "x"}
    refused: list[Any] = [
        {},
        {"name": "x", "other": 1},
        {"name": 1},
        {"name": "x", "sizes": 1},
        {"name": "x", "inner": {"off": True}},
        {"name": "x", "inner": {"on": 1}},
        [],
        None,
    ]
    for wrong in refused:
        with pytest.raises(InvalidInput):
            one("object", wrong, properties=properties)


def test_what_is_not_given_is_the_default_and_what_is_not_declared_is_nothing() -> None:
    assert held(SPECS, {"other": 1, "warmth": 1}) == {"warmth": 1.0}
    assert resolved(SPECS, {"other": 1, "warmth": 1}) == {"top": 3, "warmth": 1.0, "words": ["a"]}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        held(SPECS, {"top": "x", "warmth": "y", "words": ["z"]})
    assert caught.value.message.startswith("Invalid parameters found: 'top': Can not safely convert")
    assert "'warmth'" in caught.value.message
    assert "'words'" not in caught.value.message


def test_the_schema_is_read_as_mlmodel_has_it() -> None:
    said: list[dict[str, Any]] = [
        {"name": "top", "type": "long", "default": 3, "shape": None},
        {"name": "old", "dtype": "string", "default": "x"},
        {"name": "many", "type": "double", "default": [0.5], "shape": [-1]},
        {"name": "seed", "type": "long", "default": 1 << 60, "shape": None},
        {"default": 1},
    ]
    assert read_params(said) == (
        TOP,
        ParamSpec("old", "string", "x"),
        ParamSpec("many", "double", [0.5], (-1,)),
        ParamSpec("seed", "long", str(1 << 60)),
    )
