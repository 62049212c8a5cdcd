"""TFDV's own test cases (`tests/golden/tfdv`): the same anomalies, severities, schemas and distances come out here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from bailiwick.data.schema.inference import Inference, infer_schema
from bailiwick.data.statistics.view import DatasetView, dataset_of, serialise_path
from bailiwick.data.validation.anomalies import Anomaly, Finding, Measurement, Report, worst
from bailiwick.data.validation.checking import check, check_view
from bailiwick.data.validation.comparators import Baselines, compare_feature
from bailiwick.data.validation.distances import QUANTILES, STANDARD, jensen_shannon, l_infinity, normalised_difference
from bailiwick.data.validation.relaxation import relax_view

GOLDEN = Path(__file__).parent.parent / "golden" / "tfdv"
GAPS: dict[str, str] = json.loads((GOLDEN / "gaps.json").read_text(encoding="utf-8"))


def _cases(*names: str) -> list[Any]:
    found = []
    for name in names:
        for case in json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["cases"]:
            identity = f"{name}/{case['id']}"
            marks = [pytest.mark.xfail(reason=GAPS[identity], strict=True)] if identity in GAPS else []
            found.append(pytest.param(case, id=identity, marks=marks))
    return found


def _parse(text: str, kind: type[Any]) -> Any:
    return text_format.Parse(text, kind())


def _dataset(text: str) -> Any:
    if text.startswith("datasets"):
        return dataset_of(_parse(text, statistics_pb2.DatasetFeatureStatisticsList))
    return _parse(text, statistics_pb2.DatasetFeatureStatistics)


def _list(text: str | None) -> Any:
    return None if text is None else statistics_pb2.DatasetFeatureStatisticsList(datasets=[_dataset(text)])


def _found(report: Report) -> dict[str, Any]:
    by_path: dict[str, list[Any]] = defaultdict(list)
    for anomaly in report.anomalies:
        if anomaly.path:
            by_path[serialise_path(anomaly.path)].append(anomaly)
    return {
        name: {"severity": worst(one.severity for one in found), "reasons": [one.kind for one in found]}
        for name, found in by_path.items()
    }


def _report(case: Any) -> Report:
    schema = _parse(case["schema"], schema_pb2.Schema)
    only_new = {tuple(path) for path in case["only_new"]} if "only_new" in case else None
    if case.get("only_skew"):
        return _skew(case, schema)
    if case["verb"] == "check_view":
        serving = DatasetView(_dataset(case["serving"])) if "serving" in case else None
        view = DatasetView(_dataset(case["statistics"]), by_weight=False)
        against = Baselines(serving=serving)
        return check_view(view, schema, against=against, severities=case["severities"], only_new=only_new)
    return check(
        _list(case["statistics"]),
        schema,
        case.get("environment", ""),
        previous=_list(case.get("previous")),
        serving=_list(case.get("serving")),
        previous_version=_list(case.get("previous_version")),
        severities=case.get("severities"),
        only_new=only_new,
    )


def _skew(case: Any, schema: Any) -> Report:
    """TFDV's `FindSkew`: comparators alone."""
    view, serving = (DatasetView(_dataset(case[name])) for name in ("statistics", "serving"))
    feature = next(iter(view.features.values()))
    found = list(compare_feature(schema.feature[0], feature, Baselines(serving=serving)))
    anomalies = [
        Anomaly("foo", one.kind, "ERROR", one.short, one.long, ("foo",)) for one in found if isinstance(one, Finding)
    ]
    return Report(anomalies, [one for one in found if isinstance(one, Measurement)])


@pytest.mark.parametrize(
    "case",
    [
        param
        for param in _cases("schema_anomalies", "feature_statistics_validator", "validation_api")
        if param.values[0]["verb"] in {"check", "check_view", "validate"}
    ],
)
def test_the_same_anomalies_are_found_as_by_tfdv(case: Any) -> None:
    report = _report(case)
    if "kinds" in case:
        assert sorted({anomaly.kind for anomaly in report.anomalies}) == case["kinds"]
    else:
        assert _found(report) == case["expected"]
    if "drift" in case:
        expected = sorted(case["drift"], key=lambda one: one["path"])
        measured = [
            {"path": list(one.path), "against": one.against, "kind": one.kind, "threshold": one.threshold}
            for one in report.measurements
        ]
        assert measured == [{name: value for name, value in one.items() if name != "value"} for one in expected]
        assert [one.value for one in report.measurements] == pytest.approx([one["value"] for one in expected])
    assert report.to_proto(_parse(case["schema"], schema_pb2.Schema)).IsInitialized()


@pytest.mark.parametrize(
    "case",
    [
        param
        for param in _cases("schema", "feature_statistics_validator", "validation_api")
        if "schema_after" in param.values[0]
    ],
)
def test_the_same_schema_comes_out_as_from_tfdv(case: Any) -> None:
    how = case.get("how", {})
    inference = Inference(
        shape=how.get("infer_feature_shape", case["verb"] == "infer" or "shape: true" in case.get("config", "")),
        max_string_domain=how.get("max_string_domain_size", 100 if "how" in case else _threshold(case)),
        share_domains=False,
    )
    if case["verb"] == "infer":
        after = infer_schema(_list(case["statistics"]), inference)
    else:
        before = _parse(case["schema"], schema_pb2.Schema)
        after = relax_view(before, DatasetView(_dataset(case["statistics"])), how=inference)
    assert after == _parse(case["schema_after"], schema_pb2.Schema)


def _threshold(case: Any) -> int:
    words = case["config"].replace(":", " ").split()
    return int(words[words.index("enum_threshold") + 1]) if "enum_threshold" in words else 400


@pytest.mark.parametrize("case", _cases("metrics"))
def test_divergences_are_those_of_tfdv(case: Any) -> None:
    one, other = (_feature(case[name]) for name in ("one", "other"))
    kind = QUANTILES if case["histogram"] == "QUANTILES" else STANDARD
    found = jensen_shannon(one, other, kind)
    assert found == (None if case["value"] is None else pytest.approx(case["value"], abs=1e-5))


def _feature(text: str) -> Any:
    stats = _parse(text, statistics_pb2.FeatureNameStatistics)
    view = DatasetView(statistics_pb2.DatasetFeatureStatistics(features=[stats]))
    return next(iter(view.features.values()))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, 0.0),
        ({"hello": 0.1, "world": 0.9}, {"hello": 0.3, "world": 0.7}, 0.2),
        ({"b": 0.9, "c": 0.1}, {"a": 0.3, "b": 0.7}, 0.3),
        ({"a": 0.3, "b": 0.7}, {"b": 0.9, "c": 0.1}, 0.3),
    ],
)
def test_l_infinity_is_that_of_tfdv(one: dict[str, float], other: dict[str, float], expected: float) -> None:
    assert l_infinity(one, other)[1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, 0.0),
        ({"hello": 0.1, "world": 0.9}, {"hello": 0.3, "world": 0.7}, 0.1),
        ({"hello": 1.0, "world": 5.0}, {"hello": 10.0, "world": 50.0}, 45 / 66),
    ],
)
def test_the_normalised_difference_is_that_of_tfdv(
    one: dict[str, float], other: dict[str, float], expected: float
) -> None:
    assert normalised_difference(one, other)[1] == pytest.approx(expected)


def test_the_parity_page_is_up_to_date() -> None:
    page = Path(__file__).parent.parent.parent / "tools" / "tfdv_page.py"
    subprocess.run([sys.executable, str(page), "--check"], check=True)
