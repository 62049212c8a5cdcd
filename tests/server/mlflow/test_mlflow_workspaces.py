"""Workspaces over the MLflow protocol, and the header that chooses one."""

from __future__ import annotations

import pytest
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.platform import Platform
from tests_support.control import TestClient

PATH = "/api/3.0/mlflow/workspaces"


def test_a_workspace_is_made_read_changed_and_deleted(client: TestClient) -> None:
    made = client.post(PATH, json={"name": "team-a", "description": "d", "default_artifact_root": "s3://b/a"})
    assert made.status_code == 201
    shown = {"name": "team-a", "description": "d", "default_artifact_root": "s3://b/a"}
    assert made.json() == {"workspace": shown}
    assert client.get(PATH).json() == {"workspaces": [{"name": "default"}, shown]}
    changed = client.patch(f"{PATH}/team-a", json={"description": "e", "default_artifact_root": ""})
    assert changed.json() == {"workspace": {"name": "team-a", "description": "e"}}
    gone = client.request("DELETE", f"{PATH}/team-a")
    assert (gone.status_code, gone.content) == (204, b"")
    for method in ("GET", "DELETE"):
        refused = client.request(method, f"{PATH}/team-a")
        assert (refused.status_code, refused.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", PATH, {}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", PATH, {"name": "default"}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", PATH, {"name": "Team"}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", PATH, {"name": "a"}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", PATH, {"name": "api"}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", PATH, {"name": "team", "default_artifact_root": "relative/path"}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", PATH, {"name": "there"}, 400, "RESOURCE_ALREADY_EXISTS"),
        ("PATCH", f"{PATH}/there", {}, 400, "INVALID_PARAMETER_VALUE"),
        ("PATCH", f"{PATH}/missing", {"description": "d"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("DELETE", f"{PATH}/default", {}, 400, "INVALID_PARAMETER_VALUE"),
        ("DELETE", f"{PATH}/there?mode=CASCADE", {}, 400, "INVALID_PARAMETER_VALUE"),
        ("DELETE", f"{PATH}/there?mode=SHRED", {}, 400, "INVALID_PARAMETER_VALUE"),
    ],
)
def test_what_cannot_be_done_is_refused(
    client: TestClient, method: str, path: str, body: dict[str, str], status: int, code: str
) -> None:
    client.post(PATH, json={"name": "there"})
    answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


@pytest.mark.parametrize("header", ["X-MLFLOW-WORKSPACE", "Bailiwick-Workspace"])
def test_a_header_chooses_the_workspace(client: TestClient, platform: Platform, header: str) -> None:
    platform.workspaces.create(Actor("local", "local", "default", frozenset(Permission)), "team-a")
    client.post("/api/2.0/mlflow/webhooks", headers={header: "team-a"}, json=_hook())
    assert [each.workspace for each in platform.webhooks.webhooks("team-a")] == ["team-a"]
    assert platform.webhooks.webhooks("default") == []


@pytest.mark.parametrize("path", ["/api/2.0/mlflow/webhooks", "/api/v1/models", PATH])
def test_a_workspace_that_is_none_cannot_be_acted_in(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"X-MLFLOW-WORKSPACE": "tame-a"})
    assert answer.status_code == 404
    assert "Workspace 'tame-a' does not exist." in answer.text


def test_a_workspace_that_holds_records_is_not_deleted(client: TestClient) -> None:
    client.post(PATH, json={"name": "team-a"})
    assert (
        client.post("/api/2.0/mlflow/webhooks", headers={"X-MLFLOW-WORKSPACE": "team-a"}, json=_hook()).status_code
        == 200
    )
    answer = client.request("DELETE", f"{PATH}/team-a")
    assert (answer.status_code, answer.json()["error_code"]) == (409, "INVALID_STATE")
    assert "still contains records: webhooks" in answer.json()["message"]
    assert client.get(f"{PATH}/team-a").status_code == 200


def test_others_see_their_own_workspace_only(as_remote: ClientOf, tokens: dict[str, str], client: TestClient) -> None:
    client.post(PATH, json={"name": "team-a"})
    viewer = as_remote(tokens["viewer"])
    assert viewer.get(PATH).json() == {"workspaces": [{"name": "default"}]}
    assert viewer.get(f"{PATH}/team-a").status_code == 404
    assert viewer.get(f"{PATH}/default").status_code == 200
    assert viewer.post(PATH, json={"name": "mine"}).status_code == 403


def test_the_server_says_that_it_has_workspaces(client: TestClient) -> None:
    assert client.get("/api/3.0/mlflow/server-info").json()["workspaces_enabled"] is True


def _hook() -> dict[str, object]:
    events = [{"entity": "MODEL_VERSION", "action": "CREATED"}]
    return {"name": "a", "url": "https://example.com", "events": events}
