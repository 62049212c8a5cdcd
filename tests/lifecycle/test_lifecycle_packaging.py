"""Versions that MLflow logged become packages: ONNX where that answers the same, the model itself otherwise."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
import yaml
from onnx import TensorProto, helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from bailiwick.core.actor import Actor
from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput, NotAllowed
from bailiwick.lifecycle.packaging.gate import Reference, answered_though_refused
from bailiwick.lifecycle.packaging.graphs import tried
from bailiwick.lifecycle.packaging.probing import Probes
from bailiwick.lifecycle.packaging.story import package_version
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.releasable import releasable
from bailiwick.lifecycle.transfer import export_version, import_version
from bailiwick.lifecycle.verification import verify_version
from bailiwick.pyfunc.interpreter import NoInterpreter
from bailiwick.pyfunc.mlmodel import read_mlmodel
from bailiwick.pyfunc.params import ParamSpec
from bailiwick.pyfunc.process import Housing, ModelGone, ModelRaised
from bailiwick.registry.model import ModelVersion
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtime import OnnxRuntime
from tests_support.logged_models import Hostile, made_of, register, signature, sklearn_model, write
from tests_support.server import is_alive, until

RANDOM = np.random.default_rng(3)
NUMBERS = {"a": RANDOM.normal(size=400), "b": RANDOM.normal(0, 10, 400)}
MIXED = {
    "age": RANDOM.normal(40, 10, 400),
    "children": RANDOM.integers(0, 5, 400),
    "city": RANDOM.choice(np.array(["rome", "oslo", "lima"], object), 400),
}

Packaged = Callable[..., ModelVersion]


def frame(rows: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(dict(rows))


def targets(rows: pd.DataFrame) -> np.ndarray:
    return np.where((rows.age > 40) & (rows.city != "oslo"), "yes", "no")


@pytest.fixture
def packaged(platform: Platform, admin: Actor) -> Packaged:
    """Register a folder and package it."""

    def run(folder: Path, name: str = "late", **options: Any) -> ModelVersion:
        register(platform, admin, name, folder)
        return package_version(platform, admin, name, 1, **options)

    return run


def stored(platform: Platform, version: ModelVersion, folder: Path) -> Path:
    path = folder / "package"
    path.write_bytes(platform.blobs.get(version.package))
    return path


def test_a_regression_becomes_onnx(platform: Platform, packaged: Packaged, tmp_path: Path) -> None:
    rows = frame(NUMBERS)
    model = LinearRegression().fit(rows, 2 * rows.a - rows.b + 1)
    heard: list[str] = []
    version = packaged(sklearn_model(tmp_path / "m", model, NUMBERS), watch=heard.append)
    assert version.runtime == "onnx"
    assert version.parity["passed"]
    assert version.parity["rows"] >= 1000
    assert version.parity["reason"] == "the parity gate passed"
    assert version.parity["max_error"] < 1e-5
    assert version.environment["confined"]["files"]
    assert heard[0].startswith("Fetching")
    assert version.signature["inputs"] == [  # a linear regression refuses what is not known
        {"name": name, "datatype": "FP64", "shape": [-1, 1], "nullable": False} for name in "ab"
    ]
    runtime = OnnxRuntime(stored(platform, version, tmp_path))
    feed = {"bailiwick.FP64": rows.to_numpy()[:50]}
    np.testing.assert_allclose(runtime.run(feed)[0], model.predict(rows[:50]), rtol=1e-5, atol=1e-5)
    entry = platform.journal.entries("default", limit=1, resource="version/late/1", action="version.packaged")[0]
    assert (entry.detail["runtime"], entry.detail["reason"]) == ("onnx", "the parity gate passed")


@pytest.mark.parametrize("function", ["predict", "predict_proba"])
def test_a_pipeline_with_texts_becomes_onnx(
    platform: Platform, packaged: Packaged, tmp_path: Path, function: str
) -> None:
    rows = frame(MIXED)
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["age", "children"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["city"])]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(rows, targets(rows))
    version = packaged(sklearn_model(tmp_path / "m", model, MIXED, function))
    assert (version.runtime, version.parity["passed"], version.parity["label_flips"]) == ("onnx", True, 0)
    session = onnxruntime.InferenceSession(stored(platform, version, tmp_path).read_bytes())
    feed = {name: rows[name].to_numpy(dtype=object if name == "city" else None)[:, None] for name in rows}
    found = session.run(["predictions"], feed)[0]
    expected = getattr(model, function)(rows)
    if function == "predict":
        assert found.tolist() == expected.tolist()
    else:
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_booster_becomes_onnx(packaged: Packaged, tmp_path: Path) -> None:
    rows = frame(NUMBERS)
    grown = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(rows, (rows.a > 0).astype(int)),
        num_boost_round=20,
    )
    folder = tmp_path / "m"
    folder.mkdir()
    grown.save_model(str(folder / "model.lgb"))
    flavours = {"lightgbm": {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"}}
    version = packaged(write(folder, flavours, signature(NUMBERS), NUMBERS))
    assert version.runtime == "onnx", version.parity
    assert version.signature["outputs"] == [{"name": "predictions", "datatype": "FP32", "shape": [-1]}]


PARAMS = [{"name": "top", "type": "long", "default": 3, "shape": None}]


def with_params(folder: Path) -> Path:
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["signature"]["params"] = json.dumps(PARAMS)
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    return folder


def test_params_that_mean_nothing_to_a_model_are_held_to_their_types_by_its_graph(
    platform: Platform, packaged: Packaged, tmp_path: Path
) -> None:
    rows = frame(NUMBERS)
    model = LinearRegression().fit(rows, rows.a)
    version = packaged(with_params(sklearn_model(tmp_path / "m", model, NUMBERS)))
    assert version.runtime == "onnx"
    assert version.signature["params"] == [{"name": "top", "type": "long", "default": 3}]
    runtime = OnnxRuntime(stored(platform, version, tmp_path))
    assert runtime.signature.params == (ParamSpec("top", "long", 3),)


def test_a_model_that_is_given_params_is_no_graph_and_needs_mlflow(packaged: Packaged, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    flavours = {"xgboost": {"data": "model.ubj", "model_class": "xgboost.core.Booster"}}
    write(folder, flavours, signature(NUMBERS), NUMBERS)
    assert read_mlmodel(folder).convertible == "xgboost"
    known = read_mlmodel(with_params(folder))
    assert (known.convertible, known.needs_params) == ("", True)
    with pytest.raises((ModelRaised, NoInterpreter), match=r"mlflow|xgboost"):
        packaged(folder)


def test_an_onnx_model_is_taken_as_it_is(platform: Platform, packaged: Packaged, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    folder = write(tmp_path / "m", {"onnx": {"data": "model.onnx"}}, None)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    version = packaged(folder)
    assert version.runtime == "onnx"
    assert version.parity["max_error"] == 0
    assert version.signature == {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
    }
    runtime = OnnxRuntime(stored(platform, version, tmp_path))
    runtime.warm_up()
    assert runtime.run({"x": np.ones((2, 3), np.float32)})[0].tolist() == [3, 3]


def graph_folder(
    folder: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: Mapping[str, Any] = {},
    *,
    opset: int = 17,
) -> Path:
    tensors = [onnx.numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    write(folder, {"onnx": {"data": "model.onnx"}}, None)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def value(name: str, kind: int = TensorProto.FLOAT, shape: Any = ("rows", 2)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, None if shape is None else list(shape))


IDENTITY = [helper.make_node("Identity", ["x"], ["y"])]


@pytest.mark.parametrize(
    ("nodes", "inputs", "outputs", "said"),
    [
        ([helper.make_node("Frob", ["x"], ["y"])], [value("x")], [value("y")], "ONNX Runtime does not take the model"),
        ([helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)], [value("x")], [value("y", shape=())], r"shape \[\]"),
        (IDENTITY, [value("x", shape=(1, 2))], [value("y")], "takes 1 rows at a time"),
        (IDENTITY, [value("x", shape=("rows", "k"))], [value("y")], "only the first dimension"),
        (IDENTITY, [value("x", shape=())], [value("y")], "has no dimensions"),
        (IDENTITY, [value("x", shape=None)], [value("y")], "has no dimensions"),
        (IDENTITY, [value("x", TensorProto.COMPLEX64)], [value("y", TensorProto.COMPLEX64)], "COMPLEX64"),
        (
            [helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)],
            [helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)],
            [value("y")],
            "is no tensor",
        ),
        (
            [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)],
            [value("x")],
            [value("y", TensorProto.FLOAT8E4M3FN)],
            "float8e4m3fn",
        ),
        ([helper.make_node("SequenceConstruct", ["x"], ["y"])], [value("x")],
         [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)], "gives no tensor"),
    ],
)  # fmt: skip
def test_an_onnx_model_that_cannot_be_served_row_by_row_is_refused_in_words(
    packaged: Packaged,
    tmp_path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    said: str,
) -> None:
    with pytest.raises(InvalidInput, match=said):
        packaged(graph_folder(tmp_path / "m", nodes, inputs, outputs, opset=19))


def test_an_onnx_model_whose_rows_depend_on_one_another_is_refused(packaged: Packaged, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    with pytest.raises(CheckFailed, match="when other rows are asked with them"):
        packaged(graph_folder(tmp_path / "m", nodes, [value("x")], [value("y")]))


def test_probabilities_in_maps_become_a_column_for_each_class(
    platform: Platform, packaged: Packaged, tmp_path: Path
) -> None:
    rows = np.hstack([NUMBERS["a"][:, None], NUMBERS["b"][:, None]]).astype(np.float32)
    classes = np.array(["no", "perhaps", "yes"])[(rows[:, 0] > 0).astype(int) + (rows[:, 1] > 0)]
    fitted = LogisticRegression(max_iter=500).fit(rows, classes)
    folder = write(tmp_path / "m", {"onnx": {"data": "model.onnx"}}, None)
    (folder / "model.onnx").write_bytes(skl2onnx.to_onnx(fitted, rows[:1], target_opset=17).SerializeToString())
    version = packaged(folder)
    assert version.signature["outputs"] == [
        {"name": "output_label", "datatype": "BYTES", "shape": [-1]},
        {"name": "output_probability", "datatype": "FP32", "shape": [-1, 3]},
    ]
    assert "output_probability has a column for each of no, perhaps, yes" in version.parity["reason"]
    runtime = OnnxRuntime(stored(platform, version, tmp_path))
    runtime.warm_up()
    label, probability = runtime.run({"X": rows[:50]})
    assert label.tolist() == fitted.predict(rows[:50]).tolist()
    np.testing.assert_allclose(probability, fitted.predict_proba(rows[:50]), atol=1e-5)


def test_a_table_of_few_rows_is_looked_up_in(packaged: Packaged, tmp_path: Path) -> None:
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
    ids = [value("x", TensorProto.INT64, ("rows", 6))]
    folder = graph_folder(
        tmp_path / "m", nodes, ids, [value("y", shape=("rows", 6))], {"table": np.array([0.5, 1.5], np.float32)}
    )
    assert packaged(folder).parity["passed"]


def test_the_logged_example_says_what_an_onnx_model_takes(packaged: Packaged, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sub", ["x", "base"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    ]
    constants = {"base": np.array([500_000]), "table": np.array([0.5, 1.5], np.float32)}
    folder = graph_folder(tmp_path / "m", nodes, [value("x", TensorProto.INT64)], [value("y")], constants)
    with pytest.raises(CheckFailed, match="answers none of"):
        packaged(folder, "without")
    document = {
        "saved_input_example_info": {"artifact_path": "example.json"},
        "flavors": {"onnx": {"data": "model.onnx"}},
    }
    (folder / "MLmodel").write_text(json.dumps(document))
    (folder / "example.json").write_text(json.dumps({"inputs": [[500_000, 500_001]]}))
    assert packaged(folder, "with").parity["passed"]


def test_bfloat16_goes_in_and_out(platform: Platform, packaged: Packaged, tmp_path: Path) -> None:
    kind = TensorProto.BFLOAT16
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Cast", ["x"], ["z"], to=TensorProto.FLOAT)]
    version = packaged(graph_folder(tmp_path / "m", nodes, [value("x", kind)], [value("y", kind), value("z")]))
    assert [(each["name"], each["datatype"]) for each in version.signature["inputs"]] == [("x", "BF16")]
    assert [(each["name"], each["datatype"]) for each in version.signature["outputs"]] == [("y", "BF16"), ("z", "FP32")]
    runtime = OnnxRuntime(stored(platform, version, tmp_path))
    runtime.warm_up()
    assert runtime.run({"x": np.array([[1.5, 1.0039062]], np.float32)})[0].tolist() == [[1.5, 1]]


def test_an_onnx_model_may_not_name_files_of_this_machine(
    packaged: Packaged, platform: Platform, tmp_path: Path
) -> None:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [0.0])
    del tensor.float_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", str(platform.settings.home / "bailiwick.db")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "leak",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [tensor],
    )
    folder = write(tmp_path / "m", {"onnx": {"data": "model.onnx"}}, None)
    (folder / "model.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(InvalidInput, match="in another file"):
        packaged(folder)
    inner = onnx.load_model_from_string((folder / "model.onnx").read_bytes())
    path = tmp_path / "served.onnx"
    path.write_bytes(inner.SerializeToString())
    with pytest.raises(InvalidInput, match="in another file"):
        OnnxRuntime(path)


def test_a_model_without_a_conversion_stays_python_and_says_why(
    platform: Platform, packaged: Packaged, tmp_path: Path
) -> None:
    rows = frame(NUMBERS)
    model = make_pipeline(FunctionTransformer(np.tanh), LinearRegression()).fit(rows, rows.a)
    version = packaged(sklearn_model(tmp_path / "m", model, NUMBERS))
    assert version.runtime == "python"
    assert "conversion to ONNX failed" in version.parity["reason"]
    assert version.parity["passed"]  # the package, loaded anew, answers as the model did
    runtime = PythonModels.of(platform.settings).open(stored(platform, version, tmp_path))
    runtime.warm_up()
    found = runtime.run({"bailiwick.FP64": rows.to_numpy()[:50]})[0]
    np.testing.assert_array_equal(found, model.predict(rows[:50]))
    runtime.close()


def test_a_graph_that_answers_otherwise_does_not_pass_the_gate(packaged: Packaged, tmp_path: Path) -> None:
    """A known trap: calibrated boosters convert without a word, and answer something else."""
    rows = frame(NUMBERS)
    booster = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1)
    model = CalibratedClassifierCV(booster, cv=3).fit(rows, rows.a > 0)
    version = packaged(sklearn_model(tmp_path / "m", model, NUMBERS, "predict_proba"))
    assert version.runtime == "python"
    assert "answers otherwise" in version.parity["reason"]
    attempt = version.parity["onnx"]
    assert attempt["passed"] is False
    assert attempt["label_flips"] > 0
    assert attempt["max_error"] > 0.1
    assert set(attempt["worst"]["row"]) == {"a", "b"}


def test_a_graph_that_differs_only_where_values_are_missing_may_refuse_those(
    platform: Platform, packaged: Packaged, tmp_path: Path
) -> None:
    rows = frame(NUMBERS)
    folder = sklearn_model(
        tmp_path / "m", RandomForestClassifier(10, random_state=0).fit(rows, rows.a > 0), NUMBERS, "predict_proba"
    )
    as_it_is = packaged(folder, "forest")
    assert as_it_is.runtime == "python"
    assert "only where a value is null" in as_it_is.parity["reason"]
    narrowed = packaged(folder, "narrowed", refuse_nulls=True)
    assert narrowed.runtime == "onnx"
    assert "null is refused" in narrowed.parity["reason"]
    assert [each["nullable"] for each in narrowed.signature["inputs"]] == [False, False]
    assert [spec.null for spec in OnnxRuntime(stored(platform, narrowed, tmp_path)).signature.inputs] == [None, None]


def test_rows_that_the_model_refuses_are_refused_by_its_graph(packaged: Packaged, tmp_path: Path) -> None:
    """The encoder raises for a city that it has not seen, and so does the graph: that is agreement."""
    rows = frame(MIXED)
    columns = ColumnTransformer([("c", OneHotEncoder(handle_unknown="error"), ["city"])], remainder="drop")
    model = make_pipeline(columns, LogisticRegression()).fit(rows, targets(rows))
    version = packaged(sklearn_model(tmp_path / "m", model, MIXED))
    assert (version.runtime, version.parity["passed"]) == ("onnx", True)


def test_a_histogram_booster_that_the_converter_breaks_stays_python(packaged: Packaged, tmp_path: Path) -> None:
    rows = frame(NUMBERS)
    model = HistGradientBoostingClassifier(max_iter=10).fit(rows, rows.a > 0)
    version = packaged(sklearn_model(tmp_path / "m", model, NUMBERS))
    assert (version.runtime, version.parity["passed"]) == ("python", True)
    assert "conversion to ONNX failed" in version.parity["reason"]


def test_rows_that_only_the_graph_answers_are_counted() -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "same", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    probes = Probes({"x": np.zeros((3, 1), np.float32)}, 0, 3)
    known = Reference(probes, {}, [], {"x": np.ones((2, 1), np.float32)}, frozenset(), 0)
    with tried(Housing(), 30) as graphs:
        assert answered_though_refused(graphs.open(model.SerializeToString()), known, ["y"]) == 2


def test_it_is_done_once(platform: Platform, admin: Actor, packaged: Packaged, tmp_path: Path) -> None:
    rows = frame(NUMBERS)
    first = packaged(sklearn_model(tmp_path / "m", LinearRegression().fit(rows, rows.a), NUMBERS))
    assert package_version(platform, admin, "late", 1) == first
    assert len(platform.journal.entries("default", limit=9, resource="version/late/1", action="version.packaged")) == 1


def test_two_at_once_attach_one_package(platform: Platform, admin: Actor, tmp_path: Path) -> None:
    rows = frame(NUMBERS)
    model = make_pipeline(FunctionTransformer(np.tanh), LinearRegression()).fit(rows, rows.a)
    register(platform, admin, "late", sklearn_model(tmp_path / "m", model, NUMBERS))
    found: list[str] = []
    both = [
        threading.Thread(target=lambda: found.append(package_version(platform, admin, "late", 1).package))
        for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(found) == 2
    assert len(set(found)) == 1


def test_a_pass_that_is_killed_leaves_no_process_and_is_made_again(
    platform: Platform, admin: Actor, tmp_path: Path
) -> None:
    code = """
