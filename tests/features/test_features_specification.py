"""The `features` mapping of the project file: what it may say, and what an error about it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bailiwick.core.errors import InvalidInput
from bailiwick.features.expression import FUNCTIONS
from bailiwick.features.model import FeatureSpec
from bailiwick.features.options import OPTIONS
from bailiwick.features.specification import parse_features
from bailiwick.pipelines.transform_schema import MAIN, NEEDED, TRANSFORMS


def test_each_form_of_a_transform_is_read() -> None:
    declared = {
        "hour": "number",
        "temp": {"scale": "standard"},
        "visib": {"scale": {"method": "standard", "impute": 10}},
        "distance": {"bucketize": 5},
        "precip": "log",
        "carrier": {"category": {"min_count": 50}},
        "origin": {"one_hot": {}},
    }
    assert parse_features(declared) == (
        FeatureSpec("hour", "number"),
        FeatureSpec("temp", "scale", method="standard"),
        FeatureSpec("visib", "scale", impute=10.0, method="standard"),
        FeatureSpec("distance", "bucketize", buckets=5),
        FeatureSpec("precip", "log"),
        FeatureSpec("carrier", "category", min_count=50),
        FeatureSpec("origin", "one_hot"),
    )


def test_every_transform_is_read_with_all_its_options() -> None:
    declared = {
        "a": {"impute": {"with": "mean", "indicator": True, "column": "x"}},
        "b": {"clip": [0, 10]},
        "c": {"clip": {"quantiles": [0.01, 0.99]}},
        "d": {"bucketize": {"edges": [0, 1.5]}},
        "e": {"ordinal": ["low", "high"]},
        "f": {"hash": 64},
        "g": {"target": {"smoothing": 5, "folds": 3}},
        "h": {"date": {"column": "at", "parts": ["hour", "hour_cyclic"]}},
        "i": {"age": ["from", "until"]},
        "j": "text",
        "k": {"ngrams": {"column": "s", "hash_buckets": 32}},
        "l": {"cross": ["x", "y"]},
        "m": {"expression": "x / (y + 1) if col('a b') > 0 else 0"},
    }
    specs = {spec.column: spec for spec in parse_features(declared)}
    assert specs["a"] == FeatureSpec("a", "number", impute="mean", indicator=True, sources=("x",))
    assert specs["b"] == FeatureSpec("b", "number", clip=(0.0, 10.0))
    assert specs["c"] == FeatureSpec("c", "number", quantiles=(0.01, 0.99))
    assert specs["d"].edges == (0.0, 1.5)
    assert specs["e"] == FeatureSpec("e", "category", values=("low", "high"), min_count=1)
    assert specs["f"].buckets == 64
    assert (specs["g"].smoothing, specs["g"].folds) == (5.0, 3)
    assert (specs["h"].reads, specs["h"].parts) == (("at",), ("hour", "hour_cyclic"))
    assert specs["i"].reads == ("from", "until")
    assert specs["j"].parts == ("length", "tokens")
    assert (specs["k"].method, specs["k"].buckets) == ("hash", 32)
    assert specs["l"].reads == ("x", "y")
    assert set(specs["m"].reads) == {"a b", "x", "y"}


@pytest.mark.parametrize("transform", OPTIONS)
def test_the_example_of_a_transform_is_one(transform: str) -> None:
    (spec,) = parse_features(yaml.safe_load(f"x: {OPTIONS[transform].example}"))
    assert spec.column == "x"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, "No features are declared"),
        ({"hour": "bucketise"}, "Did you mean 'bucketize'"),
        (
            {"hour": {"scale": "robus"}},
            r"'hour': method 'robus' is not known; choose one of: min_max, robust, standard. Did you mean 'robust'",
        ),
        (
            {"hour": {"number": {"min_count": 3}}},
            r"option of number 'min_count' is not known; choose one of: clip, clip_quantiles, column, impute, indicator",
        ),
        ({"hour": {"bucketize": 1}}, "buckets 1 must be a whole number from 2 to 1000"),
        ({"hour": {"bucketize": True}}, "buckets True must be a whole number"),
        ({"hour": {"number": "mode"}}, "impute 'mode' must be `median`, `mean`, `most_frequent` or a number"),
        ({"hour": {"number": float("nan")}}, "impute nan must be"),
        ({"hour": 3}, "'hour' is 3; give one transform: number, impute, scale"),
        ({"hour": {"scale": "standard", "log": {}}}, "give one transform"),
        ({"probability": "number"}, "needs for itself"),
        ({"x": {"scale": {"column": "features/y"}}}, "needs for itself"),
        ({"x": "hash"}, "'x': hash needs 'buckets'. For example `x: {hash: 64}`"),
        ({"x": {"clip": [3, 1]}}, r"to \[3, 1\] must be a list of 2 to 2 rising numbers"),
        (
            {"x": {"number": {"clip": [0, 1], "clip_quantiles": [0, 1]}}},
            "fixed bounds or quantiles to clip at, not both",
        ),
        ({"x": {"clip": {"quantiles": [0, 5]}}}, "must be shares from 0 to 1"),
        ({"x": {"bucketize": {"edges": ["a"]}}}, "must be a list of 1 to 1000 rising numbers"),
        ({"x": {"bucketize": 5000}}, "buckets 5000 must be a whole number from 2 to 1000"),
        ({"x": {"date": "hours"}}, "Did you mean 'hour'"),
        ({"x": {"date": []}}, "must be a list of different parts"),
        ({"x": {"text": ["length", "length"]}}, "must be a list of different parts"),
        ({"x": {"cross": ["a", "a"]}}, "must be a list of two columns"),
        ({"x": {"ordinal": ["a", 1]}}, "must be `sorted` or a list of different values"),
        ({"x": {"target": -1}}, "must be a number from 0 to 1e9"),
        ({"x": {"hash": {"buckets": 5000, "one_hot": True}}}, "too wide"),
        ({"x": {"number": {"indicator": "yes"}}}, "indicator 'yes' must be true or false"),
        ({"x": {"number": {"column": 3}}}, "column 3 must be the name of a column"),
        ({"x": {"ngrams": {"longest": 2, "hash_buckets": 32}}}, "cannot be hashed in the graph"),
        ({"x": {"expression": "x +"}}, "'x': The expression .* cannot be read"),
        ({"x": {"expression": 3}}, "must be text"),
        ({"model/x": "number"}, "needs for itself"),
    ],
)
def test_an_error_names_the_feature_the_value_and_the_choices(declared: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_features(declared)


def test_the_schema_for_editors_knows_the_same_transforms_and_options() -> None:
    assert set(TRANSFORMS) == set(OPTIONS)
    for name, declared in OPTIONS.items():
        assert set(TRANSFORMS[name]) == set(declared.options), name
        assert MAIN[name] == declared.main
        assert (name in NEEDED) == bool(declared.required)


def test_every_transform_and_option_is_in_the_reference() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/transforms.md").read_text(encoding="utf-8")
    for name, declared in OPTIONS.items():
        assert f"`{name}`" in page
        assert [option for option in declared.options if f"`{option}`" not in page] == []
    assert [name for name in FUNCTIONS if f"`{name}" not in page] == []
