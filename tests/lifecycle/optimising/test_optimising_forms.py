"""Every form of every kind of model: a valid graph that takes and gives the same, no worse, or left out in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet
import pytest
from onnx import TensorProto, helper

from bailiwick.core.actor import Actor
from bailiwick.core.errors import CheckFailed, InvalidInput, NotAllowed
from bailiwick.core.serving_setting import AS_SERVED
from bailiwick.lifecycle.assessing import Labelled
from bailiwick.lifecycle.checking import held_source
from bailiwick.lifecycle.optimising import story
from bailiwick.lifecycle.optimising.candidates import FORMS, candidates, unlike
from bailiwick.lifecycle.optimising.deed import carry_out
from bailiwick.lifecycle.optimising.measuring import runtime_of
from bailiwick.lifecycle.optimising.model import Measured
from bailiwick.lifecycle.optimising.rows import answers
from bailiwick.lifecycle.optimising.story import Optimised, Wanted, optimise, register_form
from bailiwick.lifecycle.optimising.trees import first_trees, pruned, tree_count
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.verification import verify_version
from bailiwick.training.conversion import convert
from bailiwick.training.metadata import FORMAT
from tests_support import many_models
from tests_support.composed import register
from tests_support.many_models import HALF, IMAGES, MAKERS, NAMES, SHAPES, X, labels_for, package_of

QUICK = Wanted(seconds=0.01, distil=True)
Run = Callable[..., Optimised]


@pytest.fixture
def forms_of(platform: Platform, admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The forms alone: what the sweep does is no matter of the kind of model."""
    monkeypatch.setattr(story, "sweep", lambda *_, **__: [])

    def run(package: bytes, columns: dict[str, Any], label: Any, wanted: Wanted = QUICK, **more: Any) -> Optimised:
        made = register(platform, admin, "any", package)
        pa.parquet.write_table(pa.table({**columns, "y": label}), tmp_path / "rows.parquet")
        labelled = Labelled(held_source("rows.parquet", tmp_path, now=0), "y", **more)
        return optimise(platform, admin, "any", made.number, labelled, wanted)

    return run


def columns() -> dict[str, Any]:
    return {name: X[HALF:, place] for place, name in enumerate(NAMES)}


def checked(found: Optimised) -> dict[str, Measured]:
    """Each form stands in for the version as far as can be said without running it, and was run and measured."""
    original = onnx.load_from_string(found.forms[0].package or b"")
    assert [each.name for each in found.forms] == ["as it is", *FORMS]
    for each in found.forms[1:]:
        assert each.problem or each.package, each.name
        if each.package:
            made = onnx.load_from_string(each.package)
            assert unlike(made, original) == ""
            assert {one.key: one.value for one in made.metadata_props} == {
                one.key: one.value for one in original.metadata_props
            }
            assert runtime_of(each.package).signature == runtime_of(found.forms[0].package or b"").signature
            assert (each.size_bytes, each.speed.p50_us > 0, bool(each.metrics)) == (len(each.package), True, True)
        else:
            assert each.problem
            assert "could not be made" not in each.problem, (each.name, each.problem)
            assert "no valid graph" not in each.problem, (each.name, each.problem)
    return {each.name: each for each in found.forms}


@pytest.mark.parametrize("name", MAKERS)
def test_forms_of_what_people_bring(name: str, forms_of: Run) -> None:
    found = forms_of(package_of(name), columns(), labels_for(name))
    forms = checked(found)
    kind = name.rpartition("_")[2]
    assert found.metric == {"positive": "log_loss", "classes": "log_loss", "number": "mae"}[kind]
    assert forms["graph"].max_error < 1e-4
    assert not forms["graph"].problem
    trees = name.startswith(("lightgbm", "forest", "boosted"))
    for share in (75, 50, 25):
        assert bool(forms[f"{share} % of trees"].package) == trees
    for quantised in ("int8 dynamic", "int8 static", "float16"):
        assert bool(forms[quantised].package) == name.startswith("layers")
    if name.startswith("layers"):
        assert forms["int8 dynamic"].size_bytes < forms["as it is"].size_bytes
        assert not forms["float16"].problem
    assert forms["student"].package