import time
time.sleep(3)
class Model:
    def predict(self, rows): return rows["a"] * 2
"""
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(made_of(code)))
    flavours = {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "pickle"}}
    register(platform, admin, "late", write(folder, flavours, signature(NUMBERS)))
    line = [sys.executable, "-m", "bailiwick", "--home", str(platform.settings.home), "models", "package", "late", "1"]
    first = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    while "Loading the model" not in first.stderr.readline():
        assert first.poll() is None
    until(lambda: _workers_of(first.pid), "the model's process")
    below = _workers_of(first.pid)
    first.kill()
    first.wait()
    first.stderr.close()
    until(lambda: not any(is_alive(pid) for pid in below), "their end", 20)
    assert platform.registry.version("default", "late", 1).package == ""
    again = subprocess.run([*line, "--json"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    version = platform.registry.version("default", "late", 1)
    assert (version.package, version.runtime) == (json.loads(again.stdout)["package"], "python")


def _workers_of(pid: int) -> list[int]:
    """Everything that a process started, and what that started."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid:
                found += [int(entry.name), *_workers_of(int(entry.name))]
    return found


def test_who_may_not_write_models_may_not_package(platform: Platform, viewer: Actor) -> None:
    with pytest.raises(NotAllowed):
        package_version(platform, viewer, "late", 1)


