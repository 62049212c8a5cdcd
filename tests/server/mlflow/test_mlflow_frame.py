"""The frame of the MLflow adapter: how requests are read, refused and answered, whatever they ask for."""

from __future__ import annotations

import base64
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Permission
from bailiwick.server.api.route import PUBLIC
from bailiwick.server.mlflow.errors import MlflowError
from bailiwick.server.mlflow.message import Int64, Message, number, read_body, read_query
from bailiwick.server.mlflow.route import Empty, MlflowRoute
from bailiwick.server.mlflow.routes import ROUTES
from bailiwick.server.mlflow.table import RouteTable
from tests_support.control import TestClient


class Point(Message):
    required = ("key",)
    key: str | None = None
    value: float | None = None


class Sample(Message):
    required = ("name",)
    name: str | None = None
    step: Int64 | None = None
    points: list[Point] | None = None
    names: list[str] | None = None
    flag: bool | None = None
    inner: Point | None = None


def refusal(body: bytes) -> str:
    with pytest.raises(MlflowError) as refused:
        read_body(body, Sample)
    assert (refused.value.code, refused.value.status) == ("INVALID_PARAMETER_VALUE", 400)
    return refused.value.message


def test_fields_come_in_every_form_that_proto_json_allows() -> None:
    body = b'{"name": "n", "step": "12", "points": [{"key": "k", "value": "NaN"}], "new": {"field": 1}, "flag": null}'
    read = read_body(body, Sample)
    assert (read.name, read.step, read.flag) == ("n", 12, None)
    assert read.points is not None
    assert math.isnan(read.points[0].value or 0)


class Measured(Message):
    required = ("model_id",)
    model_id: str | None = None
    dataset_name: str | None = None


class Batch(Message):
    run_id: str | None = None
    points: list[Measured] | None = None
    best_point: Measured | None = None


def test_fields_may_go_by_their_names_in_camel_case() -> None:
    read = read_body(
        b'{"runId": "r", "points": [{"modelId": "m", "datasetName": "d"}], "bestPoint": {"model_id": "b"}}', Batch
    )
    assert (read.run_id, read.best_point) == ("r", Measured(model_id="b"))
    assert read.points == [Measured(model_id="m", dataset_name="d")]
    assert read_body(b'{"run_id": "modelId", "points": [{"model_id": "\\"runId\\":"}]}', Batch).run_id == "modelId"
    with pytest.raises(MlflowError, match="specifies both 'model_id' and 'modelId'"):
        read_body(b'{"run_id": "r", "points": [{"modelId": "m", "model_id": "m"}]}', Batch)
    with pytest.raises(MlflowError, match=r"parameter 'points\[0\].model_id'"):
        read_body(b'{"runId": "r", "points": [{}]}', Batch)