def test_convolutions_are_quantised_and_fed_with_lists(forms_of: Run) -> None:
    flat = pa.FixedSizeListArray.from_arrays(pa.array(IMAGES[HALF:].ravel()), 64)
    found = forms_of(many_models.convolutions(), {"image": flat}, SHAPES[HALF:], Wanted(seconds=0.01))
    forms = checked(found)
    assert found.metric == "log_loss"
    assert forms["as it is"].metrics["accuracy"] > 0.75
    for quantised in ("int8 dynamic", "int8 static", "float16"):
        assert forms[quantised].package, forms[quantised].problem
        assert forms[quantised].metrics["accuracy"] > 0.75
    lists = pa.array([each.ravel().tolist() for each in IMAGES[HALF:]])
    assert forms_of(many_models.convolutions(), {"image": lists}, SHAPES[HALF:]).rows == found.rows
    ragged = pa.array([[0.0] * (63 if place else 64) for place in range(500)])
    for wrong, words in ((ragged, "takes 64 values"), (pa.array(np.zeros(500)), "must be lists of 64")):
        with pytest.raises(InvalidInput, match=words):
            forms_of(many_models.convolutions(), {"image": wrong}, np.zeros(500))


def with_texts() -> tuple[bytes, dict[str, Any], Any]:
    """A text that is made a number by the graph, numbers with some missing, and trees behind both."""
    random = np.random.default_rng(8)
    carriers = random.choice(["AA", "UA", "DL", ""], 2_000)
    codes = {"AA": 1.0, "UA": 2.0, "DL": 3.0}
    numbers = random.normal(size=2_000).astype(np.float32)
    numbers[::17] = np.nan
    matrix = np.stack([[codes.get(each, 0.0) for each in carriers], numbers], axis=1).astype(np.float32)
    late = ((matrix[:, 0] + np.nan_to_num(numbers) + random.normal(0, 0.5, 2_000)) > 1.5).astype(int)
    fitted = lightgbm.LGBMClassifier(n_estimators=40, num_leaves=7, verbose=-1, n_jobs=1).fit(matrix, late)
    model = onnx.compose.add_prefix(convert(fitted, 2, opset=15, ml_opset=3, ir_version=8), "model/")
    graph = model.graph
    encode = helper.make_node(
        "LabelEncoder",
        ["carrier"],
        ["code"],
        domain="ai.onnx.ml",
        keys_strings=list(codes),
        values_floats=list(codes.values()),
        default_float=0.0,
    )
    graph.node.insert(0, helper.make_node("Concat", ["code", "delay"], ["matrix"], axis=1))
    graph.node.insert(0, encode)
    for node in graph.node:
        node.input[:] = ["matrix" if name == "model/features" else name for name in node.input]
        node.output[:] = ["probability" if name == "model/probability" else name for name in node.output]
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1]))
    graph.input.append(helper.make_tensor_value_info("delay", TensorProto.FLOAT, [None, 1]))
    graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None]))
    signature = {
        "inputs": [
            {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "delay", "datatype": "FP32", "shape": [-1, 1]},
        ],
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
    }
    told = {"bailiwick.format": FORMAT, "bailiwick.signature": json.dumps(signature), "bailiwick.features": ""}
    helper.set_model_props(model, {**told, "bailiwick.names": '["carrier", "delay"]'})
    rows = {"carrier": pa.array([each or None for each in carriers]), "delay": pa.array(numbers, from_pandas=True)}
    return bytes(model.SerializeToString()), rows, late


def test_texts_and_missing_values_before_trees(forms_of: Run) -> None:
    forms = checked(forms_of(*with_texts()))
    for name in ("graph", "75 % of trees", "student"):
        assert forms[name].package
    assert forms["student"].metrics["roc_auc"] > 0.8


