"""Versions that no MLflow client registered are loaded by an unmodified one: our own packages, and what came as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.transfer import export_version, import_version
from tests_support import mlflow_client
from tests_support.mlflow_client import Control
from tests_support.serving import package_bytes

ADMIN = Actor("u-ada", "ada", "default", frozenset(Permission))


@pytest.fixture(params=["2", "3"])
def python(request: pytest.FixtureRequest) -> Path:
    return mlflow_client.interpreter(request.param)


@pytest.fixture
def controls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Control]]:
    """Two servers that know nothing of each other."""
    running = [Control(tmp_path_factory.mktemp(name)) for name in ("here", "there")]
    yield running
    for each in running:
        each.stop()


def _load(python: Path, control: Control, uri: str, columns: dict[str, list[Any]]) -> Any:
    return mlflow_client.tell(python, "load_version", control, uri, json.dumps(columns))


def test_a_package_of_the_pipeline_is_loaded_by_its_alias(python: Path, controls: list[Control]) -> None:
    platform = open_platform(Settings(home=controls[0].home))
    try:
        columns = [("x", "FP32"), ("carrier", "BYTES")]
        signature = {
            "inputs": [{"name": name, "datatype": kind, "shape": [-1, 1]} for name, kind in columns],
            "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
        }
        facts: dict[str, Any] = {name: {} for name in ("metrics", "slices", "parity", "environment", "parameters")}
        package = platform.blobs.put(package_bytes(1))
        platform.registry.register(
            ADMIN, "late", package=package, run_id="", snapshot="", code_version="", signature=signature, **facts
        )
        platform.registry.set_alias(ADMIN, "late", "champion", 1)
    finally:
        platform.close()
    found = _load(python, controls[0], "models:/late@champion", {"x": [1.0, 2.5], "carrier": ["AA", "UA"]})
    assert (found["flavors"], found["inputs"]) == (["onnx", "python_function"], ["x", "carrier"])
    assert {"MLmodel", "model.onnx", "code/bailiwick_package.py", "requirements.txt"} <= {*found["files"]}
    assert found["predictions"] in (None, [1011.0, 1022.5])  # None: the client's environment has no ONNX Runtime
    assert found["onnx"] in (None, ["x", "carrier"])


def test_a_version_that_came_as_a_file_is_loaded_where_it_arrived(
    python: Path, controls: list[Control], tmp_path: Path
) -> None:
    here, there = controls
    assert mlflow_client.tell(python, "notebook", here)["registry"]["predictions"]
    for control, deed in ((here, export_version), (there, import_version)):
        platform = open_platform(Settings(home=control.home))
        try:
            if deed is export_version:
                export_version(platform, "default", "iris", 1, tmp_path / "iris.zip")
            else:
                import_version(platform, ADMIN, tmp_path / "iris.zip")
        finally:
            platform.close()
    columns = {f"{part} {size} (cm)": [5.1, 6.2] for part in ("sepal", "petal") for size in ("length", "width")}
    found = [_load(python, control, "models:/iris/1", columns) for control in controls]
    assert found[0]["predictions"] is not None
    assert found[1]["predictions"] == found[0]["predictions"]
    assert {name: found[1][name] for name in ("flavors", "inputs")} == {
        name: found[0][name] for name in ("flavors", "inputs")
    }
