"""Logged models, datasets and run inputs over HTTP answer as MLflow's own server does, and bad input is told what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.mlflow import run_links
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.lineage.model import Dataset, DatasetInput, ModelOutput, RunLinks
from bailiwick.tracking.logged_models.model import ModelMetric
from bailiwick.tracking.logged_models.service import log_model_metrics
from bailiwick.tracking.model import RunInput
from tests_support.control import TestClient
from tests_support.source import ROOT

GOLDEN = ROOT / "tests" / "golden" / "mlflow" / "logged_models.jsonl"
MODELS = "/api/2.0/mlflow/logged-models"
SNAPSHOT = "0190c0de" * 4


@pytest.fixture
def admin(platform: Platform) -> Actor:
    return platform.identities.local_admin("default")


@pytest.fixture
def experiment(platform: Platform, admin: Actor) -> str:
    return platform.tracking.create_experiment(admin, "x", artifact_location="mlflow-artifacts:/1").id


@pytest.fixture
def run(platform: Platform, admin: Actor, experiment: str) -> str:
    assert experiment
    return platform.tracking.start_run(admin, "x").id


def _measure(platform: Platform, actor: Actor, metrics: list[ModelMetric]) -> None:
    with platform.records.change(actor, Permission.TRACKING_WRITE) as change:
        log_model_metrics(change, metrics)
        change.record("run.logged", "run/x")


class Replay:
    """Sends recorded requests with our ids in place of the recorded ones, and puts the names back into the answers."""

    def __init__(self, client: TestClient, platform: Platform, actor: Actor, run: str) -> None:
        self._client = client
        self._platform = platform
        self._actor = actor
        self._known = {"<run>": run}

    def answer(self, step: dict[str, Any]) -> dict[str, Any]:
        """What we answer, in the form of the recording."""
        asked = json.loads(self._with_ids(json.dumps({key: step.get(key) for key in ("path", "body", "query")})))
        if step.get("platform"):
            return self._by_platform(step, asked["body"])
        answer = self._client.request(step["method"], asked["path"], json=asked["body"], params=asked["query"])
        told = answer.json()
        if answer.status_code != 200:
            return {"status": answer.status_code, "answer": {"error_code": told["error_code"]}}
        if step["path"] == MODELS:
            made = sum(name.startswith("<model-") for name in self._known) + 1
            self._known[f"<model-{made}>"] = told["model"]["info"]["model_id"]
            if not step["body"].get("name"):
                self._known[f"<name>{made}"] = told["model"]["info"]["name"]
        return {"status": 200, "answer": self._without_ids(told)}

    def shown(self) -> dict[str, Any]:
        """The run's inputs and outputs, as they are shown with it."""
        run = self._known["<run>"]
        links = self._platform.run_lineage.links("default", [run])[run]
        told = {"inputs": run_links.inputs_json(links), "outputs": run_links.outputs_json(links)}
        return self._without_ids(told)

    def tag(self) -> str:
        """Where models among the run's files are listed."""
        value = self._platform.tracking.run("default", self._known["<run>"]).tags["mlflow.log-model.history"]
        return value.replace(self._known["<run>"], "<run>")

    def _by_platform(self, step: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """What other routes do: metrics of models come with those of runs, experiments are deleted."""
        if step["path"].endswith("experiments/delete"):
            self._platform.tracking.delete_experiment(self._actor, body["experiment_id"])
        else:
            points = [
                ModelMetric(
                    model_id=each["model_id"],
                    run_id=body["run_id"],
                    key=each["key"],
                    value=float(each["value"]),
                    time=each["timestamp"],
                    step=each["step"],
                    dataset_name=each.get("dataset_name", ""),
                    dataset_digest=each.get("dataset_digest", ""),
                )
                for each in body["metrics"]
            ]
            _measure(self._platform, self._actor, points)
        return {"status": 200, "answer": {}}

    def _with_ids(self, text: str) -> str:
        for name, value in self._known.items():
            text = text.replace(name, value)
        return text

    def _without_ids(self, told: Any) -> dict[str, Any]:
        text = json.dumps(told)
        for name, value in self._known.items():
            text = text.replace(value, "<name>" if name.startswith("<name>") else name)
        named: dict[str, Any] = json.loads(text, object_hook=_timeless)
        return named


def _timeless(fields: dict[str, Any]) -> dict[str, Any]:
    for name in ("creation_timestamp_ms", "last_updated_timestamp_ms"):
        if name in fields:
            fields[name] = 0
    if "next_page_token" in fields:
        fields["next_page_token"] = "<token>"
    return fields


def _in_any_order(answer: dict[str, Any]) -> dict[str, Any]:
    """MLflow says datasets of experiments and params in whatever order its database has."""
    found = answer.get("answer", {}).get("dataset_summaries")
    if found:
        answer["answer"]["dataset_summaries"] = sorted(found, key=lambda each: each["name"])
    return answer


def test_each_recorded_request_is_answered_as_mlflow_answered_it(
    client: TestClient, platform: Platform, admin: Actor, run: str
) -> None:
    """Recorded from MLflow 3.17.2; error messages are our own, their codes are not."""
    replay, clock = Replay(client, platform, admin, run), platform.records.clock
    assert isinstance(clock, FakeClock)
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        step = json.loads(line)
        if "inputs" in step:
            assert replay.shown() == step
        elif "tag" in step:
            assert json.loads(replay.tag()) == json.loads(step["tag"])
        else:
            clock.advance(1)
            expected = {"status": step["status"], "answer": step["answer"]}
            said = f"{step['method']} {step['path']} {step.get('body') or step.get('query')}"
            assert _in_any_order(replay.answer(step)) == _in_any_order(expected), said


def test_the_golden_file_is_not_empty_talk() -> None:
    assert len(GOLDEN.read_text(encoding="utf-8").splitlines()) >= 70
    assert Path(GOLDEN).suffix == ".jsonl"


def _made(client: TestClient, experiment: str, **fields: object) -> str:
    answer = client.post(MODELS, json={"experiment_id": experiment, **fields})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["model"]["info"]["model_id"])


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", MODELS, {"experiment_id": ""}, "Missing value for required parameter 'experiment_id'."),
        ("POST", MODELS, {"experiment_id": 1}, "Invalid value 1 for parameter 'experiment_id' supplied"),
        ("POST", MODELS, {"experiment_id": "1", "name": "a.b"}, "Invalid model name 'a.b'"),
        ("PATCH", f"{MODELS}/m-1", {"status": "NOBODY"}, "Unknown model status 'NOBODY'"),
        ("PATCH", f"{MODELS}/m-1", {"status": 7}, "Unknown model status 7"),
        ("PATCH", f"{MODELS}/m-1", {"status": 1}, "choose one of: FAILED, READY"),
        ("POST", f"{MODELS}/search", {"experiment_ids": ["1"], "filter": "Foo"}, "Invalid filter string: 'Foo'"),
        ("POST", f"{MODELS}/search", {"experiment_ids": ["1"], "filter": "name > 'a'"}, "Invalid comparison operator"),
        ("POST", f"{MODELS}/search", {"experiment_ids": ["1"], "max_results": -1}, "Invalid value -1 for parameter"),
        ("POST", f"{MODELS}/search", {"experiment_ids": ["1"], "page_token": "x"}, "page_token 'x'"),
        ("POST", f"{MODELS}/search", {"experiment_ids": [1]}, "Invalid value [1] for parameter 'experiment_ids'"),
        ("POST", f"{MODELS}/search", {"experiment_ids": ["1"], "order_by": [{"field_name": "x"}]}, "order by field"),
        ("POST", "/api/2.0/mlflow/runs/log-model", {"run_id": "r", "model_json": "[]"}, "Malformed model info."),
        (
            "POST",
            "/api/2.0/mlflow/runs/log-model",
            {"run_id": "r", "model_json": "[" * 99_999},
            "Malformed model info.",
        ),
        (
            "POST",
            "/api/2.0/mlflow/runs/log-model",
            {"run_id": "r", "model_json": '{"run_id": "r", "flavors": {}}'},
            "Model json is missing mandatory fields: {'artifact_path', 'utc_time_created'}",
        ),
        (
            "POST",
            "/ajax-api/2.0/mlflow/experiments/search-datasets",
            {"experiment_ids": [f"id_{place}" for place in range(1000)]},
            "SearchDatasets request cannot specify more than 20 experiment_ids. Received 1000",
        ),
    ],
)
def test_bad_requests_are_told_what_is_wrong(
    client: TestClient, experiment: str, method: str, path: str, body: dict[str, object], said: str
) -> None:
    assert experiment == "1"
    answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert said in answer.json()["message"]