@pytest.mark.parametrize("name", ["lightgbm_positive", "lightgbm_classes", "lightgbm_number", "forest_number"])
def test_leaves_set_anew_bring_fewer_trees_closer_to_all_of_them(name: str) -> None:
    """On rows that neither was fitted on."""
    model = onnx.load_from_string(package_of(name))
    known, judged = (
        {each: X[rows, place : place + 1] for place, each in enumerate(NAMES)}
        for rows in (slice(HALF, HALF + 500), slice(HALF + 500, None))
    )
    (whole,) = answers(runtime_of(package_of(name)), judged).values()
    off = []
    for made in (first_trees(model, 50), pruned(model, 50, known)):
        (found,) = answers(runtime_of(made.SerializeToString()), judged).values()
        off.append(float(np.square(found - whole).mean()))
    print(name, off)
    assert off[1] < 0.8 * off[0]


def test_trees_that_speak_for_one_class_each_stay_in_whole_rounds() -> None:
    model = onnx.load_from_string(package_of("lightgbm_classes"))
    assert tree_count(model) == 120
    assert tree_count(first_trees(model, 41)) == 48
    with pytest.raises(InvalidInput, match="every class"):
        first_trees(model, 2)


def test_what_does_not_stand_in_for_the_version_is_no_form() -> None:
    original = onnx.load_from_string(package_of("linear_positive"))
    made = onnx.ModelProto()
    made.CopyFrom(original)
    made.graph.input[0].name = "other"
    assert "inputs are not those" in unlike(made, original)
    made.CopyFrom(original)
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    assert "outputs are not those" in unlike(made, original)
    made.CopyFrom(original)
    made.graph.node[0].input[0] = "nothing"
    assert "no valid graph" in unlike(made, original)
    made.CopyFrom(original)
    tensor = made.graph.initializer.add(name="elsewhere", data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    assert "another file" in unlike(made, original)


def test_a_form_becomes_a_version_with_lineage_and_is_the_same_again(
    platform: Platform, admin: Actor, viewer: Actor, forms_of: Run
) -> None:
    found = forms_of(package_of("lightgbm_number"), columns(), labels_for("lightgbm_number"), Wanted(seconds=0.01))
    with pytest.raises(NotAllowed):
        register_form(platform, viewer, found, "graph")
    made = register_form(platform, admin, found, "graph")
    assert (made.number, made.parts, made.parameters["optimised"]) == (2, (("any", 1),), "graph")
    assert made.parity["rows"] == found.rows == 1_500
    assert "refuted" in str(made.parity["reason"])
    assert made.metrics["mae"] == pytest.approx(found.forms[0].metrics["mae"], rel=1e-4)
    assert all(check.passed for check in verify_version(platform, "default", "any", 2))
    assert register_form(platform, admin, found, "graph").number == 2
    with pytest.raises(CheckFailed):
        register_form(platform, admin, found, "student")
    assert platform.registry.rename_model(admin, "any", "other").versions == 2
    assert platform.registry.version("default", "other", 2).parts == (("other", 1),)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": None}, "Column of the labelled rows 'y'"),
        ({"c": None}, "Column of the labelled rows 'c'"),
        ({"y": pa.nulls(600, pa.int64())}, "missing in"),
        ({"y": ["yes"] * 600}, "is not a value of column"),
        ({"c": ["text"] * 600}, "Numbers are needed"),
        ({"rows": 399}, "at least 400"),
    ],
)
def test_rows_that_do_not_suit_are_refused_in_words(
    changes: dict[str, Any], words: str, platform: Platform, admin: Actor, tmp_path: Path
) -> None:
    register(platform, admin, "any", package_of("linear_positive"))
    rows = changes.get("rows", 600)
    table = {name: X[:rows, place] for place, name in enumerate(NAMES)} | {"y": labels_for("a_positive")[:rows]}
    table |= {name: value for name, value in changes.items() if name != "rows"}
    pa.parquet.write_table(pa.table({k: v for k, v in table.items() if v is not None}), tmp_path / "rows.parquet")
    labelled = Labelled(held_source("rows.parquet", tmp_path, now=0), "y")
    with pytest.raises(InvalidInput, match=words):
        optimise(platform, admin, "any", 1, labelled, QUICK)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(metric="nothing"), "Metric to compare by"),
        (Wanted(margin=0), "above 0"),
        (Wanted(margin=float("nan")), "above 0"),
        (Wanted(seconds=0), "up to 60 seconds"),
        (Wanted(seconds=1e9), "up to 60 seconds"),
        (Wanted(p99_ms=-1), "above 0"),
        (Wanted(p99_ms=float("nan")), "above 0"),
        (Wanted(output="nothing"), "Output 'nothing'"),
        (Wanted(form="nothing"), "Form 'nothing'"),
    ],
)
def test_what_cannot_be_asked_is_refused(wanted: Wanted, words: str, forms_of: Run) -> None:
    with pytest.raises(InvalidInput, match=words):
        forms_of(package_of("linear_positive"), columns(), labels_for("a_positive"), wanted)


