"""Models of several classes, whatever those are called, and of several numbers: their forms, and what judges them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.assessing import Labelled
from bailiwick.lifecycle.checking import held_source
from bailiwick.lifecycle.optimising import story
from bailiwick.lifecycle.optimising.candidates import candidates, unlike
from bailiwick.lifecycle.optimising.measuring import runtime_of
from bailiwick.lifecycle.optimising.rows import answers
from bailiwick.lifecycle.optimising.story import Optimised, Wanted, optimise
from bailiwick.lifecycle.optimising.students import as_many_rows
from bailiwick.lifecycle.packaging.graphs import tried
from bailiwick.lifecycle.packaging.pass_through import package
from bailiwick.lifecycle.platform import Platform
from bailiwick.pyfunc.mlmodel import read_mlmodel
from bailiwick.pyfunc.process import Housing
from bailiwick.training.metadata import FORMAT
from tests_support.composed import register
from tests_support.logged_models import write
from tests_support.many_models import DELAY, HALF, KIND, NAMES, X, wrapped

WORDS: NDArray[np.object_] = np.array(["poor", "fair", "good"], object)[KIND]
YEARS: NDArray[np.int64] = np.array([2020, 2019, 2031])[KIND]
BOTH: NDArray[np.float32] = np.stack([DELAY, 3 * X[:, 0] + X[:, 4] ** 2], axis=1).astype(np.float32)
Run = Callable[..., Optimised]


def converted(made: Any) -> onnx.ModelProto:
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    options = {id(made): {"zipmap": False}} if hasattr(made, "predict_proba") else None
    model: onnx.ModelProto = skl2onnx.convert_sklearn(
        made, initial_types=[("x", FloatTensorType([None, len(NAMES)]))], target_opset=15, options=options
    )
    return model


def boosted_converted(made: Any) -> onnx.ModelProto:
    """With the labels that the estimator has, which LightGBM's converter forgets."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    model: onnx.ModelProto = onnxmltools.convert_lightgbm(
        made, initial_types=[("x", FloatTensorType([None, len(NAMES)]))], target_opset=15, zipmap=False
    )
    return model


def logged(model: onnx.ModelProto, folder: Path) -> bytes:
    """As it is packaged when it was logged as ONNX."""
    files = write(folder, {"onnx": {"data": "model.onnx"}}, None)
    (files / "model.onnx").write_bytes(model.SerializeToString())
    with tried(Housing(), 30) as graphs:
        return package(files, read_mlmodel(files), graphs).package


@cache
def fitted(name: str) -> Any:
    import lightgbm
    from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import LinearSVC

    makers: dict[str, tuple[Any, Any]] = {
        "boosted words": (GradientBoostingClassifier(n_estimators=25, max_depth=3, random_state=1), WORDS),
        "boosted years": (GradientBoostingClassifier(n_estimators=25, max_depth=3, random_state=1), YEARS),
        "trees words": (ExtraTreesClassifier(40, max_depth=7, random_state=1), WORDS),
        "lightgbm years": (lightgbm.LGBMClassifier(n_estimators=40, num_leaves=7, verbose=-1, n_jobs=1), YEARS),
        "linear words": (LogisticRegression(), WORDS),
        "layers words": (MLPClassifier((32,), max_iter=200, random_state=1, early_stopping=True), WORDS),
        "scores words": (LinearSVC(), WORDS),
        "forest of two": (RandomForestRegressor(40, max_depth=7, random_state=1), BOTH),
        "one for each of two": (MultiOutputRegressor(lightgbm_regressor()), BOTH),
    }
    estimator, targets = makers[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X[:HALF], targets[:HALF])


def lightgbm_regressor() -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(n_estimators=40, max_depth=3, random_state=1)