@pytest.mark.parametrize("model_id", ["m-1", "%00", "a%2Fb", "m-" + "g" * 32, "..", "%F0%9F%9C%81"])
def test_what_is_no_model_is_not_found_whatever_it_is_called(client: TestClient, model_id: str) -> None:
    for method, below, body in (
        ("GET", "", None),
        ("DELETE", "", {}),
        ("PATCH", "", {"status": "LOGGED_MODEL_READY"}),
        ("PATCH", "/tags", {"tags": [{"key": "a", "value": "b"}]}),
        ("DELETE", "/tags/a", {}),
        ("POST", "/params", {"params": [{"key": "a", "value": "b"}]}),
    ):
        answer = client.request(method, f"{MODELS}/{model_id}{below}", json=body)
        assert answer.status_code in {404, 405}, (method, below)


def test_a_tags_key_may_have_slashes(client: TestClient, experiment: str) -> None:
    made = _made(client, experiment, tags=[{"key": "a/b c", "value": "v"}])
    assert client.request("DELETE", f"{MODELS}/{made}/tags/a%2Fb%20c", json={}).json() == {}
    assert "tags" not in client.get(f"{MODELS}/{made}").json()["model"]["info"]


def test_not_a_number_goes_out_as_a_text(
    client: TestClient, platform: Platform, admin: Actor, experiment: str, run: str
) -> None:
    made = _made(client, experiment)
    _measure(platform, admin, [ModelMetric(made, run, "m", math.nan, 5)])
    metric = client.get(f"{MODELS}/{made}").json()["model"]["data"]["metrics"][0]
    assert metric == {"key": "m", "value": "NaN", "timestamp": 5, "step": 0, "model_id": made, "run_id": run}


