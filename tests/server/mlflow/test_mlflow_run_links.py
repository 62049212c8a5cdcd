"""Runs show what they read and made; metrics of a logged model are kept for it and for the run; searches know datasets."""

from __future__ import annotations

from typing import Any

import pytest

from tests_support.control import TestClient

API = "/api/2.0/mlflow"


def _send(client: TestClient, path: str, **body: object) -> dict[str, Any]:
    answer = client.post(f"{API}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture
def run(client: TestClient) -> str:
    return str(_send(client, "runs/create", experiment_id="0")["run"]["info"]["run_id"])


@pytest.fixture
def model(client: TestClient, run: str) -> str:
    made = _send(client, "logged-models", experiment_id="0", source_run_id=run)
    return str(made["model"]["info"]["model_id"])


def _run(client: TestClient, run: str) -> dict[str, Any]:
    told: dict[str, Any] = client.get(f"{API}/runs/get", params={"run_id": run}).json()["run"]
    return told


def test_a_logged_model_may_be_the_first_thing_that_is_made(client: TestClient) -> None:
    info = _send(client, "logged-models", experiment_id="0")["model"]["info"]
    assert info["artifact_uri"] == f"mlflow-artifacts:/0/models/{info['model_id']}/artifacts"


def test_a_run_shows_what_it_read_and_made_wherever_it_is_shown(client: TestClient, run: str, model: str) -> None:
    assert (_run(client, run)["inputs"], _run(client, run)["outputs"]) == ({}, {})
    dataset = {"name": "flights", "digest": "d", "source_type": "local", "source": "s"}
    read = {"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "training"}]}
    _send(client, "runs/log-inputs", run_id=run, datasets=[read], models=[{"model_id": model}])
    _send(client, "runs/outputs", run_id=run, models=[{"model_id": model, "step": 3}])
    shown = {
        "inputs": {"dataset_inputs": [read], "model_inputs": [{"model_id": model}]},
        "outputs": {"model_outputs": [{"model_id": model, "step": 3}]},
    }
    found = _send(client, "runs/search", experiment_ids=["0"])["runs"][0]
    for told in (_run(client, run), found):
        assert {key: told[key] for key in shown} == shown


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dataset.name = 'flights'", True),
        ("datasets.digest IN ('d', 'e') AND dataset.context LIKE 'train%'", True),
        ("dataset.name ILIKE 'FLIGHTS' AND attributes.status = 'RUNNING'", True),
        ("dataset.name LIKE 'FLIGHTS'", False),
        ("dataset.context = 'test'", False),
    ],
)
def test_runs_are_found_by_what_they_read(client: TestClient, run: str, text: str, found: bool) -> None:
    _send(client, "runs/create", experiment_id="0")
    dataset = {"name": "flights", "digest": "d", "source_type": "local", "source": "s"}
    read = {"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "training"}]}
    _send(client, "runs/log-inputs", run_id=run, datasets=[read])
    told = _send(client, "runs/search", experiment_ids=["0"], filter=text).get("runs", [])
    assert [each["info"]["run_id"] for each in told] == ([run] if found else [])


def test_a_metric_of_a_model_is_kept_for_the_run_and_for_the_model(client: TestClient, run: str, model: str) -> None:
    on = {"model_id": model, "dataset_name": "flights", "dataset_digest": "d"}
    batch = {"key": "auc", "value": 0.5, "timestamp": 1, "step": 2, **on}
    _send(client, "runs/log-batch", run_id=run, metrics=[batch, {"key": "loss", "value": 1, "timestamp": 1}])
    _send(client, "runs/log-metric", run_id=run, key="f1", value=0.25, timestamp=3, model_id=model)
    _send(client, "runs/log-metric", run_id=run, key="f1", value=0.25, timestamp=3, model_id=model)
    told = client.get(f"{API}/logged-models/{model}").json()["model"]["data"]["metrics"]
    assert told == [
        {**batch, "run_id": run},
        {"key": "f1", "value": 0.25, "timestamp": 3, "step": 0, "model_id": model, "run_id": run},
    ]
    assert {each["key"] for each in _run(client, run)["data"]["metrics"]} == {"auc", "f1", "loss"}


def test_a_batch_with_a_model_nobody_knows_leaves_nothing_behind(client: TestClient, run: str) -> None:
    point = {"key": "auc", "value": 0.5, "timestamp": 1, "model_id": "m-nobody"}
    answer = client.post(f"{API}/runs/log-batch", json={"run_id": run, "metrics": [point]})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "metrics" not in _run(client, run)["data"]


def test_models_of_clients_before_mlflow_3_are_listed_in_the_runs_tag(client: TestClient, run: str) -> None:
    info = '{"run_id": "r", "artifact_path": "m", "utc_time_created": "2020", "flavors": {"sklearn": {}}}'
    _send(client, "runs/log-model", run_id=run, model_json=info)
    tags = {tag["key"]: tag["value"] for tag in _run(client, run)["data"]["tags"]}
    assert tags["mlflow.log-model.history"] == (
        '[{"run_id": "r", "utc_time_created": "2020", "artifact_path": "m", "flavors": {"sklearn": {}}}]'
    )