def test_labels_that_are_no_class_and_gates_that_mean_nothing_are_refused(forms_of: Run) -> None:
    with pytest.raises(InvalidInput, match="is no class"):
        forms_of(package_of("forest_classes"), columns(), np.full(HALF, 7))
    with pytest.raises(InvalidInput, match="not a finite number"):
        forms_of(package_of("linear_number"), columns(), np.full(HALF, np.inf))
    with pytest.raises(InvalidInput, match="Gates are about"):
        forms_of(package_of("linear_number"), columns(), labels_for("a_number"), gates=("roc_auc >= 0.5",))


def test_who_may_not_deploy_asks_for_no_setting(platform: Platform, viewer: Actor) -> None:
    with pytest.raises(NotAllowed, match=r"endpoints\.deploy"):
        story.check_wanted(viewer, Wanted(p99_ms=1.0))
    with pytest.raises(NotAllowed, match=r"models\.write"):
        story.check_wanted(viewer, Wanted(form="graph"))


def _threads() -> int:
    """Without the one that ends endless runs of models, which stays."""
    return sum(each.name != "overtime" for each in threading.enumerate())


def test_ctrl_c_leaves_nothing_behind(
    platform: Platform, admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    register(platform, admin, "any", package_of("linear_positive"))
    pa.parquet.write_table(pa.table({**columns(), "y": labels_for("a_positive")}), tmp_path / "rows.parquet")
    labelled = Labelled(held_source("rows.parquet", tmp_path, now=0), "y")
    before = _threads()
    for where in ("speed_of", "sweep", "confirm"):
        with monkeypatch.context() as patch:
            patch.setattr(story, where, interrupted)
            with pytest.raises(KeyboardInterrupt):
                carry_out(platform, admin, "any", 1, labelled, Wanted(form="graph", p99_ms=1e3, seconds=0.003))
    (only,) = platform.registry.versions("default", "any")
    assert dict(only.tags) == {}
    assert _threads() == before
    made = carry_out(platform, admin, "any", 1, labelled, Wanted(form="graph", p99_ms=1e4, seconds=0.05))
    assert (made.registered, made.swept) == (2, "graph")
    assert platform.registry.version("default", "any", 2).serving.workers
    assert platform.registry.version("default", "any", 1).serving == AS_SERVED


def test_graphs_of_converters_that_name_no_operator_set_of_onnx_have_forms_too() -> None:
    """As onnxmltools leaves boosters of XGBoost."""
    model = onnx.load_from_string(package_of("lightgbm_number"))
    kept = [each for each in model.opset_import if each.domain]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    made = candidates(model.SerializeToString(), {}, {}, distil=False)
    assert next(made).package