def test_the_pages_of_a_search_join(client: TestClient, experiment: str) -> None:
    made = {_made(client, experiment) for _ in range(5)}
    found: list[str] = []
    token = ""
    while True:
        body = {"experiment_ids": [experiment], "max_results": 2, "page_token": token}
        page = client.post(f"{MODELS}/search", json=body).json()
        found += [model["info"]["model_id"] for model in page["models"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert len(found) == 5
    assert set(found) == made


def test_readers_read_and_other_workspaces_see_nothing(
    client: TestClient, as_remote: ClientOf, tokens: dict[str, str], experiment: str
) -> None:
    made = _made(client, experiment)
    viewer, stranger = as_remote(tokens["viewer"]), as_remote(tokens["stranger"])
    assert viewer.get(f"{MODELS}/{made}").status_code == 200
    assert viewer.post(MODELS, json={"experiment_id": experiment}).json()["error_code"] == "PERMISSION_DENIED"
    assert stranger.get(f"{MODELS}/{made}").status_code in {401, 403, 404}
    assert as_remote().get(f"{MODELS}/{made}").status_code == 401


def test_a_run_shows_the_snapshots_it_read_as_datasets() -> None:
    described = DatasetInput(Dataset("flights", "d", "local", "s", snapshot=SNAPSHOT), {"a": "b"})
    links = RunLinks((described,), ("m-1",), (ModelOutput("m-2", 3),))
    own = [RunInput(SNAPSHOT, "training"), RunInput("other", "test")]
    shown = run_links.inputs_json(links, own)
    assert shown["dataset_inputs"] == [
        {
            "tags": [{"key": "a", "value": "b"}, {"key": "bailiwick.snapshot", "value": SNAPSHOT}],
            "dataset": {"name": "flights", "digest": "d", "source_type": "local", "source": "s"},
        },
        {
            "tags": [
                {"key": "bailiwick.snapshot", "value": "other"},
                {"key": "mlflow.data.context", "value": "test"},
            ],
            "dataset": {
                "name": "other",
                "digest": "other",
                "source_type": "bailiwick",
                "source": '{"snapshot": "other"}',
            },
        },
    ]
    assert run_links.outputs_json(links) == {"model_outputs": [{"model_id": "m-2", "step": 3}]}
    assert run_links.inputs_json(None) == {}
    assert run_links.outputs_json(None) == {}
