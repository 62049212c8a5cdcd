"""Who may call what: every route against every role, generated from the table."""

from __future__ import annotations

import pytest
from httpx import Response
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Permission
from bailiwick.lifecycle.platform import Platform
from bailiwick.security.roles import ROLES
from bailiwick.server.api.health import health
from bailiwick.server.api.route import PUBLIC, Nothing, Route
from bailiwick.server.api.routes import ROUTES
from bailiwick.server.asgi import create_app
from tests_support.control import TestClient
from tests_support.decisions import scoring
from tests_support.populated import Story

PROTECTED = [route for route in ROUTES if route.permission is not PUBLIC]
EXAMPLES = {"number": "1", "digest": "a" * 64, "stage": "Production", "stream": "a" * 32, "segment": "0"}
BODIES = {
    "set_alias": {"version": 1},
    "report": {"worker": "here/0/1", "revision": 1},
    "set_recording": {"share": 5000},
    "state": {"text": "words"},
    "reject": {"comment": "no"},
    "set_stage": {"stage": "Staging"},
    "roll_back_alias": {"reason": "worse"},
    "roll_back_stage": {"reason": "worse"},
    "delete_version": {"reason": "mistake"},
    "purge_version": {"reason": "erased"},
    "ask_approval": {"model": "missing", "version": 1, "target": "production"},
    "start_rollout": {"endpoint": "late", "model": "flights", "version": 1},
    "abort_rollout": {"reason": "because"},
    "submit_pipeline_run": {"project": "flights"},
    "roll_back_endpoint": {"reason": "worse"},
    "set_endpoint_policy": {"policy": {}},
    "create_experiment": {"name": "new"},
    "tag_experiment": {"tags": {"team": "core"}},
    "start_run": {"experiment": "new"},
    "finish_logged_model": {"status": "READY"},
    "tag_logged_model": {"tags": {"team": "core"}},
    "create_model": {"name": "new"},
    "tag_model": {"tags": {"team": "core"}},
    "delete_model": {"reason": "mistake"},
    "describe_version": {"description": "words"},
    "optimise_version": {"snapshot": "missing", "label": "y"},
    "tag_version": {"tags": {"team": "core"}},
    "create_webhook": {"name": "chat", "url": "https://chat.example.com/in", "events": ["alias.*"]},
    "replay_webhook": {"position": 0},
    "create_workspace": {"name": "team-a"},
    "name_snapshot": {"snapshot": "missing"},
    "tag_snapshot": {"value": "core"},
    "delete_snapshot": {"reason": "mistake"},
    "accept_snapshot": {"reason": "known"},
    "compose_version": {"model": "new", "steps": {"one": "missing@1"}},
    "register_rules_version": {"model": "new", "decision": scoring()},
    "take_spool": {"begins": 0, "data": ""},
}
MAKE_WHAT_THEY_NAME = {"set_policy", "take_spool", "finish_spool"}  # a policy may come before its model
QUERIES = {
    "lineage": {"record": "source/anywhere"},
    "metric_history": {"key": "auc"},
    "metric_sample": {"key": "auc"},
    "metric_curves": {"keys": "auc,loss"},
    "compared_versions": {"left": "1", "right": "2"},
    "snapshot_as_of": {"time": "4102444800000"},
    "compare_snapshots": {"other": "missing"},
    "run_file": {"path": "report.html"},
    "logged_model_file": {"path": "MLmodel"},
    "untag_experiment": {"key": "k"},
    "untag_run": {"key": "k"},
    "untag_logged_model": {"key": "k"},
    "untag_model": {"key": "k"},
    "untag_version": {"key": "k"},
}


def path_of(route: Route) -> str:
    return route.path.format(**{name: EXAMPLES.get(name, "missing") for name in route.parameters})


def call(client: TestClient, route: Route) -> int:
    body = None if route.body is Nothing else BODIES.get(route.name, {})
    answer: Response = client.request(route.method, path_of(route), json=body, params=QUERIES.get(route.name))
    return answer.status_code


def test_every_route_states_its_permission() -> None:
    assert all(isinstance(route.permission, Permission) or route.permission is PUBLIC for route in ROUTES)


def test_only_these_routes_are_public() -> None:
    public = {route.path for route in ROUTES if route.permission is PUBLIC}
    assert public == {"/health", "/ready", "/api/v1/openapi.json"}


def test_every_route_that_changes_something_needs_more_than_reading() -> None:
    for route in ROUTES:
        reading = {Permission.READ, PUBLIC, Permission.JOURNAL_READ, Permission.WEBHOOKS_MANAGE}
        reading |= {Permission.PREDICTIONS_READ}
        assert route.method != "GET" or route.permission in reading
        assert route.method == "GET" or route.permission is not Permission.READ


