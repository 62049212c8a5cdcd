"""Experiments, runs and metrics as MLflow's clients ask for them: the shapes they read, the codes and words they look for."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import ClientOf

from bailiwick.lifecycle.platform import Platform
from bailiwick.server.mlflow import experiments, metrics, runs
from tests_support.control import TestClient

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "mlflow"
API = "/api/2.0/mlflow"


def post(client: TestClient, path: str, **body: Any) -> Any:
    return client.post(f"{API}/{path}", json=body)


def ok(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: Any, status: int, code: str, *words: str) -> None:
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    for each in words:
        assert each in answer.json()["message"]


def new_run(client: TestClient, experiment_id: str = "0", **fields: Any) -> str:
    return str(ok(post(client, "runs/create", experiment_id=experiment_id, **fields))["run"]["info"]["run_id"])


def test_a_run_is_told_as_mlflow_tells_it(client: TestClient) -> None:
    """The whole life of a run against a golden file: what every field is called, and which are left out."""
    made = ok(post(client, "experiments/create", name="flights", tags=[{"key": "team", "value": "ops"}]))
    experiment = made["experiment_id"]
    tags = [{"key": "mlflow.parentRunId", "value": "7"}, {"key": "empty"}]
    created = ok(
        post(client, "runs/create", experiment_id=experiment, user_id="ann", run_name="one", start_time=456, tags=tags)
    )
    run_id = created["run"]["info"]["run_id"]
    for value, step in ((0.5, 1), ("NaN", 2), ("Infinity", 0)):
        ok(post(client, "runs/log-metric", run_uuid=run_id, key=f"m{step}", value=value, timestamp="789", step=step))
    ok(post(client, "runs/log-parameter", run_id=run_id, key="depth", value="6"))
    ok(post(client, "runs/set-tag", run_id=run_id, key="mlflow.runName", value="renamed"))
    updated = ok(post(client, "runs/update", run_id=run_id, status="FINISHED", end_time=999))
    told = {
        "created": created,
        "updated": updated,
        "run": ok(client.get(f"{API}/runs/get", params={"run_id": run_id})),
        "page": ok(post(client, "runs/search", experiment_ids=[experiment])),
        "history": ok(client.get(f"{API}/metrics/get-history", params={"run_id": run_id, "metric_key": "m2"})),
        "no history": ok(client.get(f"{API}/metrics/get-history", params={"run_id": run_id, "metric_key": "none"})),
        "bulk": ok(client.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk", params={"run_id": run_id, "metric_key": "m1"})),
        "sample": ok(client.get(f"{API}/metrics/get-history-bulk-interval", params={"run_ids": run_id, "metric_key": "m0"})),
        "experiment": ok(client.get(f"{API}/experiments/get", params={"experiment_id": experiment})),
    }  # fmt: skip
    times = told["experiment"]["experiment"]
    assert times.pop("creation_time") == times.pop("last_update_time") > 0
    text = json.dumps(told, indent=2, sort_keys=True).replace(run_id, "RUN") + "\n"
    assert text == (GOLDEN / "run.json").read_text(encoding="utf-8")


def test_every_workspace_has_the_default_experiment(client: TestClient, as_remote: ClientOf, tokens: Any) -> None:
    for each in (client, as_remote(tokens["stranger"], **{"Bailiwick-Workspace": "elsewhere"})):
        found = ok(each.get(f"{API}/experiments/get-by-name", params={"experiment_name": "Default"}))["experiment"]
        assert (found["experiment_id"], found["lifecycle_stage"]) == ("0", "active")
        assert [one["name"] for one in ok(post(each, "experiments/search"))["experiments"]] == ["Default"]
        assert new_run(each)


@pytest.mark.parametrize("written", ["0\n", " 0", "+0", "0_0", "٠", "abc", "9" * 50, ""])
def test_only_a_plain_whole_number_is_the_id_of_an_experiment(client: TestClient, written: str) -> None:
    asked = client.get(f"{API}/experiments/get", params={"experiment_id": written})
    assert (asked.status_code, asked.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_an_experiment_keeps_its_artifacts_where_it_is_told_or_below_the_root(client: TestClient) -> None:
    def location(**fields: str) -> str:
        made = ok(post(client, "experiments/create", **fields))
        found = ok(client.get(f"{API}/experiments/get", params={"experiment_id": made["experiment_id"]}))
        return str(found["experiment"]["artifact_location"])

    assert location(name="a").startswith("mlflow-artifacts:/")
    assert location(name="b", artifact_location="s3://bucket/x?y=1") == "s3://bucket/x?y=1"
    assert location(name="c", artifact_location="my_location") == str(Path.cwd() / "my_location")
    for bad in ("s3://b/x#y", "runs:/1/x", "x" * 2_049, "http://[", "s3://b?a=../.."):
        refused(post(client, "experiments/create", name="d", artifact_location=bad), 400, "INVALID_PARAMETER_VALUE")


def test_the_life_of_an_experiment(client: TestClient) -> None:
    made = ok(post(client, "experiments/create", name="flights"))["experiment_id"]
    refused(post(client, "experiments/create", name="flights"), 400, "RESOURCE_ALREADY_EXISTS", "flights")
    run = new_run(client, made)
    ok(post(client, "experiments/delete", experiment_id=made))
    refused(
        post(client, "experiments/delete", experiment_id=made), 404, "RESOURCE_DOES_NOT_EXIST", "No Experiment with id"
    )
    refused(post(client, "experiments/create", name="flights"), 400, "RESOURCE_ALREADY_EXISTS")
    refused(post(client, "experiments/update", experiment_id=made, new_name="x"), 409, "INVALID_STATE")
    refused(post(client, "experiments/set-experiment-tag", experiment_id=made, key="a"), 400, "INVALID_PARAMETER_VALUE")
    refused(post(client, "runs/create", experiment_id=made), 400, "INVALID_PARAMETER_VALUE", "in the 'active' state")
    info = ok(client.get(f"{API}/runs/get", params={"run_id": run}))["run"]["info"]
    assert info["lifecycle_stage"] == "deleted"
    ok(post(client, "experiments/restore", experiment_id=made))
    refused(post(client, "experiments/restore", experiment_id=made), 404, "RESOURCE_DOES_NOT_EXIST")
    ok(post(client, "experiments/update", experiment_id=made, new_name="late"))
    refused(post(client, "experiments/update", experiment_id=made, new_name="Default"), 400, "RESOURCE_ALREADY_EXISTS")
    ok(post(client, "experiments/set-experiment-tag", experiment_id=made, key="a", value="b"))
    ok(post(client, "experiments/delete-experiment-tag", experiment_id=made, key="a"))
    refused(
        post(client, "experiments/delete-experiment-tag", experiment_id=made, key="a"),
        404,
        "RESOURCE_DOES_NOT_EXIST",
        f"No tag with name: a in experiment with id {made}",
    )


def test_experiments_are_found_by_get_and_by_post(client: TestClient) -> None:
    for name in ("a", "ab", "Abc"):
        ok(post(client, "experiments/create", name=name, tags=[{"key": "key", "value": name}]))
    asked = {"filter": "name LIKE 'a%'", "order_by": ["name DESC"], "view_type": "ACTIVE_ONLY", "max_results": 1}
    first = ok(post(client, "experiments/search", **asked))
    assert ([each["name"] for each in first["experiments"]], "next_page_token" in first) == (["ab"], True)
    second = ok(client.get(f"{API}/experiments/search", params={**asked, "page_token": first["next_page_token"]}))
    assert ([each["name"] for each in second["experiments"]], "next_page_token" in second) == (["a"], False)
    assert ok(post(client, "experiments/search", filter="tags.key = 'none'")) == {}
    for wrong in ({"filter": "lifecycle = 'x'"}, {"order_by": ["tags.key"]}, {"view_type": "NONE"}, {"max_results": 0},
                  {"max_results": 50_001}, {"page_token": "x"}, {"filter": "experiment_id = 'x'"},
                  {"filter": "creation_time LIKE 'x'"}, {"page_token": first["next_page_token"]}):  # fmt: skip
        refused(post(client, "experiments/search", **wrong), 400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("runs/log-metric", {"run_id": 31, "key": "m", "value": 1, "timestamp": 1}, "Invalid value 31 for parameter 'run_id'"),
        ("runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}, "Missing value for required parameter 'run_id'"),
        ("runs/log-metric", {"run_id": "r", "key": None, "value": 1, "timestamp": 1}, "required parameter 'key'"),
        ("runs/log-metric", {"run_id": "r", "key": "m", "timestamp": 1}, "required parameter 'value'"),
        ("runs/log-metric", {"run_id": "r", "key": "m", "value": "high", "timestamp": 1}, "\"high\" for parameter 'value'"),
        ("runs/log-metric", {"run_id": "r", "key": "m", "value": 1, "timestamp": -1}, "time -1"),
        ("runs/log-metric", {"run_id": "r", "key": "../m", "value": 1, "timestamp": 1}, "metric key '../m'"),
        ("runs/log-parameter", {"run_id": "r", "value": "1"}, "required parameter 'key'"),
        ("runs/set-tag", {"run_id": "r", "key": "k", "value": 41}, "Invalid value 41 for parameter 'value'"),
        ("runs/log-batch", {"run_id": "r", "metrics": "foo"}, "Invalid value \"foo\" for parameter 'metrics'"),
        ("runs/log-batch", {"run_id": "r", "metrics": [{"key": "m", "value": 1}]}, "'metrics[0].timestamp'"),
        ("runs/log-batch", {"run_id": "r", "params": [{"value": "1"}]}, "'params[0].key'"),
        ("runs/log-batch", {"run_id": "../r"}, "for parameter 'run_id'"),
        ("runs/log-batch", {"run_id": "r", "params": [{"key": "a"}, {"key": "a"}]}, "Duplicate parameter keys"),
        ("runs/log-batch", {"run_id": "r", "params": [{"key": f"k{at}"} for at in range(101)]}, "at most 100 params"),
        ("runs/log-batch", {"run_id": "r", "tags": [{"key": f"k{at}"} for at in range(101)]}, "at most 100 tags"),
        (
            "runs/log-batch",
            {"run_id": "r", "metrics": [{"key": "m", "value": at, "timestamp": 1} for at in range(1_001)]},
            "at most 1000 metrics",
        ),
        ("runs/search", {"experiment_ids": ["0"], "max_results": 123456789}, "Invalid value 123456789 for parameter 'max_results' supplied"),
        ("runs/search", {"experiment_ids": ["x"]}, "Invalid experiment ID 'x'"),
        ("runs/search", {"experiment_ids": ["0"], "filter": "metrics.m = 'x'"}, "number"),
        ("runs/search", {"experiment_ids": ["0"], "filter": "params.m = 1"}, "text in quotes"),
        ("runs/search", {"experiment_ids": ["0"], "filter": "params.m > 'x'"}, "comparator"),
        ("runs/search", {"experiment_ids": ["0"], "filter": "nothing.m = 1"}, "nothing"),
        ("runs/search", {"experiment_ids": ["0"], "filter": "color = 'x'"}, "Run attribute 'color'"),
        ("runs/search", {"experiment_ids": ["0"], "filter": "status IN ('x')"}, "comparator"),
        ("runs/search", {"experiment_ids": ["0"], "filter": "start_time = 99999999999999999999"}, "64 bits"),
        ("runs/search", {"experiment_ids": ["0"], "order_by": ["metrics.a", "metrics.a DESC"]}, "duplicate fields"),
        ("runs/search", {"experiment_ids": ["0"], "order_by": ["dataset.name"]}, "cannot be sorted"),
        ("runs/search", {"experiment_ids": ["0"], "page_token": "garbage"}, "page_token"),
        ("runs/search", {"experiment_ids": ["0"], "run_view_type": 9}, "view_type"),
        ("runs/update", {"run_id": "r", "status": "DONE"}, "status"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_the_words_clients_know(
    client: TestClient, path: str, body: dict[str, Any], said: str
) -> None:
    refused(post(client, path, **body), 400, "INVALID_PARAMETER_VALUE", said)


def test_a_batch_over_a_million_bytes_is_refused(client: TestClient) -> None:
    tags = [{"key": f"k{at}", "value": "x" * 20_000} for at in range(60)]
    refused(
        post(client, "runs/log-batch", run_id=new_run(client), tags=tags),
        400,
        "INVALID_PARAMETER_VALUE",
        "1000000 bytes",
    )


def test_params_are_written_once_and_long_texts_are_cut(client: TestClient) -> None:
    run = new_run(client)
    for _ in range(2):
        ok(post(client, "runs/log-parameter", run_id=run, key="k", value="a"))
        ok(
            post(
                client,
                "runs/log-batch",
                run_id=run,
                params=[{"key": "k", "value": "a"}, {"key": "long", "value": "x" * 6_001}],
            )
        )
    single = (
        f"Param with key='k' was already logged with value='a' for run ID='{run}'. Attempted logging new value 'b'."
    )
    refused(post(client, "runs/log-parameter", run_id=run, key="k", value="b"), 400, "INVALID_PARAMETER_VALUE", single)
    batch = f"logged='[{{'key': 'k', 'old_value': 'a', 'new_value': 'b'}}]' for run ID='{run}'"
    params, tags = [{"key": "k", "value": "b"}], [{"key": "t", "value": "v"}]
    refused(post(client, "runs/log-batch", run_id=run, params=params, tags=tags), 400, "INVALID_PARAMETER_VALUE", batch)
    data = ok(client.get(f"{API}/runs/get", params={"run_id": run}))["run"]["data"]
    assert {each["key"]: len(each["value"]) for each in data["params"]} == {"k": 1, "long": 6_000}
    assert [each["key"] for each in data["tags"]] == ["mlflow.runName"]


def test_a_deleted_run_is_read_only_and_a_missing_one_is_not_found(client: TestClient) -> None:
    run = new_run(client)
    ok(post(client, "runs/delete", run_id=run))
    writes = (
        ("runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}),
        ("runs/log-parameter", {"key": "k", "value": "v"}),
        ("runs/set-tag", {"key": "k", "value": "v"}),
        ("runs/delete-tag", {"key": "k"}),
        ("runs/update", {"status": "FINISHED"}),
        ("runs/log-batch", {"tags": [{"key": "k"}]}),
    )
    for path, body in writes:
        said = f"The run {run} must be in the 'active' state. Current state is deleted."
        refused(post(client, path, run_id=run, **body), 400, "INVALID_PARAMETER_VALUE", said)
        refused(post(client, path, run_id="nope", **body), 404, "RESOURCE_DOES_NOT_EXIST", "Run with id=nope not found")
    ok(post(client, "runs/restore", run_id=run))
    refused(post(client, "runs/delete-tag", run_id=run, key="k"), 404, "RESOURCE_DOES_NOT_EXIST", "No tag with name: k")
    for path in ("runs/delete", "runs/restore"):
        refused(post(client, path, run_id="nope"), 404, "RESOURCE_DOES_NOT_EXIST")
    missing = client.get(f"{API}/metrics/get-history", params={"run_id": "nope", "metric_key": "m"})
    refused(missing, 404, "RESOURCE_DOES_NOT_EXIST", "Run with id=nope not found")


def test_pages_of_runs_go_on_where_the_last_one_ended(client: TestClient) -> None:
    made = sorted(new_run(client, start_time=1) for _ in range(5))
    found: list[str] = []
    token = ""
    while True:
        page = ok(post(client, "runs/search", experiment_ids=["0"], max_results=2, page_token=token))
        found += [each["info"]["run_id"] for each in page["runs"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert found == made
    assert ok(post(client, "runs/search", experiment_ids=[])) == {}
    first = ok(post(client, "runs/search", experiment_ids=["0"], max_results=2))["next_page_token"]
    other = post(client, "runs/search", experiment_ids=["0"], filter="metrics.m > 1", page_token=first)
    refused(other, 400, "INVALID_PARAMETER_VALUE", "another query")


def test_histories_come_in_pages_and_bad_requests_for_them_are_named(client: TestClient) -> None:
    run = new_run(client)
    points = [{"key": "m", "value": at, "timestamp": 1_000 + at, "step": at} for at in range(10)]
    ok(post(client, "runs/log-batch", run_id=run, metrics=points))
    url, params = f"{API}/metrics/get-history", {"run_id": run, "metric_key": "m", "max_results": 4}
    first = ok(client.get(url, params=params))
    second = ok(client.get(url, params={**params, "page_token": first["next_page_token"]}))
    third = ok(client.get(url, params={**params, "page_token": second["next_page_token"]}))
    assert [each["step"] for page in (first, second, third) for each in page["metrics"]] == list(range(10))
    assert "next_page_token" not in third
    rest = ok(client.get(url, params={"run_id": run, "metric_key": "m", "page_token": first["next_page_token"]}))
    assert len(rest["metrics"]) == 6
    for wrong in ({"page_token": "x"}, {"max_results": 0}, {"max_results": "many"}):
        refused(client.get(url, params={**params, **wrong}), 400, "INVALID_PARAMETER_VALUE")
    bulk, sample = f"{API}/metrics/get-history-bulk", f"{API}/metrics/get-history-bulk-interval"
    many = [f"id{at}" for at in range(101)]
    for path, asked, said in (
        (bulk, {"metric_key": "m"}, "must specify at least one run_id"),
        (bulk, {"metric_key": "m", "run_id": many}, "cannot specify more than"),
        (bulk, {"run_id": "r"}, "must specify a metric_key"),
        (sample, {"metric_key": "m"}, "Missing value for required parameter 'run_ids'."),
        (sample, {"metric_key": "m", "run_ids": many}, "must specify at most 100 run_ids."),
        (sample, {"metric_key": "", "run_ids": "r"}, "Missing value for required parameter 'metric_key'"),
        (sample, {"metric_key": "m", "run_ids": "r", "max_results": 0}, "max_results must be between 1 and 2500"),
        (sample, {"metric_key": "m", "run_ids": "r", "start_step": 1, "end_step": 0}, "end_step must be greater than start_step. "),
        (sample, {"metric_key": "m", "run_ids": "r", "start_step": 1}, "both must be specified."),
    ):  # fmt: skip
        refused(client.get(path, params=asked), 400, "INVALID_PARAMETER_VALUE", said)
    thin = ok(client.get(sample, params={"run_ids": [run, "nope"], "metric_key": "m", "max_results": 4}))["metrics"]
    assert [each["step"] for each in thin] == [0, 3, 6, 9]
    some = ok(client.get(sample, params={"run_ids": run, "metric_key": "m", "start_step": 2, "end_step": 4}))["metrics"]
    assert [each["step"] for each in some] == [2, 3, 4]
    few = ok(client.get(bulk, params={"run_id": run, "metric_key": "m", "max_results": 3}))["metrics"]
    assert [each["step"] for each in few] == [0, 1, 2]


def test_a_request_sent_again_changes_nothing(client: TestClient) -> None:
    run = new_run(client)
    batch = {
        "metrics": [{"key": "m", "value": "NaN", "timestamp": 5}, {"key": "m", "value": 1.0, "timestamp": 5}],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "a"}, {"key": "t", "value": "b"}],
    }
    told = []
    for _ in range(2):
        ok(post(client, "runs/log-batch", run_id=run, **batch))
        ok(post(client, "runs/log-metric", run_id=run, key="m", value=1.0, timestamp=5))
        ok(post(client, "runs/update", run_id=run, status="FINISHED", end_time=7))
        told.append(ok(client.get(f"{API}/runs/get", params={"run_id": run})))
        history = ok(client.get(f"{API}/metrics/get-history", params={"run_id": run, "metric_key": "m"}))
        assert [each["value"] for each in history["metrics"]] == ["NaN", 1.0]
    assert told[0] == told[1]
    assert {"key": "t", "value": "b"} in told[0]["run"]["data"]["tags"]


def test_viewers_read_and_do_not_write(as_remote: ClientOf, tokens: dict[str, str]) -> None:
    viewer = as_remote(tokens["viewer"])
    whole = {
        "name": "n",
        "new_name": "n",
        "experiment_id": "0",
        "run_id": "r",
        "key": "k",
        "value": "1",
        "timestamp": 1,
    }
    for route in (*experiments.ROUTES, *runs.ROUTES, *metrics.ROUTES):
        fields: dict[str, Any] = {} if route.method == "GET" else {"json": whole}
        answer = viewer.request(route.method, f"/api/2.0{route.path}", **fields)
        reads = route.method == "GET" or route.path.endswith("/search")
        assert (answer.status_code == 403) == (not reads), route.path
        if not reads:
            assert answer.json()["error_code"] == "PERMISSION_DENIED"


def test_a_writer_elsewhere_holds_up_nobody_but_writers(client: TestClient, platform: Platform) -> None:
    """A client that is alone is answered where its request arrives, and must not stop the others there."""
    run_id = new_run(client)
    client.post(f"{API}/runs/log-metric", json={"run_id": run_id, "key": "m", "value": 1, "timestamp": 1})
    other = sqlite3.connect(platform.settings.home / "bailiwick.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("runs/log-metric", {"run_id": run_id, "key": "m", "value": 2, "timestamp": 2}),
        ("runs/update", {"run_id": run_id, "status": "FINISHED"}),
        ("runs/create", {"experiment_id": "0"}),
    ]
    with ThreadPoolExecutor(len(calls)) as executor:
        waiting = [executor.submit(post, client, path, **body) for path, body in calls]
        answers = [client.get(path) for path in ("/health", f"{API}/runs/get?run_id={run_id}") for _ in range(5)]
        assert {answer.status_code for answer in answers} == {200}
        assert not any(each.done() for each in waiting)
        other.execute("ROLLBACK")
        for each in waiting:
            ok(each.result(20))
    other.close()
    assert ok(client.get(f"{API}/runs/get?run_id={run_id}"))["run"]["info"]["status"] == "FINISHED"


def test_a_batch_too_large_to_be_answered_at_once_is_kept_like_any_other(client: TestClient) -> None:
    run_id = new_run(client)
    metrics = [{"key": f"m{n}", "value": n, "timestamp": 1, "step": 0} for n in range(900)]
    ok(post(client, "runs/log-batch", run_id=run_id, metrics=metrics))
    assert len(ok(client.get(f"{API}/runs/get?run_id={run_id}"))["run"]["data"]["metrics"]) == 900
    broken = [*metrics[:-1], {"key": "", "value": 1, "timestamp": 1}]
    answer = post(client, "runs/log-batch", run_id=run_id, metrics=broken)
    refused(answer, 400, "INVALID_PARAMETER_VALUE", "Missing value for required parameter 'metrics[899].key'")
