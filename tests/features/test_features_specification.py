"""The `features` mapping of the project file: what it may say, and what an error about it says."""

from __future__ import annotations

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.features.model import FeatureSpec
from bailiwick.features.specification import parse_features


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
        FeatureSpec("temp", "scale"),
        FeatureSpec("visib", "scale", impute=10.0),
        FeatureSpec("distance", "bucketize", buckets=5),
        FeatureSpec("precip", "log"),
        FeatureSpec("carrier", "category", min_count=50),
        FeatureSpec("origin", "one_hot"),
    )


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, "No features are declared"),
        ({"hour": "bucketise"}, "Did you mean 'bucketize'"),
        ({"hour": {"scale": "robust"}}, r"'hour': method 'robust' is not known; choose one of: standard"),
        ({"hour": {"number": {"min_count": 3}}}, r"option of number 'min_count' is not known; choose one of: impute"),
        ({"hour": {"bucketize": 1}}, "buckets 1 must be a whole number from 2 to 1000"),
        ({"hour": {"bucketize": True}}, "buckets True must be a whole number"),
        ({"hour": {"number": "mean"}}, "impute 'mean' must be `median` or a number"),
        ({"hour": {"number": float("nan")}}, "impute nan must be"),
        ({"hour": 3}, "'hour' is 3; give one transform: number, scale"),
        ({"hour": {"scale": "standard", "log": {}}}, "give one transform"),
        ({"probability": "number"}, "needs for itself"),
        ({"model/x": "number"}, "needs for itself"),
    ],
)
def test_an_error_names_the_feature_the_value_and_the_choices(declared: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_features(declared)
