"""`/graphql`: what MLflow's pages read through it, how it says what is wrong, and what it does not let itself be asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event
from tests.server.conftest import ClientOf

from bailiwick.lifecycle.platform import Platform
from bailiwick.server.mlflow import graphql
from bailiwick.tracking.service import TrackingService
from tests_support.control import TestClient

API = "/api/2.0/mlflow"
UNKNOWN = "0" * 32
RUN_PAGE = """
query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetRun(input: $data) {
    apiError { helpUrl code message }
    run {
      info { runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId }
      experiment { experimentId name tags { key value } artifactLocation lifecycleStage lastUpdateTime workspace }
      modelVersions { status version name source }
      data { metrics { key value step timestamp } params { key value } tags { key value } }
      inputs {
        datasetInputs { dataset { digest name profile schema source sourceType } tags { key value } }
        modelInputs { modelId }
      }
      outputs { modelOutputs { modelId step } }
    }
  }
}
"""
SEARCH = """
mutation ($data: MlflowSearchRunsInput) {
  mlflowSearchRuns(input: $data) {
    nextPageToken
    runs { info { runId } experiment { name } modelVersions { name version creationTimestamp } }
  }
}
"""
POINTS = """
query ($data: MlflowGetMetricHistoryBulkIntervalInput!) {
  mlflowGetMetricHistoryBulkInterval(input: $data) {
    __typename metrics { timestamp step runId key value } apiError { code message }
  }
}
"""


def send(client: TestClient, path: str, **body: object) -> Any:
    answer = client.post(f"{API}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def answered(client: TestClient, query: str, **variables: object) -> dict[str, Any]:
    """The whole answer, which has status 200 whether there is an error or not."""
    answer = client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert set(told) == {"data", "errors"}
    return told


def data_of(client: TestClient, query: str, **variables: object) -> Any:
    told = answered(client, query, **variables)
    assert told["errors"] is None
    return told["data"]


def error_of(client: TestClient, query: str, **variables: object) -> str:
    told = answered(client, query, **variables)
    assert told["errors"]
    assert all(isinstance(each, str) for each in told["errors"])
    return str(told["errors"][0])


@pytest.fixture
def experiment(client: TestClient) -> str:
    made = send(client, "experiments/create", name="flights", tags=[{"key": "team", "value": "ops"}])
    return str(made["experiment_id"])


@pytest.fixture
def new_run(client: TestClient, experiment: str) -> Callable[[], str]:
    def make() -> str:
        made = send(client, "runs/create", experiment_id=experiment, start_time=1_000, run_name="first", user_id="ana")
        return str(made["run"]["info"]["run_id"])

    return make


@pytest.fixture
def run(new_run: Callable[[], str]) -> str:
    return new_run()


def register(client: TestClient, name: str, run: str) -> None:
    if client.get(f"{API}/registered-models/get", params={"name": name}).status_code == 404:
        send(client, "registered-models/create", name=name)
    send(client, "model-versions/create", name=name, source=f"runs:/{run}/model", run_id=run)


# -- what is read ------------------------------------------------------------------------------------------------------


def test_the_page_of_a_run_finds_all_that_it_shows(client: TestClient, experiment: str, run: str) -> None:
    model = send(client, "logged-models", experiment_id=experiment, source_run_id=run)["model"]["info"]["model_id"]
    send(client, "runs/outputs", run_id=run, models=[{"model_id": model, "step": 3}])
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "s"}
    send(client, "runs/log-inputs", run_id=run, datasets=[{"dataset": dataset}])
    send(client, "runs/log-metric", run_id=run, key="auc", value=0.5, timestamp=2**41, step=2**40)
    send(client, "runs/log-parameter", run_id=run, key="depth", value="6")
    register(client, "late", run)
    shown = data_of(client, RUN_PAGE, data={"runId": run})["mlflowGetRun"]
    assert shown["apiError"] is None
    found = shown["run"]
    assert found["info"] == {
        "runName": "first",
        "status": "RUNNING",
        "runUuid": run,
        "experimentId": experiment,
        "artifactUri": f"mlflow-artifacts:/{experiment}/{run}/artifacts",
        "endTime": "0",
        "lifecycleStage": "active",
        "startTime": "1000",
        "userId": "ana",
    }
    assert found["data"] == {
        "metrics": [{"key": "auc", "value": 0.5, "step": str(2**40), "timestamp": str(2**41)}],
        "params": [{"key": "depth", "value": "6"}],
        "tags": [{"key": "mlflow.runName", "value": "first"}],
    }
    described = {"digest": "1", "name": "d", "profile": "", "schema": "", "source": "s", "sourceType": "local"}
    assert found["inputs"] == {"datasetInputs": [{"dataset": described, "tags": []}], "modelInputs": []}
    assert found["outputs"] == {"modelOutputs": [{"modelId": model, "step": "3"}]}
    assert found["modelVersions"] == [
        {"status": "READY", "version": "1", "name": "late", "source": f"runs:/{run}/model"}
    ]
    assert found["experiment"]["workspace"] == "default"
    assert (found["experiment"]["name"], found["experiment"]["tags"]) == ("flights", [{"key": "team", "value": "ops"}])
    assert data_of(client, RUN_PAGE, data={"runUuid": run})["mlflowGetRun"] == shown


def test_an_experiment_is_found_by_its_id(client: TestClient, experiment: str) -> None:
    query = "query ($input: MlflowGetExperimentInput!) { mlflowGetExperiment(input: $input) { experiment { name } } }"
    found = data_of(client, query, input={"experimentId": experiment})
    assert found == {"mlflowGetExperiment": {"experiment": {"name": "flights"}}}


def test_doubles_that_graphql_does_not_have_are_shown_as_mlflows_pages_know_them(client: TestClient, run: str) -> None:
    for step, value in enumerate(("NaN", "Infinity", "-Infinity", 1.5)):
        send(client, "runs/log-metric", run_id=run, key="loss", value=value, timestamp=1, step=step)
    asked = {"runIds": [run], "metricKey": "loss", "startStep": None, "endStep": None, "maxResults": 320}
    shown = data_of(client, POINTS, data=asked)["mlflowGetMetricHistoryBulkInterval"]
    assert shown["__typename"] == "MlflowGetMetricHistoryBulkIntervalResponse"
    assert shown["apiError"] is None
    assert [each["value"] for each in shown["metrics"]] == [None, sys.float_info.max, -sys.float_info.max, 1.5]
    assert shown["metrics"][3] == {"timestamp": "1", "step": "3", "runId": run, "key": "loss", "value": 1.5}


def test_artifacts_are_listed_a_level_at_a_time(client: TestClient, experiment: str, run: str) -> None:
    root = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts"
    for path in ("a.txt", "sub/b.txt"):
        assert client.put(f"{root}/{path}", content=b"hello").status_code == 200
    query = "query ($d: MlflowListArtifactsInput) { mlflowListArtifacts(input: $d) { files { path isDir fileSize } } }"
    files = data_of(client, query, d={"runId": run})["mlflowListArtifacts"]["files"]
    assert files == [
        {"path": "a.txt", "isDir": False, "fileSize": "5"},
        {"path": "sub", "isDir": True, "fileSize": "0"},
    ]
    below = data_of(client, query, d={"runUuid": run, "path": "sub"})["mlflowListArtifacts"]["files"]
    assert below == [{"path": "sub/b.txt", "isDir": False, "fileSize": "5"}]


def test_datasets_of_experiments_are_found(client: TestClient, experiment: str, run: str) -> None:
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "s"}
    send(client, "runs/log-inputs", run_id=run, datasets=[{"dataset": dataset}])
    query = "mutation ($d: MlflowSearchDatasetsInput) { mlflowSearchDatasets(input: $d) { datasetSummaries { experimentId name digest context } } }"
    found = data_of(client, query, d={"experimentIds": [experiment]})["mlflowSearchDatasets"]["datasetSummaries"]
    assert found == [{"experimentId": experiment, "name": "d", "digest": "1", "context": ""}]


@pytest.mark.parametrize("most", ["2", 2])
def test_versions_are_found_a_page_at_a_time(client: TestClient, run: str, most: object) -> None:
    for _ in range(3):
        register(client, "late", run)
    query = "query ($d: MlflowSearchModelVersionsInput) { mlflowSearchModelVersions(input: $d) { nextPageToken modelVersions { version tags { key } aliases deploymentJobState { jobId jobState } } } }"
    asked = {"filter": "name = 'late'", "maxResults": most, "orderBy": ["version_number DESC"]}
    first = data_of(client, query, d=asked)["mlflowSearchModelVersions"]
    unset = {"tags": [], "aliases": [], "deploymentJobState": {"jobId": "", "jobState": None}}
    assert first["modelVersions"] == [{"version": "3", **unset}, {"version": "2", **unset}]
    rest = data_of(client, query, d={**asked, "pageToken": first["nextPageToken"]})["mlflowSearchModelVersions"]
    assert (rest["modelVersions"], rest["nextPageToken"]) == ([{"version": "1", **unset}], "")


@pytest.mark.parametrize("kind", ["query", "mutation"])
def test_runs_are_searched_with_what_belongs_to_them(
    client: TestClient, experiment: str, new_run: Callable[[], str], kind: str
) -> None:
    first, second = new_run(), new_run()
    for _ in range(2):
        register(client, "late", first)
    register(client, "other", second)
    asked = {"experimentIds": [experiment, "0"], "runViewType": "ALL", "orderBy": ["attribute.run_name"]}
    query = SEARCH.replace("mutation", kind)
    found = {each["info"]["runId"]: each for each in data_of(client, query, data=asked)["mlflowSearchRuns"]["runs"]}
    assert {each["experiment"]["name"] for each in found.values()} == {"flights"}
    made = {run: sorted((v["name"], v["version"]) for v in each["modelVersions"]) for run, each in found.items()}
    assert made == {first: [("late", "1"), ("late", "2")], second: [("other", "1")]}


def test_a_page_of_runs_costs_as_many_queries_as_one_run(
    client: TestClient, platform: Platform, experiment: str, new_run: Callable[[], str]
) -> None:
    statements: list[str] = []
    event.listen(platform.database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    def cost() -> int:
        statements.clear()
        data_of(client, SEARCH, data={"experimentIds": [experiment]})
        return len(statements)

    for made in range(6):
        run = new_run()
        register(client, "late", run)
        if made == 0:
            one = cost()
    assert cost() == one


def test_a_page_has_no_more_runs_than_can_be_shown_at_once(
    client: TestClient, experiment: str, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {new_run() for _ in range(3)}
    monkeypatch.setattr(graphql, "MAX_RUNS", 2)
    first = data_of(client, SEARCH, data={"experimentIds": [experiment], "maxResults": 50})["mlflowSearchRuns"]
    assert len(first["runs"]) == 2
    asked = {"experimentIds": [experiment], "maxResults": 50, "pageToken": first["nextPageToken"]}
    rest = data_of(client, SEARCH, data=asked)["mlflowSearchRuns"]
    assert {each["info"]["runId"] for each in first["runs"] + rest["runs"]} == runs
    assert "at most 50000" in error_of(client, SEARCH, data={"experimentIds": [experiment], "maxResults": 50_001})


def test_a_text_comes_back(client: TestClient) -> None:
    assert data_of(client, '{ test(inputString: "abc") { output } }') == {"test": {"output": "abc"}}
    assert data_of(client, "{ test { output } }") == {"test": {"output": ""}}
    shown = data_of(client, 'mutation { testMutation(inputString: "abc") { __typename output } }')
    assert shown == {"testMutation": {"__typename": "TestMutation", "output": "abc"}}


def test_a_query_may_come_in_the_url(client: TestClient, run: str) -> None:
    query = "query A { test { output } } query B($id: String) { mlflowGetRun(input: {runId: $id}) { run { info { runId } } } }"
    asked = {"query": query, "operationName": "B", "variables": f'{{"id": "{run}"}}'}
    assert client.get("/graphql", params=asked).json()["data"]["mlflowGetRun"]["run"] == {"info": {"runId": run}}
    refused = client.get("/graphql", params={**asked, "variables": "[1]"})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        "apiError { code message helpUrl }",
        "... on MlflowGetRunResponse { apiError { code message helpUrl } }",
        "...Told",
    ],
)
def test_an_error_is_told_where_the_query_asks_for_it(client: TestClient, error: str) -> None:
    query = f'{{ mlflowGetRun(input: {{runId: "{UNKNOWN}"}}) {{ run {{ info {{ runId }} }} {error} }} }}'
    if "Told" in error:
        query += " fragment Told on MlflowGetRunResponse { apiError { code message helpUrl } }"
    told = {"code": "RESOURCE_DOES_NOT_EXIST", "message": f"Run with id={UNKNOWN} not found", "helpUrl": None}
    assert data_of(client, query) == {"mlflowGetRun": {"run": None, "apiError": told}}


@pytest.mark.parametrize("error", ["", "apiError @skip(if: true) { code }"])
def test_an_error_that_the_query_does_not_ask_for_is_among_the_errors(client: TestClient, error: str) -> None:
    told = answered(
        client, f'{{ mlflowGetRun(input: {{runId: "{UNKNOWN}"}}) {{ run {{ info {{ runId }} }} {error} }} }}'
    )
    assert told == {"data": {"mlflowGetRun": None}, "errors": [f"Run with id={UNKNOWN} not found"]}


def test_what_is_wrong_with_one_field_leaves_the_others(client: TestClient) -> None:
    told = answered(
        client, '{ test(inputString: "a") { output } mlflowGetRun(input: {runId: "x"}) { run { info { runId } } } }'
    )
    assert told == {"data": {"test": {"output": "a"}, "mlflowGetRun": None}, "errors": ["Run with id=x not found"]}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("{ mlflowGetRun { run { info { runId } } } }", "Missing value for required parameter 'run_id'"),
        ("{ mlflowGetRun(input: null) { run { info { runId } } } }", "Missing value for required parameter 'run_id'"),
        ('{ mlflowGetExperiment(input: {experimentId: "99"}) { experiment { name } } }', "No Experiment with id=99"),
        ("{ mlflowGetExperiment(input: {experimentId: 99}) { experiment { name } } }", "String cannot represent"),
        ('{ mlflowSearchRuns(input: {experimentIds: ["0"], filter: "bad"}) { nextPageToken } }', "'bad'"),
        ('{ mlflowSearchRuns(input: {experimentIds: ["0"], pageToken: "x"}) { nextPageToken } }', "page_token"),
        ("{ mlflowSearchRuns(input: {runViewType: SOME}) { nextPageToken } }", "SOME"),
        ("{ mlflowSearchRuns(input: {maxResults: 9223372036854775808}) { nextPageToken } }", "32-bit"),
        ("{ mlflowSearchModelVersions(input: {maxResults: 9223372036854775808}) { nextPageToken } }", "max_results"),
        (f"{{ mlflowSearchModelVersions(input: {{maxResults: {'9' * 5_000}}}) {{ nextPageToken }} }}", ""),
        ('{ mlflowSearchModelVersions(input: {maxResults: {a: ["b"]}}) { nextPageToken } }', "max_results"),
        ('{ mlflowGetRun(input: {runId: "a\\u0000b"}) { run { info { runId } } } }', "NUL"),
        ('{ mlflowGetRun(input: {runId: "a\\u{0}b"}) { run { info { runId } } } }', "NUL"),
        ('{ mlflowSearchRuns(input: {experimentIds: ["\\u{00}"]}) { nextPageToken } }', "NUL"),
        ('{ mlflowGetRun(input: {runId: "\\uD800"}) { run { info { runId } } } }', "Syntax Error"),
        ("{ nope }", "Cannot query field 'nope' on type 'Query'."),
        ("{ test { output(a: 1) } }", "Unknown argument 'a'"),
        ("{ test }", "must have a selection of subfields"),
        ("{ test", "Syntax Error"),
        ("# nothing", "Syntax Error"),
        ("}{", "Syntax Error"),
        ("type Query { a: Int }", "not executable"),
        ("subscription { test { output } }", "subscription"),
        ("query A { test { output } } query B { test { output } }", "Must provide operation name"),
        ("query ($a: Nope) { test(inputString: $a) { output } }", "Unknown type 'Nope'"),
        ("query ($a: String!) { test(inputString: $a) { output } }", "Variable '$a'"),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", "depth"),
        ("{ ...A }", "Unknown fragment 'A'"),
        ("{ __schema { types { name } } }", "introspection has been disabled"),
        ('{ __type(name: "Query") { name } }', "introspection has been disabled"),
    ],
)
def test_a_bad_query_is_told_what_is_wrong(client: TestClient, query: str, said: str) -> None:
    body = client.post("/graphql", json={"query": query})
    if body.status_code == 400:  # the door refuses a NUL in any body
        assert said in body.json()["message"]
    else:
        assert said in error_of(client, query)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"{",
        b'{"query": ""}',
        b'{"query": null}',
        b'{"query": 5}',
        b'{"query": "{ test { output } }", "variables": [1]}',
        b'{"query": "{ test { output } }", "operationName": {}}',
        b'[{"query": "{ test { output } }"}, {"query": "{ test { output } }"}]',
        b'{"query": "{ test { output } }", "variables": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
    ],
)
def test_a_request_that_is_no_query_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_another_kind_of_body_is_refused(client: TestClient) -> None:
    answer = client.post("/graphql", content=b"{ test { output } }", headers={"Content-Type": "application/graphql"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")


def test_a_fault_of_ours_is_no_part_of_an_answer(client: TestClient, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object) -> None:
        raise KeyError("an inner matter")

    monkeypatch.setattr(TrackingService, "experiments_of", fail)
    answer = client.post("/graphql", json={"query": RUN_PAGE, "variables": {"data": {"runId": run}}})
    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")
    assert "inner" not in answer.text


# -- what costs too much -----------------------------------------------------------------------------------------------


def repeated(count: int, text: Callable[[int], str]) -> str:
    return " ".join(text(each) for each in range(count))


EXPERIMENT = 'mlflowGetExperiment(input: {experimentId: "0"})'
IN_EXPERIMENT = f"{{ {EXPERIMENT} {{ experiment {{ %s }} }} }}"
HOSTILE = {
    "root fields": ("{ " + repeated(11, lambda n: f"a{n}: test {{ output }}") + " }", "at most 10 root fields, got 11"),
    "root fields of several operations": (
        repeated(11, lambda n: f"query Q{n} {{ test {{ output }} }}"),
        "at most 10 root fields, got 11",
    ),
    "aliases": (IN_EXPERIMENT % repeated(900, lambda n: f"a{n}: name"), "at most 10 aliases, got 900"),
    "aliases in fragments": (
        IN_EXPERIMENT % repeated(11, lambda n: f"... {{ a{n}: name }}"),
        "at most 10 aliases, got 11",
    ),
    "selections": (IN_EXPERIMENT % repeated(1_001, lambda _: "name"), "maximum total selections of 1000"),
    "selections of fragments that multiply": (
        f"{{ {EXPERIMENT} {{ experiment {{ ...F0 }} }} }} "
        + repeated(8, lambda n: f"fragment F{n} on MlflowExperiment {{ ...F{n + 1} ...F{n + 1} ...F{n + 1} }}")
        + " fragment F8 on MlflowExperiment { name }",
        "maximum total selections of 1000",
    ),
    "fragments": (
        "{ test { output } } " + repeated(400, lambda n: f"fragment F{n} on Test {{ output }}"),
        "at most 50 fragments, got 400",
    ),
    "selections that nobody spreads": (
        "{ test { output } } fragment F on Test { " + "output " * 1_001 + "}",
        "maximum total selections of 1000",
    ),
    "depth": ("{ test " * 11 + "{ output }" + " }" * 11, "maximum depth of 10"),
    "depth of fragments": ("{ ... " * 11 + "{ test { output } }" + " }" * 11, "maximum depth of 10"),
    "nesting": ("{a" * 10_000 + "}" * 10_000, "nested too deeply"),
    "nested values": ("{ test(inputString: " + "[" * 9_000 + "]" * 9_000 + ") { output } }", "nested too deeply"),
    "tokens": ("{ test(inputString: [" + "1 " * 10_000 + "]) { output } }", "10000 tokens"),
    "length": ("{ test { output } } #" + "x" * 70_000, "at most 65536 characters"),
    "errors": ("{ " + repeated(900, lambda n: f"n{n}") + " }", "at most 10 root fields"),
    "unknown fields": (IN_EXPERIMENT % repeated(900, lambda n: f"nam{n}"), "Cannot query field 'nam0'"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_query_that_costs_too_much_is_refused_at_once(client: TestClient, what: str) -> None:
    query, said = HOSTILE[what]
    begun = time.perf_counter()
    assert said in error_of(client, query)
    assert time.perf_counter() - begun < 5  # a query that is let through to the end takes minutes


@pytest.mark.parametrize("times", [100, 990])
def test_the_same_field_many_times_costs_little(client: TestClient, times: int) -> None:
    begun = time.perf_counter()
    told = answered(client, IN_EXPERIMENT % ("name " * times))
    assert time.perf_counter() - begun < 5
    if not told["errors"]:  # comparing all with all is too much for the validator, if not for us
        assert told["data"] == {"mlflowGetExperiment": {"experiment": {"name": "Default"}}}
    assert times > 100 or not told["errors"]


def test_as_many_aliases_as_are_allowed_are_answered(client: TestClient) -> None:
    shown = data_of(client, "{ " + repeated(10, lambda n: f'a{n}: test(inputString: "{n}") {{ output }}') + " }")
    assert shown == {f"a{n}": {"output": str(n)} for n in range(10)}


def test_a_large_body_is_refused(client: TestClient) -> None:
    body = {"query": "{ test { output } }", "variables": {"a": "x" * (1 << 20)}}
    assert client.post("/graphql", json=body).status_code == 413


def test_an_answer_that_takes_too_long_is_none(client: TestClient, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql, "MAX_SECONDS", -1.0)
    told = answered(client, RUN_PAGE, data={"runId": run})
    assert told == {"data": None, "errors": ["Answering took more than -1 s; ask for less."]}


# -- who may ask -------------------------------------------------------------------------------------------------------


def test_nobody_reads_without_the_right_to(as_remote: ClientOf, tokens: dict[str, str], client: TestClient) -> None:
    body = {"query": IN_EXPERIMENT % "name"}
    assert as_remote().post("/graphql", json=body).status_code == 401
    assert as_remote().get("/graphql", params=body).status_code == 401
    send(client, "experiments/search")
    assert as_remote(tokens["viewer"]).post("/graphql", json=body).json()["errors"] is None


def test_a_workspace_shows_nothing_of_another(
    as_remote: ClientOf, tokens: dict[str, str], client: TestClient, run: str, experiment: str
) -> None:
    register(client, "late", run)
    assert client.post("/api/3.0/mlflow/workspaces", json={"name": "elsewhere"}).status_code < 300
    stranger = as_remote(tokens["stranger"], **{"X-MLFLOW-WORKSPACE": "elsewhere"})
    assert error_of(stranger, f'{{ mlflowGetRun(input: {{runId: "{run}"}}) {{ run {{ info {{ runId }} }} }} }}')
    assert data_of(stranger, SEARCH, data={"experimentIds": [experiment]})["mlflowSearchRuns"]["runs"] == []
    assert data_of(stranger, "{ mlflowSearchModelVersions(input: {}) { modelVersions { name } } }") == {
        "mlflowSearchModelVersions": {"modelVersions": []}
    }
