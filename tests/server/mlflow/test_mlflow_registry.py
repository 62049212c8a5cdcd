"""The registry as MLflow clients see it: exact shapes, codes and words, and governance in the path of every move."""

from __future__ import annotations

from typing import Any

import pytest

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.platform import Platform
from tests_support.control import TestClient

API = "/api/2.0/mlflow"
APPROVER = Actor("u-ann", "ann", "default", frozenset({Permission.READ, Permission.MODELS_APPROVE}))
SOURCE = "s3://bucket/model"
NOW = 1_750_000_000_000


class Registry:
    """Calls that are expected to succeed, or to fail with a code."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def ask(self, method: str, path: str, **fields: Any) -> tuple[int, Any]:
        given: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
        answer = self._client.request(method, f"{API}/{path}", **given)
        return answer.status_code, answer.json()

    def do(self, method: str, path: str, **fields: Any) -> Any:
        status, body = self.ask(method, path, **fields)
        assert status == 200, body
        return body

    def fail(self, status: int, code: str, method: str, path: str, **fields: Any) -> str:
        got, body = self.ask(method, path, **fields)
        assert (got, body["error_code"]) == (status, code), body
        return str(body["message"])

    def missing(self, method: str, path: str, **fields: Any) -> str:
        return self.fail(404, "RESOURCE_DOES_NOT_EXIST", method, path, **fields)

    def invalid(self, method: str, path: str, **fields: Any) -> str:
        return self.fail(400, "INVALID_PARAMETER_VALUE", method, path, **fields)


@pytest.fixture
def registry(client: TestClient) -> Registry:
    return Registry(client)


@pytest.fixture
def late(registry: Registry) -> Registry:
    registry.do("POST", "registered-models/create", name="late")
    registry.do("POST", "model-versions/create", name="late", source=SOURCE)
    return registry


def test_a_model_has_the_shape_that_clients_read(registry: Registry) -> None:
    tags = [{"key": "b", "value": "2"}, {"key": "a", "value": ""}]
    created = registry.do("POST", "registered-models/create", name="late", tags=tags, description="d")
    expected: dict[str, Any] = {
        "name": "late",
        "creation_timestamp": NOW,
        "last_updated_timestamp": NOW,
        "description": "d",
        "tags": [{"key": "a", "value": ""}, {"key": "b", "value": "2"}],
    }
    assert created == {"registered_model": expected}
    assert registry.do("GET", "registered-models/get", name="late") == created
    assert registry.do("GET", "registered-models/search") == {"registered_models": [expected]}
    assert registry.do("DELETE", "registered-models/delete", name="late") == {}
    assert registry.do("GET", "registered-models/search") == {}


def test_a_version_has_the_shape_that_clients_read(late: Registry) -> None:
    made = late.do(
        "POST",
        "model-versions/create",
        name="late",
        source="runs:/r1/model",
        run_id="r1",
        run_link="http://x",
        description="d",
        tags=[{"key": "k", "value": "v"}],
    )
    expected = {
        "name": "late",
        "version": "2",
        "creation_timestamp": NOW,
        "last_updated_timestamp": NOW,
        "current_stage": "None",
        "description": "d",
        "source": "runs:/r1/model",
        "run_id": "r1",
        "run_link": "http://x",
        "status": "READY",
        "tags": [{"key": "k", "value": "v"}],
    }
    assert made == {"model_version": expected}
    late.do("POST", "registered-models/alias", name="late", alias="best", version="2")
    aliased = expected | {"aliases": ["best"]}
    assert late.do("GET", "model-versions/get", name="late", version="2") == {"model_version": aliased}
    assert late.do("GET", "registered-models/alias", name="late", alias="best") == {"model_version": aliased}
    assert late.do("GET", "registered-models/alias", name="late", alias="LATEST") == {"model_version": aliased}
    assert late.do("GET", "model-versions/search", filter="run_id = 'r1'") == {"model_versions": [aliased]}
    model = late.do("GET", "registered-models/get", name="late")["registered_model"]
    assert (model["aliases"], model["latest_versions"]) == ([{"alias": "best", "version": "2"}], [aliased])
    uri = late.do("GET", "model-versions/get-download-uri", name="late", version="2")
    assert uri == {"artifact_uri": "runs:/r1/model"}


def test_names_that_are_taken_missing_or_bad(late: Registry) -> None:
    taken = late.fail(400, "RESOURCE_ALREADY_EXISTS", "POST", "registered-models/create", name="late")
    assert taken == "Registered Model (name=late) already exists."
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    mixed = late.fail(400, "RESOURCE_ALREADY_EXISTS", "POST", "registered-models/create", name="late", tags=prompt)
    assert "a registered model has that name already" in mixed
    assert late.missing("GET", "registered-models/get", name="x") == "Registered Model with name=x not found"
    assert "Missing value for required parameter 'name'" in late.invalid("POST", "registered-models/create")
    assert "Missing value for required parameter 'name'" in late.invalid("POST", "registered-models/create", name=" ")
    assert "without / and :" in late.invalid("POST", "registered-models/create", name="a/b")
    assert "Hint: Value was of type 'int'" in late.invalid("POST", "registered-models/create", name=1)
    assert "'new_name'" in late.invalid("POST", "registered-models/rename", name="late")


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("POST", "registered-models/rename", {"new_name": "y"}),
        ("PATCH", "registered-models/update", {"description": "d"}),
        ("DELETE", "registered-models/delete", {}),
        ("GET", "registered-models/get-latest-versions", {}),
        ("POST", "registered-models/get-latest-versions", {}),
        ("POST", "registered-models/set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "registered-models/delete-tag", {"key": "k"}),
        ("DELETE", "registered-models/alias", {"alias": "a"}),
        ("GET", "registered-models/alias", {"alias": "a"}),
        ("POST", "model-versions/create", {"source": SOURCE}),
    ],
)
def test_a_model_that_is_not_there(registry: Registry, method: str, path: str, fields: dict[str, str]) -> None:
    assert registry.missing(method, path, name="x", **fields) == "Registered Model with name=x not found"


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("GET", "model-versions/get", {}),
        ("GET", "model-versions/get-download-uri", {}),
        ("PATCH", "model-versions/update", {"description": "d"}),
        ("POST", "model-versions/transition-stage", {"stage": "Staging"}),
        ("DELETE", "model-versions/delete", {}),
        ("POST", "model-versions/set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "model-versions/delete-tag", {"key": "k"}),
        ("POST", "registered-models/alias", {"alias": "a"}),
    ],
)
def test_a_version_that_is_not_there(late: Registry, method: str, path: str, fields: dict[str, str]) -> None:
    said = late.missing(method, path, name="late", version="7", **fields)
    assert said == "Model Version (name=late, version=7) not found"
    late.missing(method, path, name="late", version="99999999999999", **fields)
    said = late.invalid(method, path, name="late", version="something not correct", **fields)
    assert said == "Parameter 'version' must be an integer, got 'something not correct'."


def test_tags_and_aliases_that_are_not_there_are_removed_in_silence(late: Registry) -> None:
    assert late.do("DELETE", "registered-models/delete-tag", name="late", key="k") == {}
    assert late.do("DELETE", "model-versions/delete-tag", name="late", version="1", key="k") == {}
    assert late.do("DELETE", "registered-models/alias", name="late", alias="a") == {}
    said = late.invalid("GET", "registered-models/alias", name="late", alias="a")
    assert said == "Registered model alias a not found."


@pytest.mark.parametrize("alias", ["latest", "Latest", "v1", "a b", "a/b", "x" * 256])
def test_aliases_that_are_reserved_or_bad(late: Registry, alias: str) -> None:
    late.invalid("POST", "registered-models/alias", name="late", alias=alias, version="1")


def test_a_model_without_versions_has_no_latest(registry: Registry) -> None:
    registry.do("POST", "registered-models/create", name="late")
    said = registry.missing("GET", "registered-models/alias", name="late", alias="latest")
    assert said == "Latest version not found for model late."
    assert registry.do("GET", "registered-models/get-latest-versions", name="late") == {}


def test_stages_move_in_any_case_and_make_room(late: Registry) -> None:
    for _ in range(2):
        late.do("POST", "model-versions/create", name="late", source=SOURCE)
    move = "model-versions/transition-stage"
    moved = late.do("POST", move, name="late", version="1", stage="production")["model_version"]
    assert moved["current_stage"] == "Production"
    late.do("POST", move, name="late", version="2", stage="PRODUCTION", archive_existing_versions=True)
    latest = late.do("POST", "registered-models/get-latest-versions", name="late", stages=["production", "archived"])
    assert [(each["version"], each["current_stage"]) for each in latest["model_versions"]] == [
        ("1", "Archived"),
        ("2", "Production"),
    ]
    everything = late.do("GET", "registered-models/get-latest-versions", name="late")["model_versions"]
    assert [each["version"] for each in everything] == ["1", "2", "3"]
    assert "Invalid Model Version stage" in late.invalid("POST", move, name="late", version="1", stage="Prod")
    late.invalid("POST", move, name="late", version="1", stage="None", archive_existing_versions=True)


def test_searches_go_page_by_page(registry: Registry) -> None:
    names = [f"m{number}" for number in range(5)]
    for name in names:
        registry.do("POST", "registered-models/create", name=name)
        registry.do("POST", "model-versions/create", name=name, source=SOURCE)
    for path, key in (("registered-models/search", "registered_models"), ("model-versions/search", "model_versions")):
        found: list[str] = []
        token = ""
        while True:
            page = registry.do("GET", path, max_results=2, order_by="name ASC", page_token=token)
            found += [each["name"] for each in page[key]]
            token = page.get("next_page_token", "")
            if not token:
                break
        assert found == names
        registry.invalid("GET", path, max_results=10**7)
        registry.invalid("GET", path, max_results=0)
        registry.invalid("GET", path, page_token="x")
        registry.invalid("GET", path, filter="nothing = 'x'")
        registry.invalid("GET", path, order_by="nothing")


def test_a_client_that_hides_prompts_finds_models_without_the_tag(registry: Registry) -> None:
    prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    registry.do("POST", "registered-models/create", name="late")
    registry.do("POST", "registered-models/create", name="greeting", tags=[prompt])
    registry.do("POST", "model-versions/create", name="greeting", source="dummy-source", tags=[prompt])
    for filter_, expected in (
        ("tag.`mlflow.prompt.is_prompt` != 'true'", ["late"]),
        ("tags.`mlflow.prompt.is_prompt` = 'true'", ["greeting"]),
    ):
        found = registry.do("GET", "registered-models/search", filter=filter_)["registered_models"]
        assert [each["name"] for each in found] == expected


def test_sources_are_checked(late: Registry) -> None:
    create = "model-versions/create"
    assert "To use a local path as a model version source" in late.invalid("POST", create, name="late", source="/tmp")
    assert "If supplying a source as an http, https," in late.invalid(
        "POST", create, name="late", source="http://h/../x"
    )
    assert "run_id parameter must identify" in late.invalid("POST", create, name="late", source="runs:/r/m", run_id="s")
    late.missing("POST", create, name="late", source="models:/late/9")
    said = late.fail(500, "INTERNAL_ERROR", "POST", create, name="late", source="file://123.456.789.123/x")
    assert "is not a valid remote uri" in said
    copy = late.do("POST", create, name="late", source="models:/late/1")["model_version"]
    assert (copy["version"], copy["source"]) == ("2", "models:/late/1")
    uri = late.do("GET", "model-versions/get-download-uri", name="late", version="2")
    assert uri == {"artifact_uri": SOURCE}


def test_a_deleted_version_is_gone_and_its_number_stays_taken(late: Registry) -> None:
    late.do("DELETE", "model-versions/delete", name="late", version="1")
    late.missing("GET", "model-versions/get", name="late", version="1")
    made = late.do("POST", "model-versions/create", name="late", source=SOURCE)["model_version"]
    assert made["version"] == "2"


@pytest.mark.parametrize(
    ("target", "path", "fields"),
    [
        ("champion", "registered-models/alias", {"alias": "champion"}),
        ("Production", "model-versions/transition-stage", {"stage": "Production"}),
        ("production", "model-versions/transition-stage", {"stage": "Production"}),
    ],
)
def test_a_move_that_a_policy_covers_is_refused_requested_and_then_made(
    late: Registry, platform: Platform, client: TestClient, target: str, path: str, fields: dict[str, str]
) -> None:
    platform.governance.set_policy(APPROVER, "late", target, approvers=1)
    said = late.fail(403, "PERMISSION_DENIED", "POST", path, name="late", version="1", **fields)
    (request,) = platform.governance.requests("default")
    assert request.target == target
    assert f"late version 1 may not become {target!r}" in said
    assert request.id in said
    again = late.fail(403, "PERMISSION_DENIED", "POST", path, name="late", version="1", **fields)
    assert request.id in again
    assert len(platform.governance.requests("default")) == 1
    page = client.get("/approvals").text
    assert f"request-{request.id}" in page
    platform.governance.approve(APPROVER, request.id)
    late.do("POST", path, name="late", version="1", **fields)
    entries = platform.journal.entries("default", limit=20)
    assert "approval.approved" in {entry.action for entry in entries}


def test_viewers_read_and_change_nothing(late: Registry, as_remote: Any, tokens: dict[str, str]) -> None:
    viewer = Registry(as_remote(tokens["viewer"]))
    viewer.do("GET", "registered-models/get", name="late")
    viewer.fail(403, "PERMISSION_DENIED", "POST", "registered-models/create", name="x")
    viewer.fail(403, "PERMISSION_DENIED", "POST", "registered-models/alias", name="late", alias="a", version="1")
    nobody = Registry(as_remote())
    nobody.fail(401, "UNAUTHENTICATED", "GET", "registered-models/get", name="late")