def test_files_that_are_kept_elsewhere_cannot_be_packaged(platform: Platform, admin: Actor) -> None:
    platform.registry.create_model(admin, "far")
    platform.registry.create_version(admin, "far", source="s3://bucket/model")
    with pytest.raises(Conflict, match="not kept here"):
        package_version(platform, admin, "far", 1)


def unsigned(folder: Path) -> Path:
    """Without a signature and without an example."""
    document = yaml.safe_load((folder / "MLmodel").read_text())
    for each in ("signature", "saved_input_example_info"):
        document.pop(each, None)
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    return folder


def test_a_model_says_itself_what_columns_it_was_taught(platform: Platform, packaged: Packaged, tmp_path: Path) -> None:
    rows = frame(MIXED)
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer([("c", texts, ["city"]), ("n", StandardScaler(), ["age", "children"])])
    model = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(rows, targets(rows))
    version = packaged(unsigned(sklearn_model(tmp_path / "m", model, MIXED)))
    assert {each["name"]: each["datatype"] for each in version.signature["inputs"]} == {
        "age": "FP64",
        "children": "FP64",
        "city": "BYTES",
    }
    assert version.parity["rows"] >= 1000


def test_a_model_of_numbers_says_how_many(platform: Platform, packaged: Packaged, tmp_path: Path) -> None:
    rows = frame(NUMBERS)
    model = LinearRegression().fit(rows.to_numpy(), 2 * rows.a - rows.b)
    version = packaged(unsigned(sklearn_model(tmp_path / "m", model, NUMBERS)))
    assert (version.runtime, version.signature["inputs"][0]["shape"]) == ("onnx", [-1, 2])
    runtime = OnnxRuntime(stored(platform, version, tmp_path))
    (name,) = [block.name for block in runtime.blocks]
    np.testing.assert_allclose(runtime.run({name: rows.to_numpy()[:9]})[0], model.predict(rows.to_numpy()[:9]), 1e-5)


