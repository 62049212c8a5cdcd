"""TFDV's tests of single rules (`tools/tfdv_rules.py`): the same verdict, and the same description after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from bailiwick.data.schema.inference import Inference, infer_schema
from bailiwick.data.statistics.view import DatasetView, common_statistics
from bailiwick.data.validation import domains, occurrence
from bailiwick.data.validation.comparators import Baselines, check_examples

GOLDEN = Path(__file__).parent.parent / "golden" / "tfdv"
CASES = json.loads((GOLDEN / "rules.json").read_text(encoding="utf-8"))["cases"]
GAPS: dict[str, str] = json.loads((GOLDEN / "gaps.json").read_text(encoding="utf-8"))
_RULES = {
    "presence": occurrence.check_presence,
    "valency": occurrence.check_valency,
    "shape": occurrence.check_shape,
    "unique": occurrence.check_unique,
    "bool": domains.check_bool,
    "int": domains.check_int,
    "float": domains.check_float,
    "image": domains.check_image,
}


def _of(*rules: str) -> list[Any]:
    return [
        pytest.param(case, id=case["id"], marks=[pytest.mark.xfail(reason=GAPS[f"rules/{case['id']}"], strict=True)]
                     if f"rules/{case['id']}" in GAPS else [])
        for case in CASES if case["rule"] in rules
    ]  # fmt: skip


def _parse(text: str, kind: Any) -> Any:
    return text_format.Parse(text, kind())


def _dataset(case: Any) -> Any:
    stats = _parse(case["statistics"], statistics_pb2.FeatureNameStatistics)
    common = common_statistics(stats)
    examples = case.get("examples", common.num_missing + common.num_non_missing)
    return statistics_pb2.DatasetFeatureStatistics(num_examples=examples, features=[stats])


@pytest.mark.parametrize("case", _of(*_RULES, "strings"))
def test_a_rule_finds_what_tfdvs_finds_and_leaves_the_same_description(case: Any) -> None:
    view = next(iter(DatasetView(_dataset(case), by_weight=False).features.values()))
    feature = _parse(case["before"], schema_pb2.Feature)
    if case["rule"] == "strings":
        found = list(domains.check_strings(feature, view, feature.string_domain))
        if view.invalid_utf8:
            feature.ClearField("string_domain")  # by whoever knows where the domain is
    else:
        found = list(_RULES[case["rule"]](feature, view))
    kinds = [finding.kind for finding in found]
    if case["kinds"] is None:
        assert kinds
    elif case["rule"] == "int":
        assert kinds[:1] == case["kinds"]
    else:
        assert set(kinds) == set(case["kinds"])
    if case["after"] is not None:
        assert feature == _parse(case["after"], schema_pb2.Feature)


@pytest.mark.parametrize("case", _of("examples"))
def test_the_number_of_examples_is_limited_as_by_tfdv(case: Any) -> None:
    def view(text: str | None) -> DatasetView | None:
        kind = statistics_pb2.DatasetFeatureStatistics
        return None if text is None else DatasetView(_parse(text, kind), by_weight=case["by_weight"])

    constraints = _parse(case["before"], schema_pb2.DatasetConstraints)
    control, current = view(case["control"]), view(case["current"])
    assert current is not None
    found = list(check_examples(constraints, current, Baselines(previous=control, previous_version=control)))
    if case["after"] is not None:
        assert constraints == _parse(case["after"], schema_pb2.DatasetConstraints)
        assert bool(found) == (case["after"] != case["before"])


@pytest.mark.parametrize("case", _of("infer"))
def test_what_is_inferred_of_one_feature_is_what_tfdv_infers(case: Any) -> None:
    statistics = statistics_pb2.DatasetFeatureStatisticsList(datasets=[_dataset(case)])
    shape = case.get("flags") == [True]
    feature = infer_schema(statistics, Inference(shape=shape)).feature[0]
    if "candidate" in case:
        domain = "int_domain" if "int_domain" in case["id"] else "bool_domain"
        assert (feature.WhichOneof("domain_info") == domain) is case["candidate"]
    elif "bool_domain" in case["id"]:
        assert feature.bool_domain == _parse(case["after"], schema_pb2.BoolDomain)
    else:
        for name in {field.name for field, _ in feature.ListFields()} - {
            "presence",
            "value_count",
            "value_counts",
            "shape",
        }:
            feature.ClearField(name)
        assert feature == _parse(case["after"], schema_pb2.Feature)
