"""Smaller and faster forms of a version: each measured, none registered unless it is chosen and no worse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.csv
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier

from bailiwick.core.actor import Actor
from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput
from bailiwick.lifecycle.assessing import Labelled
from bailiwick.lifecycle.checking import held_source
from bailiwick.lifecycle.optimising.deed import carry_out
from bailiwick.lifecycle.optimising.kept import report_on
from bailiwick.lifecycle.optimising.measuring import front, promising
from bailiwick.lifecycle.optimising.model import Setting
from bailiwick.lifecycle.optimising.story import (
    Optimised,
    Wanted,
    optimise,
    register_form,
)
from bailiwick.lifecycle.optimising.students import student
from bailiwick.lifecycle.optimising.trees import first_trees, tree_count
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.rules import register_rules
from bailiwick.lifecycle.verification import verify_version
from bailiwick.server.ui.optimising_report import optimising_report
from bailiwick.training.conversion import convert
from bailiwick.training.metadata import FORMAT
from tests_support.composed import register
from tests_support.decisions import encoded, scoring

QUICK = Wanted(seconds=0.01, distil=True)
RANDOM = np.random.default_rng(5)
FEATURES = RANDOM.normal(size=(1200, 4)).astype(np.float32)
LATE = (RANDOM.uniform(size=1200) < 1 / (1 + np.exp(-2 * FEATURES[:, 0] - FEATURES[:, 1] * FEATURES[:, 2]))).astype(int)
NAMES = ["a", "b", "c", "d"]


def packaged(model: onnx.ModelProto) -> bytes:
    """Columns joined into the matrix that the model takes."""
    model = onnx.compose.add_prefix(model, "model/")
    graph = model.graph
    graph.node.insert(0, helper.make_node("Concat", NAMES, ["matrix"], axis=1))
    for node in graph.node:
        node.input[:] = ["matrix" if name == "model/features" else name for name in node.input]
        node.output[:] = ["probability" if name == "model/probability" else name for name in node.output]
    del graph.input[:], graph.output[:]
    graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in NAMES)
    graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None]))
    signature = {
        "inputs": [{"name": name, "datatype": "FP32", "shape": [-1, 1]} for name in NAMES],
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
    }
    properties = {
        "bailiwick.format": FORMAT,
        "bailiwick.signature": json.dumps(signature),
        "bailiwick.features": "",
        "bailiwick.names": json.dumps(NAMES),
    }
    helper.set_model_props(model, properties)
    return bytes(model.SerializeToString())


def boosted(trees: int = 40) -> bytes:
    fitted = lightgbm.LGBMClassifier(n_estimators=trees, num_leaves=15, verbose=-1, n_jobs=1).fit(FEATURES, LATE)
    return packaged(convert(fitted, 4, opset=15, ml_opset=3, ir_version=8))


def layered() -> bytes:
    """Two layers of weights that mean the first feature, and little else."""
    first = RANDOM.normal(scale=0.01, size=(4, 64)).astype(np.float32)
    first[0, :] += 0.25
    second = np.full((64, 1), 0.125, np.float32)
    nodes = [
        helper.make_node("MatMul", ["features", "first"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["bent"]),
        helper.make_node("MatMul", ["bent", "second"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [
            numpy_helper.from_array(first, "first"),
            numpy_helper.from_array(second, "second"),
            numpy_helper.from_array(np.array([-1], np.int64), "flat"),
        ],
    )
    return packaged(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8))


@pytest.fixture
def labelled(tmp_path: Path) -> Labelled:
    columns: dict[str, Any] = {name: FEATURES[:, place] for place, name in enumerate(NAMES)}
    pyarrow.csv.write_csv(pa.table({**columns, "late": LATE}), tmp_path / "rows.csv")
    return Labelled(held_source("rows.csv", tmp_path, now=0), "late")


@pytest.fixture
def optimised(platform: Platform, admin: Actor, labelled: Labelled) -> Callable[..., Optimised]:
    def run(package: bytes, wanted: Wanted = QUICK, gates: tuple[str, ...] = ()) -> Optimised:
        made = register(platform, admin, "late", package)
        rows = Labelled(labelled.rows, "late", gates=gates)
        return optimise(platform, admin, "late", made.number, rows, wanted)

    return run


def test_trees_are_pruned_and_taught_and_not_quantised(
    platform: Platform, admin: Actor, optimised: Callable[..., Optimised]
) -> None:
    found = optimised(boosted())
    forms = {each.name: each for each in found.forms}
    assert found.rows == 900
    assert "nothing to quantise" in forms["int8 dynamic"].problem
    assert forms["graph"].max_error < 1e-5
    assert not forms["graph"].problem
    assert forms["25 % of trees"].size_bytes < forms["50 % of trees"].size_bytes < forms["as it is"].size_bytes
    assert forms["student"].metrics["roc_auc"] > 0.75
    assert all(
        each.speed.p50_us > 0 and each.speed.p99_us >= each.speed.p50_us for each in found.forms if each.size_bytes
    )
    assert len(platform.registry.versions("default", "late")) == 1
    made = register_form(platform, admin, found, "graph")
    assert (made.number, made.parity["reason"].partition(" of ")[0]) == (2, "graph")
    assert made.parts == (("late", 1),)
    assert all(check.passed for check in verify_version(platform, "default", "late", 2))
    assert register_form(platform, admin, found, "graph").number == 2


def test_layers_are_quantised(optimised: Callable[..., Optimised]) -> None:
    forms = {each.name: each for each in optimised(layered(), Wanted(seconds=0.01)).forms}
    for name in ("int8 dynamic", "int8 static", "float16"):
        assert forms[name].size_bytes, forms[name].problem
        assert forms[name].max_error < 0.05
    assert "it has no trees" in forms["75 % of trees"].problem
    assert "--distil" in forms["student"].problem


def test_a_form_that_is_worse_is_told_and_not_registered(
    platform: Platform, admin: Actor, optimised: Callable[..., Optimised]
) -> None:
    found = optimised(boosted(), Wanted(seconds=0.01, margin=1e-6), gates=("roc_auc >= 0.999",))
    worse = next(each for each in found.forms if each.name == "25 % of trees")
    assert "it may be worse" in worse.problem
    assert "must be >= 0.999" in worse.problem
    with pytest.raises(CheckFailed, match="cannot be registered"):
        register_form(platform, admin, found, "25 % of trees")
    with pytest.raises(InvalidInput, match="Form 'none'"):
        register_form(platform, admin, found, "none")
    assert len(platform.registry.versions("default", "late")) == 1


def test_the_setting_that_is_shown_to_keep_an_objective_is_set(
    platform: Platform, admin: Actor, labelled: Labelled
) -> None:
    register(platform, admin, "late", boosted(10))
    told = carry_out(platform, admin, "late", 1, labelled, Wanted(seconds=0.03, p99_ms=60_000))
    assert told.setting is not None
    assert told.kept[-1].shown
    assert told.kept[-1].calls >= 408
    assert told.swept == "as it is"
    kept = platform.registry.version("default", "late", 1)
    assert (kept.serving.workers, kept.serving.most_rows, kept.serving.threads) == (
        told.setting.workers,
        told.setting.batch,
        told.setting.threads,
    )
    assert report_on(platform, kept) == told
    page = optimising_report(told)
    assert page.count("<circle") == len(told.settings) + sum(1 for each in told.forms if each.size_bytes)
    assert "objective 60000 ms" in page
    none = carry_out(platform, admin, "late", 1, labelled, Wanted(seconds=0.01, p99_ms=1e-6))
    assert (none.setting, none.kept) == (None, ())
    assert "No setting is shown" in optimising_report(none)


def test_settings_that_no_other_beats_are_the_front() -> None:
    settings = [Setting(1, 1, 1.0, 10.0), Setting(1, 8, 2.0, 50.0), Setting(2, 8, 3.0, 40.0), Setting(2, 1, 1.0, 9.0)]
    assert [each.best for each in front(settings)] == [True, True, False, False]
    assert [each.batch for each in promising(settings, 2.5)] == [8, 1, 1]
    assert promising(settings, 0.5) == []


def test_a_forest_with_fewer_trees_still_gives_probabilities() -> None:
    fitted = RandomForestClassifier(20, max_depth=4, random_state=1).fit(FEATURES, LATE)
    model = onnx.load_from_string(packaged(convert(fitted, 4, opset=15, ml_opset=3, ir_version=8)))
    assert tree_count(model) == 20
    pruned = first_trees(model, 50)
    assert tree_count(pruned) == 10
    columns = {name: FEATURES[:, place : place + 1] for place, name in enumerate(NAMES)}
    import onnxruntime

    found = onnxruntime.InferenceSession(pruned.SerializeToString()).run(None, columns)[0]
    fitted.estimators_ = fitted.estimators_[:10]
    fitted.n_estimators = 10
    np.testing.assert_allclose(found, fitted.predict_proba(FEATURES)[:, 1], atol=1e-4)


def test_only_onnx_and_enough_rows_and_a_metric_of_rows(
    platform: Platform, admin: Actor, labelled: Labelled, tmp_path: Path
) -> None:
    register_rules(platform, admin, "rules", encoded(scoring()))
    with pytest.raises(Conflict, match="run by rules"):
        optimise(platform, admin, "rules", 1, labelled, QUICK)
    register(platform, admin, "late", boosted(10))
    with pytest.raises(InvalidInput, match="Metric to compare by"):
        optimise(platform, admin, "late", 1, labelled, Wanted(metric="roc_auc"))
    pyarrow.csv.write_csv(pa.table({name: [1] for name in [*NAMES, "late"]}), tmp_path / "few.csv")
    few = Labelled(held_source("few.csv", tmp_path, now=0), "late")
    with pytest.raises(InvalidInput, match="at least 400"):
        optimise(platform, admin, "late", 1, few, QUICK)
    with pytest.raises(InvalidInput, match="nothing in the graph stands out"):
        student(onnx.ModelProto(), {}, {})