@pytest.mark.parametrize("named", [True, False])
def test_a_booster_says_what_it_was_taught(packaged: Packaged, tmp_path: Path, named: bool) -> None:
    rows = frame(NUMBERS)
    taught = rows if named else rows.to_numpy()
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    grown = lightgbm.train(settings, lightgbm.Dataset(taught, (rows.a > 0).astype(int)), num_boost_round=5)
    folder = tmp_path / "m"
    folder.mkdir()
    grown.save_model(str(folder / "model.lgb"))
    flavours = {"lightgbm": {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"}}
    version = packaged(write(folder, flavours, None))
    assert version.runtime == "onnx", version.parity
    assert [each["name"] for each in version.signature["inputs"]] == (["a", "b"] if named else ["input"])


def test_an_input_example_stands_for_a_signature(platform: Platform, packaged: Packaged, tmp_path: Path) -> None:
    rows = frame(MIXED)
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["age", "children"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["city"])]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(rows, targets(rows))
    folder = sklearn_model(tmp_path / "m", model, MIXED)
    document = yaml.safe_load((folder / "MLmodel").read_text())
    del document["signature"]
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    version = packaged(folder)
    assert version.runtime == "onnx", version.parity
    assert [(each["name"], each["datatype"]) for each in version.signature["inputs"]] == [
        ("age", "FP64"),
        ("children", "INT64"),
        ("city", "BYTES"),
    ]
    entry = platform.journal.entries("default", limit=1, resource="version/late/1", action="version.packaged")[0]
    assert entry.detail["runtime"] == "onnx"


def test_what_is_no_model_is_refused(packaged: Packaged, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.txt").write_text("hello")
    with pytest.raises(InvalidInput, match="no file MLmodel"):
        packaged(tmp_path / "m")


def test_files_that_are_kept_elsewhere_may_be_handed_over(platform: Platform, admin: Actor, tmp_path: Path) -> None:
    rows = frame(NUMBERS)
    folder = sklearn_model(tmp_path / "m", LinearRegression().fit(rows, rows.a), NUMBERS)
    platform.registry.create_model(admin, "far")
    platform.registry.create_version(admin, "far", source="s3://bucket/model")
    version = package_version(platform, admin, "far", 1, given=folder)
    assert (version.runtime, len(version.parity["given"])) == ("onnx", 64)
    register(platform, admin, "near", folder)
    assert package_version(platform, admin, "near", 1, given=folder).package == version.package
    register(platform, admin, "other", sklearn_model(tmp_path / "o", LinearRegression().fit(rows, rows.b), NUMBERS))
    with pytest.raises(CheckFailed, match="not the files of other version 1"):
        package_version(platform, admin, "other", 1, given=folder)
    (folder / "link").symlink_to("/etc/passwd")
    platform.registry.create_version(admin, "far", source="s3://bucket/model")
    with pytest.raises(InvalidInput, match="no plain file"):
        package_version(platform, admin, "far", 2, given=folder)
    with pytest.raises(InvalidInput, match="is no folder"):
        package_version(platform, admin, "far", 2, given=tmp_path / "nowhere")


# -- models that mean harm ---------------------------------------------------------------------------------------------

PREDICTS = """
import numpy as np
class Model:
    def predict(self, rows): return np.zeros(len(rows))
"""


def hostile(folder: Path, code: str) -> Path:
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(Hostile(code)))
    flavours = {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "pickle"}}
    return write(folder, flavours, signature(NUMBERS), NUMBERS)


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("open({home!r} + '/bailiwick.db', 'rb').read()", "PermissionError"),
        ("__import__('os').listdir({home!r})", "PermissionError"),
        ("open({home!r} + '/blobs/x', 'w')", "PermissionError"),
        ("raise ValueError(__import__('os').environ['BAILIWICK_TOKEN'])", "KeyError"),
        ("__import__('socket').create_connection(('127.0.0.1', 8600))", "PermissionError"),
        (
            "__import__('os').system('true') == 0 or (_ for _ in ()).throw(PermissionError('no shell'))",
            "PermissionError",
        ),
        ("[__import__('os').fork() for _ in range(1000)]", "PermissionError"),
        ("bytearray(64 << 30)", "MemoryError"),
        ("__import__('os').kill(-1, 9)", "PermissionError"),
    ],
)
def test_a_pickle_that_means_harm_is_contained(
    platform: Platform, packaged: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, raised: str
) -> None:
    monkeypatch.setenv("BAILIWICK_TOKEN", "secret")
    with pytest.raises(ModelRaised, match=raised):
        packaged(hostile(tmp_path / "m", code.format(home=str(platform.settings.home))))
    assert platform.registry.version("default", "late", 1).package == ""


