"""Graphs that loop, fold constants of any size or take all memory are ended where they are tried, and the packager goes on."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bailiwick.core.actor import Actor
from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.lifecycle.packaging import graphs as graphs_module
from bailiwick.lifecycle.packaging.graphs import Graphs, tried
from bailiwick.lifecycle.packaging.story import package_version
from bailiwick.lifecycle.platform import Platform
from bailiwick.pyfunc.process import Housing, ModelGone, ModelRaised
from tests_support.logged_models import made_of, register, sklearn_model, write

SECONDS = 2.0


def graph(nodes: list[onnx.NodeProto], **constants: Any) -> bytes:
    """From x, [rows, 1], to y."""
    held = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(held, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return bytes(model.SerializeToString())


def looping() -> bytes:
    """Adds 1 as often as an int64 can count."""
    scalar = helper.make_tensor_value_info
    row: list[str | int | None] = ["rows", 1]
    body = helper.make_graph(
        [
            helper.make_node("Constant", [], ["one"], value_float=1.0),
            helper.make_node("Add", ["v", "one"], ["w"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [scalar("i", TensorProto.INT64, []), scalar("go", TensorProto.BOOL, []), scalar("v", TensorProto.FLOAT, row)],
        [scalar("on", TensorProto.BOOL, []), scalar("w", TensorProto.FLOAT, row)],
    )
    loop = helper.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)
    return graph([loop], times=np.array(2**62), yes=np.array(True))


def huge_when_opened() -> bytes:
    """Products of matrices that ONNX Runtime computes when it folds constants; no input has a part in them."""
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["m0"], value=helper.make_tensor("v", 1, [1], [0.5]))]
    nodes += [helper.make_node("MatMul", [f"m{place}", "m0"], [f"m{place + 1}"]) for place in range(50)]
    nodes += [helper.make_node("ReduceMean", ["m50"], ["mean"]), helper.make_node("Add", ["x", "mean"], ["y"])]
    return graph(nodes, shape=np.array([4_000, 4_000]))


def huge_when_run() -> bytes:
    """One operator, of a size that depends on the input, so that nothing can be folded."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"]),
        helper.make_node("Expand", ["mean", "shape"], ["m"]),
        helper.make_node("MatMul", ["m", "m"], ["p"]),
        helper.make_node("ReduceMean", ["p"], ["q"]),
        helper.make_node("Add", ["x", "q"], ["y"]),
    ]
    return graph(nodes, shape=np.array([14_000, 14_000]))


def all_memory(size: int) -> bytes:
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["m"]),
        helper.make_node("ReduceMean", ["m"], ["mean"]),
        helper.make_node("Add", ["x", "mean"], ["y"]),
    ]
    return graph(nodes, shape=np.array([size]))


def doubling() -> bytes:
    return graph([helper.make_node("Add", ["x", "x"], ["y"])])


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs_module, "OPEN_SECONDS", SECONDS)
    monkeypatch.setattr(graphs_module, "RUN_SECONDS", SECONDS)


@pytest.fixture
def graphs(tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graphs]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with tried(Housing(), SECONDS) as made:
        yield made
    assert list(tmp_path.iterdir()) == []


ROWS = {"x": np.ones((3, 1), np.float32)}


@pytest.mark.parametrize("hostile", [looping, huge_when_run])
def test_a_run_that_does_not_end_is_ended_and_other_graphs_are_opened_anew(hostile: Any, graphs: Graphs) -> None:
    good, bad = graphs.open(doubling()), graphs.open(hostile())
    assert good.run(["y"], ROWS)[0].tolist() == [[2.0]] * 3
    began, process = time.monotonic(), graphs.process
    with pytest.raises(ModelGone, match="took longer for 3 rows, and 2 seconds are allowed") as raised:
        bad.run(["y"], ROWS)
    assert time.monotonic() - began < SECONDS + 3
    assert "models_seconds" in raised.value.hint
    assert not process.alive
    assert good.run(["y"], ROWS)[0].tolist() == [[2.0]] * 3
    assert graphs.process is not process


def test_constants_that_never_end_being_folded_are_ended(graphs: Graphs) -> None:
    began = time.monotonic()
    with pytest.raises(ModelGone, match="took longer to be opened, and 2 seconds are allowed") as raised:
        graphs.open(huge_when_opened())
    assert time.monotonic() - began < SECONDS + 3
    assert "models_seconds" in raised.value.hint


@pytest.mark.parametrize("size", [2**31, 2**40, 2**62])
def test_constants_of_more_memory_than_there_may_be_are_refused(size: int, graphs: Graphs) -> None:
    with pytest.raises(
        (InvalidInput, ModelRaised), match="more memory than models may take, which is 4,294,967,296"
    ) as raised:
        graphs.open(all_memory(size)).run(["y"], ROWS)
    assert "models_memory_bytes" in raised.value.hint
    assert graphs.open(doubling()).run(["y"], ROWS)[0].tolist() == [[2.0]] * 3


def test_how_long_all_runs_may_take_is_bounded(graphs: Graphs) -> None:
    good = graphs.open(doubling())
    good.run(["y"], ROWS)
    graphs._left = 0.0
    with pytest.raises(ModelGone, match="more than 900 seconds for all rows"):
        good.run(["y"], ROWS)


def logged(folder: Path, model: bytes) -> Path:
    write(folder, {"onnx": {"data": "model.onnx"}}, None)
    (folder / "model.onnx").write_bytes(model)
    return folder


def hurried(platform: Platform) -> Platform:
    return replace(platform, settings=replace(platform.settings, models_seconds=1))


@pytest.mark.parametrize("hostile", [looping, huge_when_opened, lambda: all_memory(2**40)])
def test_a_logged_graph_that_is_hostile_is_not_packaged_and_says_why(
    hostile: Any, platform: Platform, admin: Actor, tmp_path: Path, short: None
) -> None:
    register(platform, admin, "late", logged(tmp_path / "m", hostile()))
    with pytest.raises(BailiwickError, match=r"took longer|more memory than models may take") as raised:
        package_version(hurried(platform), admin, "late", 1)
    assert "models_" in raised.value.hint
    assert not platform.registry.version("default", "late", 1).package


@pytest.mark.parametrize("hostile", [looping, huge_when_opened])
def test_a_converter_that_gives_a_hostile_graph_leaves_the_model_python(
    hostile: Any, platform: Platform, admin: Actor, tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is unpickled may have the converter give anything."""
    monkeypatch.setattr(graphs_module, "ALL_SECONDS", SECONDS)
    given = base64.b64encode(hostile()).decode()
    rows = {"x": np.linspace(0, 1, 50)}
    code = (
        "import base64, sys\n"
        "class Model:\n"
        "    def predict(self, rows):\n"
        "        return rows['x'].to_numpy()\n"
        f"sys.modules['bailiwick_worker.converting'].convert_sklearn = lambda *_: base64.b64decode({given!r})\n"
    )
    folder = sklearn_model(tmp_path / "m", made_of(code), rows)
    register(platform, admin, "late", folder)
    version = package_version(hurried(platform), admin, "late", 1)
    assert version.runtime == "python"
    assert "took longer" in version.parity["reason"]