def test_a_route_without_a_permission_keeps_the_server_from_starting(platform: Platform) -> None:
    careless = Route("GET", "/api/v1/secrets", None, health, "Forgotten.")
    with pytest.raises(AssertionError, match=r"GET /api/v1/secrets needs a permission"):
        create_app(platform, routes=[careless])


def test_two_rows_with_one_path_keep_the_server_from_starting(platform: Platform) -> None:
    with pytest.raises(AssertionError, match="twice"):
        create_app(platform, routes=[ROUTES[0], ROUTES[0]])


def test_without_a_token_every_protected_route_answers_401(as_remote: ClientOf) -> None:
    client = as_remote()
    for route in PROTECTED:
        assert call(client, route) == 401, route.path


def test_a_token_of_another_workspace_proves_nothing_here(as_remote: ClientOf, tokens: dict[str, str]) -> None:
    client = as_remote(tokens["stranger"])
    for route in PROTECTED:
        assert call(client, route) == 401, route.path


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_may_call_exactly_what_its_permissions_allow(
    as_remote: ClientOf, tokens: dict[str, str], role: str
) -> None:
    client = as_remote(tokens[role])
    for route in PROTECTED:
        status = call(client, route)
        if route.permission in ROLES[role]:
            assert status in {200, 201, 204, 404, 409}, (route.path, status)
        else:
            assert status == 403, (route.path, status)


def test_a_missing_permission_is_named(as_remote: ClientOf, tokens: dict[str, str]) -> None:
    body = as_remote(tokens["viewer"]).get("/api/v1/journal/entries").json()["error"]
    assert body["code"] == "not_allowed"
    assert "journal.read" in body["message"]


def test_an_unknown_record_is_404_on_every_route_that_names_one(client: TestClient) -> None:
    for route in ROUTES:
        if route.parameters and route.name not in MAKE_WHAT_THEY_NAME:
            assert call(client, route) == 404, route.path


def test_records_of_another_workspace_read_as_missing(story: Story, populated: TestClient) -> None:
    elsewhere = {"Bailiwick-Workspace": "elsewhere"}
    for path in (
        "/api/v1/endpoints/late",
        f"/api/v1/rollouts/{story.ids['rollout']}",
        f"/api/v1/snapshots/{story.ids['snapshot']}",
        f"/api/v1/runs/{story.ids['run']}",
        f"/api/v1/pipeline-runs/{story.ids['pipeline_run']}",
        f"/api/v1/approvals/{story.ids['approval']}",
        "/api/v1/models/flights/versions/1",
        f"/api/v1/experiments/{story.ids['experiment']}",
        f"/api/v1/experiments/{story.ids['experiment']}/runs",
        f"/api/v1/runs/{story.ids['tracked_run']}/files",
        f"/api/v1/runs/{story.ids['tracked_run']}/files/content?path=report.html",
        f"/api/v1/logged-models/{story.ids['logged_model']}",
        f"/api/v1/webhooks/{story.ids['webhook']}",
        f"/api/v1/webhooks/{story.ids['webhook']}/deliveries",
        f"/api/v1/deliveries/{story.ids['delivery']}",
    ):
        assert populated.get(path).status_code == 200, path
        assert populated.get(path, headers=elsewhere).status_code == 404, path


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if not route.parameters and route.method == "GET"], ids=lambda r: r.name
)
def test_every_listing_answers_on_an_empty_platform(client: TestClient, route: Route) -> None:
    expected = 404 if route.name == "checkpoint" else 200
    assert call(client, route) == expected


def test_every_read_answers_on_a_platform_with_a_history(story: Story, populated: TestClient) -> None:
    ids = story.ids
    version = story.platform.registry.version("default", "flights", 1)
    values = {
        "snapshot": ids["snapshot"], "model": "flights", "number": 1, "alias": "production", "request": ids["approval"],
        "endpoint": "late", "rollout": ids["rollout"], "digest": version.package,
        "entry": story.platform.journal.entries("default", limit=1)[0].id, "experiment": ids["experiment"],
        "logged_model": ids["logged_model"], "webhook": ids["webhook"], "delivery": ids["delivery"], "name": "elsewhere",
        "dataset": "flights", "prediction": f"{0:032x}:0",
    }  # fmt: skip
    for route in ROUTES:
        if route.method == "GET":
            run = ids["pipeline_run"] if "pipeline" in route.path else ids["run"]
            run = ids["tracked_run"] if "/files" in route.path else run
            path = route.path.format(**values, run=run)
            known = {"key": "valid_log_loss"}
            queries = QUERIES | {"metric_history": known, "metric_sample": known}
            queries["compare_snapshots"] = {"other": ids["snapshot"]}
            queries["refusals"] = {"endpoint": "late"}
            queries["lineage"] = {"record": "version/flights/1"}
            answer = populated.get(path, params=queries.get(route.name))
            wanted = 404 if route.name == "optimising_of_version" else 200  # nobody has measured anything there
            assert answer.status_code == wanted, (path, answer.text[:300])