@pytest.fixture
def forms_of(platform: Platform, admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(story, "sweep", lambda *_, **__: [])

    def run(made: bytes, columns: dict[str, Any], label: Any, **wanted: Any) -> Optimised:
        version = register(platform, admin, "any", made)
        pa.parquet.write_table(pa.table({**columns, "y": label}), tmp_path / "rows.parquet")
        labelled = Labelled(held_source("rows.parquet", tmp_path, now=0), "y")
        return optimise(platform, admin, "any", version.number, labelled, Wanted(seconds=0.005, distil=True, **wanted))

    return run


def matrix() -> dict[str, Any]:
    return {"x": pa.FixedSizeListArray.from_arrays(pa.array(X[HALF:].ravel()), len(NAMES))}


def answered(made: bytes, names: str = "x") -> dict[str, NDArray[Any]]:
    return answers(runtime_of(made), {names: X[HALF:]})


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("boosted words", WORDS),
        ("boosted years", YEARS),
        ("trees words", WORDS),
        ("linear words", WORDS),
        ("layers words", WORDS),
        ("scores words", WORDS),
    ],
)
def test_a_student_answers_with_the_labels_and_probabilities_of_the_version(
    name: str, labels: NDArray[Any], forms_of: Run, tmp_path: Path
) -> None:
    made = logged(converted(fitted(name)), tmp_path / "m")
    found = forms_of(made, matrix(), labels[HALF:], margin=0.1)
    forms = {each.name: each for each in found.forms}
    student = forms["student"].package
    assert student, forms["student"].problem
    assert unlike(onnx.load_from_string(student), onnx.load_from_string(made)) == ""
    assert runtime_of(student).signature == runtime_of(made).signature
    version, taught = answered(made), answered(student)
    assert {each: (values.dtype, values.shape) for each, values in taught.items()} == {
        each: (values.dtype, values.shape) for each, values in version.items()
    }
    alike = float((version["label"] == taught["label"]).mean())
    print(name, alike, forms["student"].metrics, forms["student"].problem)
    assert alike > 0.85
    assert (np.array(fitted(name).classes_)[taught["probabilities"].argmax(axis=1)] == taught["label"]).all()
    if name == "scores words":
        assert found.metric == "accuracy"
    else:
        assert found.metric == "log_loss"
        assert np.allclose(taught["probabilities"].sum(axis=1), 1, atol=1e-5)
        assert np.abs(version["probabilities"] - taught["probabilities"]).mean() < 0.06
        expected = -np.log(
            version["probabilities"][np.arange(HALF), np.searchsorted(fitted(name).classes_, labels[HALF:])]
        )
        assert forms["as it is"].metrics["log_loss"] == pytest.approx(float(expected.mean()), abs=0.03)
    trees = name.startswith(("boosted", "trees"))
    for share in (75, 50, 25):
        form = forms[f"{share} % of trees"]
        assert bool(form.package) == trees, form.problem
        if form.package:
            less = answered(form.package)
            assert (np.array(fitted(name).classes_)[less["probabilities"].argmax(axis=1)] == less["label"]).all()
            assert float((version["label"] == less["label"]).mean()) > 0.85
        else:
            assert form.problem == "it has no trees"


def test_lightgbm_with_labels_of_its_own(forms_of: Run, tmp_path: Path) -> None:
    found = forms_of(logged(boosted_converted(fitted("lightgbm years")), tmp_path / "m"), matrix(), YEARS[HALF:])
    forms = {each.name: each for each in found.forms}
    assert forms["as it is"].metrics["accuracy"] > 0.75
    assert forms["student"].package
    assert set(answered(forms["student"].package)["label"].tolist()) == {2019, 2020, 2031}
    assert forms["75 % of trees"].package


@pytest.mark.parametrize("name", ["boosted words", "trees words", "linear words", "layers words"])
def test_a_model_that_answers_with_the_class_alone_teaches_the_probabilities_in_its_graph(
    name: str, forms_of: Run
) -> None:
    made = wrapped(converted(fitted(name)), [("predictions", fitted(name).predict(X[:HALF]).astype(object))])
    columns = {each: X[HALF:, place] for place, each in enumerate(NAMES)}
    found = forms_of(made, columns, WORDS[HALF:], margin=0.1)
    student = next(each for each in found.forms if each.name == "student")
    assert found.metric == "accuracy"
    assert student.package, student.problem
    assert student.metrics["accuracy"] > found.forms[0].metrics["accuracy"] - 0.1


@pytest.mark.parametrize("name", ["forest of two", "one for each of two"])
def test_several_numbers_are_pruned_taught_and_judged_by_lists(name: str, forms_of: Run, tmp_path: Path) -> None:
    made = logged(converted(fitted(name)), tmp_path / "m")
    label = pa.FixedSizeListArray.from_arrays(pa.array(BOTH[HALF:].ravel()), 2)
    found = forms_of(made, matrix(), label, margin=10.0)
    assert found.metric == "mae"
    forms = {each.name: each for each in found.forms}
    (version,) = answered(made).values()
    for each in ("75 % of trees", "50 % of trees", "student"):
        form = forms[each]
        assert form.package, form.problem
        (values,) = answered(form.package).values()
        off = np.abs(values - version).mean(axis=0) / np.abs(version - version.mean(axis=0)).mean(axis=0)
        print(name, each, off, form.metrics)
        assert (values.shape, values.dtype) == (version.shape, version.dtype)
        assert (off < 0.4).all()
    assert forms["as it is"].metrics["mae"] == pytest.approx(float(np.abs(version - BOTH[HALF:]).mean()), rel=0.1)
    with pytest.raises(InvalidInput, match="lists of 2"):
        forms_of(made, matrix(), BOTH[HALF:, 0])
    with pytest.raises(InvalidInput, match="2 numbers in every list"):
        forms_of(made, matrix(), pa.array([[1.0]] * HALF))