@pytest.mark.parametrize(
    "code", ["__import__('os')._exit(0)", "__import__('os').abort()", "__import__('ctypes').string_at(0)"]
)
def test_a_pickle_that_dies_fails_alone(packaged: Packaged, tmp_path: Path, code: str) -> None:
    with pytest.raises(ModelGone, match="process ended"):
        packaged(hostile(tmp_path / "m", code))


def test_a_pickle_that_never_ends_is_ended(packaged: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bailiwick.lifecycle.packaging.children.LOAD_SECONDS", 4.0)
    with pytest.raises(ModelGone, match="within 4 seconds"):
        packaged(hostile(tmp_path / "m", "while True: pass"))


def test_a_model_that_writes_nonsense_into_the_stream_is_ended(packaged: Packaged, tmp_path: Path) -> None:
    code = "import sys, os; os.write(int(sys.argv[1]), b'\\xff\\xff\\xff\\xff')"
    with pytest.raises(ModelGone, match="nonsense"):
        packaged(hostile(tmp_path / "m", code))


def test_a_version_whose_every_row_fails_gets_no_package(packaged: Packaged, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="answers none"):
        packaged(sklearn_model(tmp_path / "m", LinearRegression(), NUMBERS))  # it was never fitted


# -- what happens to a Python package afterwards -----------------------------------------------------------------------


def test_a_python_package_is_verified_exported_imported_and_deployed_like_any_other(
    platform: Platform, admin: Actor, packaged: Packaged, tmp_path: Path
) -> None:
    rows = frame(NUMBERS)
    model = make_pipeline(FunctionTransformer(np.tanh), LinearRegression()).fit(rows, rows.a)
    version = packaged(sklearn_model(tmp_path / "m", model, NUMBERS))
    assert all(check.passed for check in verify_version(platform, "default", "late", 1))
    archive = export_version(platform, "default", "late", 1, tmp_path / "late.zip")
    assert archive.member("package.tar") is not None
    arrived = import_version(platform, admin, tmp_path / "late.zip", model="again")
    assert (arrived.package, arrived.runtime) == (version.package, "python")
    chosen = releasable(platform, admin, "late", 1)
    endpoint = platform.endpoints.deploy(admin, "late", model="late", version=1, package=chosen.package)
    assert endpoint.variants[0].package == version.package


def test_scratch_is_left_nowhere(packaged: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir(mode=0o711)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    rows = frame(NUMBERS)
    packaged(sklearn_model(tmp_path / "m", LinearRegression().fit(rows, rows.a), NUMBERS))
    assert list(scratch.iterdir()) == []
