"""What is learnt from training data, and what cannot be."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pyarrow as pa
import pytest

from bailiwick.core.errors import Corrupted, InvalidInput
from bailiwick.features.fitting import fit_features
from bailiwick.features.model import FittedFeature, FittedFeatures
from bailiwick.features.specification import parse_features


def _fit(declared: Mapping[str, object], table: pa.Table) -> FittedFeatures:
    return fit_features(parse_features(declared), table)


def test_numbers_learn_their_median_and_spread_from_the_values_that_are_there() -> None:
    table = pa.table({"a": [1.0, None, 3.0, float("nan"), 8.0]})
    assert _fit({"a": "number"}, table).features == (FittedFeature("a", "number", "FP32", fill=3.0),)
    (scaled,) = _fit({"a": {"scale": {"impute": 0}}}, table).features
    assert (scaled.fill, scaled.offset) == (0.0, 4.0)
    assert scaled.factor == pytest.approx((26 / 3) ** -0.5)


def test_a_constant_column_is_centred_and_not_blown_up() -> None:
    (scaled,) = _fit({"a": {"scale": "standard"}}, pa.table({"a": [5, 5, 5]})).features
    assert (scaled.offset, scaled.factor) == (5.0, 1.0)


def test_bucket_edges_are_values_at_equal_mass_and_never_repeat() -> None:
    (even,) = _fit({"a": {"bucketize": 4}}, pa.table({"a": list(range(1, 9))})).features
    assert even.edges == (3.0, 5.0, 7.0)
    (few,) = _fit({"a": {"bucketize": 10}}, pa.table({"a": [0] * 50 + [1] * 50})).features
    assert few.edges == (0.0, 1.0)


def test_categories_are_the_frequent_values_most_frequent_first_and_ties_in_order() -> None:
    table = pa.table({"c": ["b", "b", "a", "a", "z", "z", "z", "rare", None, None]})
    (fitted,) = _fit({"c": {"category": {"min_count": 2}}}, table).features
    assert fitted.categories == ("z", "", "a", "b")


def test_whole_numbers_booleans_and_dictionary_encoded_texts_may_be_categories() -> None:
    table = pa.table(
        {"n": [2, 2, None, 7], "b": [True, False, True, None], "d": pa.array(list("xxyx")).dictionary_encode()}
    )
    declared = {"n": {"category": 1}, "b": {"one_hot": 1}, "d": {"category": 1}}
    fitted = {feature.column: feature for feature in _fit(declared, table).features}
    assert fitted["n"].categories == (2.0, 7.0)
    assert fitted["b"].names == ("b=(other)", "b=1", "b=0")
    assert fitted["d"].categories == ("x", "y")


def test_columns_of_the_matrix_are_ordered_by_transform_then_as_declared() -> None:
    table = pa.table({"c": ["x"], "o": ["p"], "a": [1], "b": [2], "l": [3]})
    declared = {"o": {"one_hot": 1}, "c": {"category": 1}, "l": "log", "b": "number", "a": "number"}
    assert _fit(declared, table).names == ("b", "a", "l", "c", "o=(other)", "o=p")


def test_fitted_features_survive_json_and_equal_ones_have_equal_digests() -> None:
    table = pa.table({"a": [1.5, 2.5, None], "c": ["x", "y", "x"]})
    declared: dict[str, object] = {"a": {"bucketize": 2}, "c": {"one_hot": 1}}
    fitted = _fit(declared, table)
    assert FittedFeatures.from_json(fitted.to_json()) == fitted
    rechunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert _fit(declared, rechunked).digest == fitted.digest
    assert _fit(declared, table.slice(1)).digest != fitted.digest


def test_bytes_that_are_not_fitted_features_are_refused() -> None:
    with pytest.raises(Corrupted, match="not fitted features"):
        FittedFeatures.from_json(msgspec.json.encode({"features": [{"column": 1}]}))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"hours": "number"}, r"Feature column 'hours' is not known.*Did you mean 'hour'"),
        ({"carrier": "number"}, r"'carrier': number needs numbers, and the column holds string.*category, one_hot"),
        ({"temp": {"category": 1}}, r"'temp': category needs text, whole numbers or booleans"),
        ({"nothing": "number"}, "'nothing' has no values"),
        ({"temp": "log"}, r"'temp': log .* needs x ≥ 0; the smallest here is -3"),
        ({"day": "number"}, r"Arrow type date32\[day\] cannot be a feature"),
    ],
)
def test_an_error_names_the_feature_and_what_to_use_instead(declared: dict[str, object], message: str) -> None:
    table = pa.table(
        {
            "hour": [1, 2],
            "carrier": ["a", "b"],
            "temp": [-3.0, 2.5],
            "nothing": pa.nulls(2, pa.float64()),
            "day": pa.array([1, 2], pa.date32()),
        }
    )
    with pytest.raises(InvalidInput, match=message):
        _fit(declared, table)
