"""A package of our own pipeline, as the folder that MLflow's clients load: the proxy makes it when it is asked for."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.contents import read_mlmodel
from bailiwick.registry.model import ModelVersion
from tests_support.control import TestClient
from tests_support.serving import package_bytes

API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
ADMIN = Actor("u-ada", "ada", "default", frozenset(Permission))
ENVIRONMENT = {"python": "3.11.9", "packages": {"onnx": "1.20.0", "onnxruntime": "1.24.0", "lightgbm": "4.5.0"}}
FILES = ["MLmodel", "code/bailiwick_package.py", "conda.yaml", "model.onnx", "python_env.yaml", "requirements.txt"]


@pytest.fixture
def late(platform: Platform) -> ModelVersion:
    data = package_bytes(1)
    facts: dict[str, Any] = {name: {} for name in ("metrics", "slices", "parity", "parameters")}
    columns = [("x", "FP32"), ("carrier", "BYTES")]
    signature = {
        "inputs": [{"name": name, "datatype": kind, "shape": [-1, 1]} for name, kind in columns],
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
    }
    return platform.registry.register(
        ADMIN,
        "late",
        package=platform.blobs.put(data),
        run_id="",
        snapshot="",
        signature=signature,
        environment=ENVIRONMENT,
        code_version="",
        **facts,
    )


def folder(client: TestClient) -> str:
    answer = client.get(f"{API}/model-versions/get-download-uri", params={"name": "late", "version": "1"})
    assert answer.status_code == 200, answer.text
    uri = str(answer.json()["artifact_uri"])
    assert uri.startswith("mlflow-artifacts:/")
    return uri.removeprefix("mlflow-artifacts:/")


def download(client: TestClient, target: Path) -> list[str]:
    """As MLflow's clients do: a listing a folder, then each file."""
    root, waiting, found = folder(client), [""], []
    while waiting:
        here = waiting.pop()
        listed = client.get(PROXY, params={"path": f"{root}/{here}".rstrip("/")}).json()["files"]
        for each in listed:
            path = f"{here}/{each['path']}".lstrip("/")
            if each["is_dir"]:
                waiting.append(path)
                continue
            answer = client.get(f"{PROXY}/{root}/{path}")
            assert answer.status_code == 200
            assert len(answer.content) == each["file_size"] == int(answer.headers["content-length"])
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(answer.content)
            found.append(path)
    return sorted(found)


def test_a_client_downloads_the_package_and_what_loads_it(
    client: TestClient, platform: Platform, late: ModelVersion, tmp_path: Path
) -> None:
    assert download(client, tmp_path) == FILES
    assert (tmp_path / "model.onnx").read_bytes() == platform.blobs.get(late.package)
    told = read_mlmodel((tmp_path / "MLmodel").read_bytes())
    assert told["flavors"] == {"onnx": "1.20.0", "python_function": ""}
    assert [each["name"] for each in told["signature"]["inputs"]] == [each["name"] for each in late.signature["inputs"]]
    assert (tmp_path / "requirements.txt").read_text().splitlines() == [
        "mlflow",
        "onnx==1.20.0",
        "onnxruntime==1.24.0",
        "numpy",
        "pandas",
    ]
    assert told["python_version"] == json.loads((tmp_path / "python_env.yaml").read_text())["python"] == "3.11.9"


def test_what_comes_along_answers_as_the_package_does(client: TestClient, late: ModelVersion, tmp_path: Path) -> None:
    del late
    download(client, tmp_path)
    spec = importlib.util.spec_from_file_location("bailiwick_package", tmp_path / "code" / "bailiwick_package.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded = module._load_pyfunc(str(tmp_path / "model.onnx"))
    answered = loaded.predict({"x": [1.0, 2.5, 7], "carrier": np.array(["AA", None, "UA"], dtype=object)})
    assert {name: list(values) for name, values in answered.items()} == {"probability": [1011.0, 1002.5, 1027.0]}


def test_the_same_package_is_the_same_folder(client: TestClient, late: ModelVersion, tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        download(client, tmp_path / name)
        digests.append([hashlib.sha256((tmp_path / name / path).read_bytes()).hexdigest() for path in FILES])
    assert digests[0] == digests[1]
    assert late.package in folder(client)


@pytest.mark.parametrize("path", ["x", "code", "code/x.py", "../x", "%2e%2e/x", "model.onnx/x"])
def test_what_is_not_in_the_folder_is_not_found(client: TestClient, late: ModelVersion, path: str) -> None:
    del late
    assert client.get(f"{PROXY}/{folder(client)}/{path}").status_code in {400, 404}


def test_nobody_writes_there(client: TestClient, late: ModelVersion) -> None:
    del late
    for path in (f"{folder(client)}/MLmodel", ".bailiwick/x", ".bailiwick"):
        assert client.put(f"{PROXY}/{path}", content=b"x").status_code == 400
        assert client.delete(f"{PROXY}/{path}").status_code == 400


def test_a_package_of_another_workspace_or_of_nobody_is_not_found(
    client: TestClient, platform: Platform, late: ModelVersion
) -> None:
    root = folder(client)
    platform.workspaces.create(ADMIN, "away")
    for headers in ({"X-MLFLOW-WORKSPACE": "away"}, {}):
        path = root if headers else f".bailiwick/packages/{'a' * 64}"
        assert client.get(PROXY, params={"path": path}, headers=headers).status_code == 404
        assert client.get(f"{PROXY}/{path}/MLmodel", headers=headers).status_code == 404
    platform.registry.delete_version(ADMIN, "late", late.number)
    assert client.get(f"{PROXY}/{root}/model.onnx").status_code == 404


def test_a_browser_gets_a_file_by_the_version(client: TestClient, late: ModelVersion) -> None:
    answer = client.get("/model-versions/get-artifact", params={"name": "late", "version": "1", "path": "MLmodel"})
    assert answer.status_code == 200
    assert late.package in answer.text