def test_bare_infinities_are_taken_as_pythons_json_writes_them() -> None:
    read = read_body(b'{"name": "n", "points": [{"key": "k", "value": -Infinity}]}', Sample)
    assert read.points is not None
    assert read.points[0].value == -math.inf


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "Missing value for required parameter 'name'. See the API docs"),
        (b"", "Missing value for required parameter 'name'."),
        (b'{"name": ""}', "Missing value for required parameter 'name'."),
        (b'{"name": 123}', "Invalid value 123 for parameter 'name' supplied: Hint: Value was of type 'int'. See"),
        (
            b'{"name": "n", "step": "x"}',
            "Invalid value \"x\" for parameter 'step' supplied: Hint: Value was of type 'str'.",
        ),
        (b'{"name": "n", "step": 9223372036854775808}', "Invalid value 9223372036854775808 for parameter 'step'"),
        (b'{"name": "n", "points": "5"}', "Invalid value \"5\" for parameter 'points' supplied"),
        (b'{"name": "n", "points": [{"key": "k"}, {"value": 1}]}', "parameter 'points[1].key'"),
        (
            b'{"name": "n", "points": [{"key": "k", "value": "high"}]}',
            "Invalid value \"high\" for parameter 'points[0].value'",
        ),
        (b'{"name": "n", "inner": {"value": 1}}', "parameter 'inner.key'"),
        (b'{"name": "n", "inner": {"key": {"a": 1}}}', "Invalid value {\"a\":1} for parameter 'inner.key'"),
        (b"[1]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"name": "\\ud800"}', "is not JSON"),
        (b'{"name": "\\u0000"}', "NUL"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_wrong_is_named_in_mlflows_words(body: bytes, said: str) -> None:
    assert said in refusal(body)


def test_a_query_string_gives_lists_numbers_and_booleans() -> None:
    read = read_query([("name", "n"), ("step", "-3"), ("names", "a"), ("names", "b"), ("flag", "true")], Sample)
    assert (read.step, read.names, read.flag) == (-3, ["a", "b"], True)
    with pytest.raises(MlflowError, match="parameter 'flag'"):
        read_query([("name", "n"), ("flag", "perhaps")], Sample)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(Sample.__struct_fields__), inner),
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    body = msgspec.json.encode(value)
    try:
        read_body(body, Sample)
    except MlflowError as refused:
        assert refused.status == 400  # noqa: PT017 - either outcome is right


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read_body(body, Sample)
    except MlflowError as refused:
        assert refused.status == 400  # noqa: PT017 - either outcome is right


def test_doubles_have_the_forms_of_proto_json() -> None:
    assert [number(value) for value in (1.5, math.nan, math.inf, -math.inf)] == [1.5, "NaN", "Infinity", "-Infinity"]


def test_server_info_is_told_to_anyone(as_remote: ClientOf) -> None:
    for prefix in ("/api", "/ajax-api"):
        answer = as_remote().get(f"{prefix}/3.0/mlflow/server-info")
        assert answer.status_code == 200
        assert answer.json() == {
            "store_type": "SqlStore",
            "workspaces_enabled": True,
            "trace_archival_enabled": False,
            "multipart_uploads_enabled": False,
            "multipart_downloads_enabled": False,
            "artifact_serving_enabled": True,
            "presigned_upload_run_id_supported": True,
            "presigned_upload_model_id_supported": True,
            "model_artifact_presigned_downloads_supported": True,
            "artifacts_presigned_only": False,
            "features_enabled": {"gateway": False, "scheduled_issue_detection": False},
            "tracking_auth": "",
        }


def test_the_version_keeps_clients_from_sending_spans(client: TestClient) -> None:
    assert tuple(map(int, client.get("/version").text.split("."))) < (3, 4)


@pytest.mark.parametrize(
    ("method", "path", "part"),
    [
        ("POST", "/api/3.0/mlflow/traces", "tracing"),
        ("GET", "/ajax-api/2.0/mlflow/traces", "tracing"),
        ("POST", "/v1/traces", "tracing"),
        ("GET", "/api/3.0/mlflow/gateway/secrets/list", "the AI gateway"),
        ("POST", "/api/3.0/mlflow/datasets/create", "evaluation datasets"),
        ("POST", "/api/3.0/mlflow/scorers/register", "scorers"),
        ("POST", "/ajax-api/3.0/mlflow/scorer/invoke", "scorers"),
        ("POST", "/ajax-api/3.0/mlflow/genai/evaluate/invoke", "evaluation by scorers"),
        ("GET", "/ajax-api/2.0/mlflow/gateway-proxy", "the AI gateway"),
        ("GET", "/ajax-api/3.0/mlflow/get-trace-artifact", "tracing"),
        ("POST", "/ajax-api/3.0/mlflow/demo/generate", "demonstration data"),
        ("POST", "/ajax-api/3.0/mlflow/issues/schedule/state", "issues"),
        ("POST", "/api/3.0/mlflow/skills", "the skill registry"),
        ("GET", "/api/3.0/mlflow/skills/@acme/reviewer/versions/1", "the skill registry"),
        ("GET", "/api/3.0/mlflow/mcp-servers", "the MCP server registry"),
        ("POST", "/ajax-api/3.0/jobs/search", "background jobs"),
        ("POST", "/ajax-api/2.0/mlflow/runs/create-promptlab-run", "the prompt lab"),
    ],
)
def test_generative_functions_are_declined_by_name(client: TestClient, method: str, path: str, part: str) -> None:
    answer = client.request(method, path, json={})
    assert answer.status_code == 501
    assert answer.json() == {
        "error_code": "NOT_IMPLEMENTED",
        "message": f"Bailiwick does not offer {part} of MLflow's generative-AI functions.",
    }


def test_a_get_without_a_query_asks_in_its_body(client: TestClient) -> None:
    def get(path: str, body: bytes, **params: str) -> Any:
        return client.request("GET", f"/api/2.0/mlflow/{path}", content=body, params=params or None)

    assert get("experiments/get", b'{"experiment_id": "0"}').json()["experiment"]["name"] == "Default"
    assert get("experiments/get-by-name", b'{"experiment_name": "Default"}').status_code == 200
    assert get("experiments/get", b'{"experiment_id": "7"}', experiment_id="0").status_code == 200
    refused = get("experiments/get", b"experiment_id=0")
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_an_unknown_path_is_answered_in_the_protocols_form(client: TestClient) -> None:
    answer = client.post("/api/2.0/mlflow/nothing/here", json={})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    answer = client.post("/api/3.0/mlflow/server-info", json={})
    assert (answer.status_code, "use GET" in answer.json()["message"]) == (405, True)


def test_a_password_is_a_token(as_remote: ClientOf, tokens: dict[str, str]) -> None:
    def known(user: str, password: str) -> int:
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        return int(as_remote(Authorization=f"Basic {basic}").get("/api/v1/models").status_code)

    assert known("anyone", tokens["viewer"]) == 200
    assert known("anyone", "wrong") == 401
    assert as_remote(Authorization="Basic !!").get("/api/v1/models").status_code == 401


def test_a_path_has_one_handler_a_method() -> None:
    def handler() -> None: ...

    route = MlflowRoute("GET", "/mlflow/x/{name}", Empty, PUBLIC, handler)
    with pytest.raises(AssertionError, match="twice"):
        RouteTable([route, route])


def test_parameters_of_a_path_end_at_a_slash_unless_they_say_path() -> None:
    def handler() -> None: ...

    table = RouteTable(
        [
            MlflowRoute("GET", "/a/{name}/b", Empty, PUBLIC, handler),
            MlflowRoute("GET", "/c/{rest:path}", Empty, PUBLIC, handler),
        ]
    )
    assert table.find("HEAD", "/api/2.0/a/x y/b").path == {"name": "x y"}
    assert table.find("GET", "/ajax-api/2.0/c/x/y").path == {"rest": "x/y"}
    with pytest.raises(MlflowError):
        table.find("GET", "/api/2.0/a/x/y/b")


def test_every_route_needs_a_permission_or_is_public_in_so_many_words() -> None:
    public = {route.path for route in ROUTES if not isinstance(route.permission, Permission)}
    assert public == {"/mlflow/server-info", "/version"}
