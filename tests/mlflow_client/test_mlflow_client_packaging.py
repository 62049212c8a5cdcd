"""Models that MLflow logged are packaged and served over HTTP, and answer as MLflow's own pyfunc does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests_support import mlflow_client
from tests_support.place import Place
from tests_support.server import is_alive, until

SECONDS = 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    python = mlflow_client.interpreter("3")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BAILIWICK_MODELS_PYTHON", str(python))
        patched.setenv("BAILIWICK_MODELS_SECONDS", str(SECONDS))
        made = Place(tmp_path_factory.mktemp("place"))
        yield made
        assert made.server.stop()[0] == 0


@pytest.fixture(scope="module")
def told(place: Place) -> dict[str, Any]:
    """What MLflow's pyfunc answers; everything packaged and deployed."""
    found: dict[str, Any] = mlflow_client.tell(mlflow_client.interpreter("3"), "log_models", place)
    for name, model in found.items():
        model["version"] = place.command("models", "package", name, "1")
        place.command("endpoints", "deploy", name, "--model", name, "--version", "1")
    for name in found:
        until(lambda name=name: place.deployed(name), f"endpoint {name}")  # type: ignore[misc]
    return found


@pytest.mark.parametrize(
    ("name", "runtime"),
    [("linear", "onnx"), ("unsigned", "onnx"), ("labels", "onnx"), ("chances", "onnx"), ("shop", "python")],
)
def test_what_mlflow_logged_is_served_as_its_pyfunc_answers(
    place: Place, told: dict[str, Any], name: str, runtime: str
) -> None:
    model = told[name]
    parity = model["version"]["parity"]
    assert (parity["runtime"], parity["passed"]) == (runtime, True), parity
    status, answer = place.infer(name, model["rows"])
    assert status == 200, answer
    served = {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in answer["outputs"]}
    assert set(served) == set(model["outputs"])
    for output, expected in model["outputs"].items():
        if isinstance(expected[0], str):
            assert served[output].tolist() == expected
        else:
            np.testing.assert_allclose(served[output], expected, rtol=1e-5, atol=1e-5)


def test_packaging_again_over_the_api_changes_nothing(place: Place, told: dict[str, Any]) -> None:
    asked = urllib.request.Request(
        f"{place.url}/api/v1/models/shop/versions/1/package", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=60) as response:
        assert json.load(response)["package"] == told["shop"]["version"]["package"]


def test_a_model_is_given_the_params_that_it_declares(place: Place, told: dict[str, Any]) -> None:
    shop = told["shop"]
    declared = {"name": "discount", "type": "double", "default": 0.1}
    assert shop["version"]["signature"]["params"] == [declared]
    assert place.score("shop", {"inputs": shop["rows"], "params": {"other": 1}}) == (200, _records(shop["outputs"]))
    cheaper = place.score("shop", {"inputs": shop["rows"], "params": {"discount": 0.5}})
    assert cheaper == (200, _records(shop["cheaper"]))
    status, said = place.score("shop", {"inputs": shop["rows"], "params": {"discount": "half"}})
    assert (status, "'discount': Can not safely convert" in said) == (400, True)
    status, answer = place.infer("shop", shop["rows"], id="cheaper", parameters={"discount": 0.5})
    assert (status, answer["outputs"][0]["data"]) == (200, shop["cheaper"]["price"])


def test_what_a_model_was_given_is_on_record_and_explained(place: Place, told: dict[str, Any]) -> None:
    rows = {name: values[:1] for name, values in told["shop"]["rows"].items()}
    for name, discount in (("half", 0.5), ("none", 0.0)):
        assert place.infer("shop", rows, id=name, parameters={"discount": discount})[0] == 200
    found = place.past("half:0")
    assert found["prediction"]["params"] == {"discount": 0.5}
    explained = [
        place.command("predictions", "explain", f"{name}:0", "--kinds", "shap", "--endpoint", "shop")
        for name in ("half", "none")
    ]
    for each in explained:
        assert each["output"] == pytest.approx(each["recorded"])
    assert explained[1]["output"] == pytest.approx(2 * explained[0]["output"])


def _records(outputs: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]


def test_null_is_refused_where_the_model_refuses_it(place: Place, told: dict[str, Any]) -> None:
    rows = {name: [values[0]] for name, values in told["linear"]["rows"].items()}
    body = [{"name": name, "shape": [1, 1], "datatype": "FP64", "data": [None]} for name in rows]
    asked = urllib.request.Request(
        f"http://127.0.0.1:{place.server.inference}/v2/models/linear/infer", json.dumps({"inputs": body}).encode()
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=30)
    with refused.value as answer:
        assert answer.code == 400
        assert b"null" in answer.read()


def test_a_model_that_crashes_in_a_request_takes_nobody_with_it(place: Place, told: dict[str, Any]) -> None:
    worker = place.server.children()["serve"]
    status, answer = place.infer("shop", {"age": [1.0], "city": ["crash"]})
    assert status == 500
    assert "process ended" in answer["error"]
    assert place.infer("linear", told["linear"]["rows"])[0] == 200
    assert place.infer("shop", told["shop"]["rows"])[0] == 200
    assert place.server.children()["serve"] == worker
    assert is_alive(worker)


def test_a_model_that_raises_says_what_and_goes_on(place: Place, told: dict[str, Any]) -> None:
    status, answer = place.infer("shop", {"age": [1.0], "city": ["raise"]})
    assert (status, "no such city" in answer["error"]) == (500, True)
    assert place.infer("shop", told["shop"]["rows"])[0] == 200


def test_a_model_that_hangs_holds_up_nobody_and_is_ended(place: Place, told: dict[str, Any]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        hanging = pool.submit(place.infer, "shop", {"age": [1.0], "city": ["hang"]})
        time.sleep(0.3)
        for _ in range(20):
            assert place.infer("linear", told["linear"]["rows"])[0] == 200
        assert time.monotonic() - began < SECONDS
        status, answer = hanging.result()
    assert (status, f"within {SECONDS}" in answer["error"] or "seconds" in answer["error"]) == (500, True)
    assert place.infer("shop", told["shop"]["rows"])[0] == 200


def test_predictions_of_python_models_are_on_record(place: Place, told: dict[str, Any]) -> None:
    """The log of a Python model has its inputs and outputs like that of any other."""
    assert place.infer("shop", told["shop"]["rows"])[0] == 200
    table = place.home / "tables"

    def shipped() -> bool:
        return any("shop" in str(path) for path in table.rglob("*.parquet"))

    until(shipped, "the prediction log", 90)


def test_it_is_told_what_runs_a_version(place: Place, told: dict[str, Any]) -> None:
    line = [sys.executable, "-m", "bailiwick", "--home", str(place.home), "models", "show", "shop", "1"]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    shown = ended.stdout
    assert "python: a model of flavour python_function has no conversion to ONNX" in shown
    with urllib.request.urlopen(f"{place.url}/models/shop/versions/1", timeout=30) as response:
        page = response.read().decode()
    assert "has no conversion to ONNX" in page
    with urllib.request.urlopen(f"{place.url}/api/v1/models/shop/versions/1/card", timeout=30) as response:
        card = json.load(response)
    assert any("no conversion to ONNX" in str(section) for section in card["sections"])