def test_labels_are_held_against_what_the_classes_are_called(forms_of: Run, tmp_path: Path) -> None:
    words = logged(converted(fitted("boosted words")), tmp_path / "words")
    with pytest.raises(InvalidInput, match="'bad' is no class: the model tells fair, good, poor"):
        forms_of(words, matrix(), np.where(WORDS[HALF:] == "poor", "bad", WORDS[HALF:].astype(str)))
    years = logged(converted(fitted("boosted years")), tmp_path / "years")
    with pytest.raises(InvalidInput, match="'1' is no class: the model tells 2019, 2020, 2031"):
        forms_of(years, matrix(), np.ones(HALF, np.int64))
    floats = forms_of(years, matrix(), YEARS[HALF:].astype(np.float64))
    assert floats.forms[0].metrics["accuracy"] > 0.7


def plain(nodes: list[onnx.NodeProto], outputs: dict[str, tuple[int, Any]], **constants: Any) -> bytes:
    """A package of one matrix."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(NAMES)])],
        [helper.make_tensor_value_info(name, kind, [None, *tail]) for name, (kind, tail) in outputs.items()],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    kinds: dict[int, str] = {TensorProto.FLOAT: "FP32", TensorProto.INT64: "INT64", TensorProto.STRING: "BYTES"}
    signature = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, len(NAMES)]}],
        "outputs": [{"name": n, "datatype": kinds[kind], "shape": [-1, *tail]} for n, (kind, tail) in outputs.items()],
    }
    told = {"bailiwick.format": FORMAT, "bailiwick.signature": json.dumps(signature)}
    helper.set_model_props(model, {**told, "bailiwick.features": "", "bailiwick.names": "[]"})
    return bytes(model.SerializeToString())


def student_of(made: bytes) -> str:
    """Why it has none."""
    rows = {"x": X[:HALF]}
    forms = candidates(made, rows, answers(runtime_of(made), rows), distil=True)
    found = {each.name: each for each in forms}["student"]
    assert (found.package is None) == bool(found.reason)
    return found.reason


def test_why_there_is_no_student_is_said() -> None:
    scores = helper.make_node("MatMul", ["x", "w"], ["scores"])
    wide = plain([scores], {"scores": (TensorProto.FLOAT, [101])}, w=np.ones((6, 101), np.float32))
    assert student_of(wide) == "it answers with 101 numbers a row, and a student learns at most 100"
    rounded = [scores, helper.make_node("Cast", ["scores"], ["said"], to=TensorProto.INT64)]
    alone = plain(rounded, {"said": (TensorProto.INT64, [1])}, w=np.ones((6, 1), np.float32))
    assert "no probabilities or scores that it is the largest of" in student_of(alone)
    nothing = plain([helper.make_node("Abs", ["x"], ["y"])], {"y": (TensorProto.FLOAT, [6])})
    assert "nothing in the graph stands out" in student_of(nothing)
    never = np.eye(6, 3, dtype=np.float32)
    unnamed = plain(
        [
            scores,
            helper.make_node("Add", ["scores", "b"], ["shifted"]),
            helper.make_node("Softmax", ["shifted"], ["p"], axis=1),
            helper.make_node("ArgMax", ["p"], ["place"], axis=1, keepdims=0),
            helper.make_node("Gather", ["names", "place"], ["said"]),
        ],
        {"p": (TensorProto.FLOAT, [3]), "said": (TensorProto.STRING, [])},
        w=never,
        b=np.array([0, 0, -99], np.float32),
        names=np.array(["a", "b", "c"], object),
    )
    assert "no row that it would learn from is of class 2 (counted from 0)" in student_of(unnamed)
    infinite = plain(
        [scores, helper.make_node("Div", ["scores", "z"], ["y"])],
        {"y": (TensorProto.FLOAT, [3])},
        w=never,
        z=np.zeros(3, np.float32),
    )
    assert student_of(infinite) == "its output 'y' is not finite in every row that a student would learn from"


def test_what_is_drawn_for_a_student_weighs_as_much_as_it_is_probable() -> None:
    random = np.random.default_rng(1)
    given = random.dirichlet(np.full(20, 0.1), size=20_000).astype(np.float32)
    rows, labels, weights = as_many_rows(given, most=10**9)
    assert len(rows) < 0.35 * given.size
    sums = np.bincount(labels, weights, minlength=20)
    np.testing.assert_allclose(sums, given.sum(axis=0), rtol=0.02)
    never = np.zeros((500, 3), np.float32)
    never[:, 0] = 1
    assert set(as_many_rows(never)[1].tolist()) == {0, 1, 2}
    assert len(as_many_rows(given, most=1_000)[0]) <= 1_020
