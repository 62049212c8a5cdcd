"""The gate catches conversions that are wrong, on all rows or on a few difficult ones."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import onnx
import pyarrow as pa
import pytest

from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import InvalidInput
from bailiwick.features.boundaries import boundaries_of
from bailiwick.features.fitting import fit_features
from bailiwick.features.specification import parse_features
from bailiwick.training.model import ParityReport
from bailiwick.training.packaging import package
from bailiwick.training.parity import _report, check_parity, thresholds_of
from bailiwick.training.probes import make_probes, with_milliseconds

Prepared = Any  # the class of the fixtures in conftest.py, which pytest does not let tests import


def _check(trees: Prepared, booster: lightgbm.LGBMClassifier, packaged: bytes) -> ParityReport:
    return check_parity(packaged, trees.graph.run, booster, trees.table.slice(2000))


def _altered(packaged: bytes, kind: str, attribute: str, change: object) -> bytes:
    """The package with one attribute of its first node of a kind replaced by `change(old)`."""
    model = onnx.load_from_string(packaged)
    node = next(node for node in model.graph.node if node.op_type == kind)
    old = next(item for item in node.attribute if item.name == attribute)
    new = onnx.helper.make_attribute(attribute, change(onnx.helper.get_attribute_value(old)))  # type: ignore[operator]
    node.attribute.remove(old)
    node.attribute.append(new)
    return bytes(model.SerializeToString())


def test_a_faithful_package_passes_on_a_thousand_rows_and_more(
    trees: Prepared, booster: lightgbm.LGBMClassifier
) -> None:
    report = _check(trees, booster, package(trees.proto, booster))
    assert report.passed
    assert report.rows - report.probes == 1000
    assert report.probes > 100
    assert report.max_error < 1e-6
    assert report.label_flips == 0
    assert set(report.worst) == {"expected", "found", "row"}


def test_few_held_out_rows_are_made_up_to_a_thousand(trees: Prepared, booster: lightgbm.LGBMClassifier) -> None:
    report = check_parity(package(trees.proto, booster), trees.graph.run, booster, trees.table.slice(2990))
    assert report.rows >= 1000
    assert report.passed


def test_the_same_seed_gives_the_same_report(trees: Prepared, booster: lightgbm.LGBMClassifier) -> None:
    packaged = package(trees.proto, booster)
    assert _check(trees, booster, packaged) == _check(trees, booster, packaged)


def test_a_report_is_json_even_when_the_worst_row_is_not_a_number(trees: Prepared) -> None:
    values: dict[str, list[Any]] = {"temp": [float("nan"), 1.0], "city": ["x" * 1000, None]}
    report = _report(values, np.array([0.2, 0.3]), np.array([np.nan, 0.3]), probes=1, tolerance=1e-5)
    assert (report.passed, report.max_error) == (False, 1.0)
    assert canonical_json(report.worst)


def test_a_model_with_other_weights_is_caught(trees: Prepared, booster: lightgbm.LGBMClassifier) -> None:
    def turned(weights: list[float]) -> list[float]:
        return [-weight for weight in weights]

    broken = _altered(package(trees.proto, booster), "TreeEnsembleClassifier", "class_weights", turned)
    report = _check(trees, booster, broken)
    assert not report.passed
    assert report.max_error > 0.01
    assert report.label_flips > 0


@pytest.mark.parametrize(
    ("kind", "attribute", "change"),
    [
        ("LabelEncoder", "default_float", lambda _: 3.0),  # unseen texts become a city
        ("Imputer", "imputed_value_floats", lambda fills: [*fills[:2], 5.0]),  # distance, of which none is missing
    ],
    ids=["unseen", "missing"],
)
def test_a_fault_that_no_held_out_row_shows_is_caught_by_difficult_rows(
    trees: Prepared, booster: lightgbm.LGBMClassifier, kind: str, attribute: str, change: object
) -> None:
    broken = _altered(package(trees.proto, booster), kind, attribute, change)
    assert not _check(trees, booster, broken).passed


def test_thresholds_rounded_the_wrong_way_are_caught(trees: Prepared, booster: lightgbm.LGBMClassifier) -> None:
    def raised(values: list[float]) -> list[float]:
        return [float(np.nextafter(np.float32(value), np.float32(np.inf))) for value in values]

    broken = _altered(package(trees.proto, booster), "TreeEnsembleClassifier", "nodes_values", raised)
    assert not _check(trees, booster, broken).passed


def test_thresholds_are_known_by_the_column_they_split(trees: Prepared, booster: lightgbm.LGBMClassifier) -> None:
    found = thresholds_of(onnx.load_from_string(package(trees.proto, booster)))
    assert set(found) == set(trees.graph.names)
    assert found["hour"].min() >= 0
    assert found["hour"].max() <= 23


def test_boundaries_of_features_are_probed_with_their_neighbours(
    trees: Prepared, booster: lightgbm.LGBMClassifier
) -> None:
    """What a graph does on the edge of a bucket alone, no real row need show."""
    fitted = fit_features(parse_features({"d": {"bucketize": {"column": "distance", "edges": [500.25]}}}), trees.table)
    found = boundaries_of(fitted)
    assert 500.25 in found["distance"]
    seen: list[pa.Table] = []

    def watched(rows: pa.Table) -> Any:
        seen.append(rows)
        return trees.graph.run(rows)

    check_parity(package(trees.proto, booster), watched, booster, trees.table.slice(2000), boundaries=found)
    probed = set(seen[1]["distance"].to_pylist())
    edge = np.float32(500.25)
    assert {float(edge), *(float(np.nextafter(edge, np.float32(end))) for end in (0, 1000))} <= probed


def test_moments_are_probed_where_calendars_go_wrong() -> None:
    rows = with_milliseconds(pa.table({"at": pa.array([0, 1], pa.timestamp("ms"))}))
    probes = make_probes(rows, {"at": "FP64"}, thresholds={}, least=0, seed=1)
    assert {951_782_400_000.0, 4_107_456_000_000.0, 253_402_300_800_000.0, None} <= set(probes["at"].to_pylist())


def test_numbers_past_float32_are_no_ends_to_probe_at() -> None:
    probes = make_probes(pa.table({"x": [1e308, -1e308, 5.0]}), {"x": "FP32"}, thresholds={}, least=0, seed=1)
    assert 5.0 in probes["x"].to_pylist()


def test_probes_strain_one_column_at_a_time_and_keep_the_rest_real(trees: Prepared) -> None:
    rows = trees.table.select(["hour", "city"])
    probes = make_probes(
        rows, {"hour": "FP32", "city": "BYTES"}, thresholds={"hour": np.array([7.5], np.float32)}, least=0, seed=1
    )
    made = probes.to_pylist()
    real = {(row["hour"], row["city"]) for row in rows.to_pylist()}
    assert {7.5, float("inf"), 3.4e38, 0.0, 23.0} <= {row["hour"] for row in made}
    assert {None, "", "never seen before"} <= {row["city"] for row in made}
    cities = {city for _, city in real}
    assert all(row["hour"] in range(24) or row["city"] in cities for row in made[:-1])
    assert made[-1] == {"hour": None, "city": None}


def test_parity_without_rows_is_refused(trees: Prepared, booster: lightgbm.LGBMClassifier) -> None:
    empty: pa.Table = trees.table.slice(0, 0)
    with pytest.raises(InvalidInput, match="there are none"):
        check_parity(package(trees.proto, booster), trees.graph.run, booster, empty)
