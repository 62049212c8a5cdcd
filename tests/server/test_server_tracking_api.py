"""The native API of tracking, models, webhooks and workspaces: everything a page shows or does, programs can have too."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from tests_support.control import TestClient
from tests_support.populated import EXPERIMENT, FILES, Story

V1 = "/api/v1"


def ok(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def test_an_experiment_is_made_found_renamed_tagged_deleted_and_restored(client: TestClient) -> None:
    made = ok(client.post(f"{V1}/experiments", json={"name": "a/é", "tags": {"team": "core"}}), 201)
    path = f"{V1}/experiments/{made['id']}"
    assert ok(client.post(f"{V1}/experiments", json={"name": "a/é"}), 409)["error"]["code"] == "already_exists"
    found = ok(client.get(f"{V1}/experiments", params={"filter": "tags.team = 'core'"}))
    assert [each["experiment"]["name"] for each in found["items"]] == ["a/é"]
    assert ok(client.patch(path, json={"name": "b"}))["name"] == "b"
    assert ok(client.patch(path, json={}))["name"] == "b"
    assert ok(client.put(f"{path}/tags", json={"tags": {"k": "v"}}))["tags"] == {"k": "v", "team": "core"}
    assert ok(client.delete(f"{path}/tags", params={"key": "k"}))["tags"] == {"team": "core"}
    assert ok(client.post(f"{path}/delete"))["lifecycle"] == "deleted"
    assert ok(client.get(f"{V1}/experiments", params={"view": "DELETED_ONLY"}))["items"][0]["experiment"]["name"] == "b"
    assert ok(client.post(f"{path}/restore"))["lifecycle"] == "active"
    assert ok(client.get(path)) == {"experiment": ok(client.patch(path, json={})), "runs": 0, "newest_run": None}


def test_a_run_is_started_logged_to_and_ended(client: TestClient) -> None:
    run = ok(client.post(f"{V1}/runs", json={"experiment": "sweep", "name": "one", "key": "k1"}), 201)
    assert ok(client.post(f"{V1}/runs", json={"experiment": "sweep", "key": "k1"}), 201)["id"] == run["id"]
    path = f"{V1}/runs/{run['id']}"
    batch = {
        "metrics": [{"key": "loss", "value": 1 / (step + 1), "step": step} for step in range(100)],
        "params": {"lr": "0.1"},
        "tags": {"team": "core"},
    }
    for _ in range(2):  # sending it again changes nothing
        assert ok(client.post(f"{path}/log", json=batch))["id"] == run["id"]
    assert ok(client.post(f"{path}/log", json={"params": {"lr": "0.2"}}), 409)["error"]["code"] == "conflict"
    assert ok(client.post(f"{path}/log", json={})) is not None
    curves = ok(client.get(f"{path}/metric-curves", params={"keys": "loss,none", "points": 10}))["items"]
    assert [each["key"] for each in curves] == ["loss"]
    assert [point["step"] for point in curves[0]["points"]][::9] == [0, 99]
    assert ok(client.delete(f"{path}/tags", params={"key": "team"}))["tags"].keys() == {"mlflow.runName"}
    ended = ok(client.patch(path, json={"status": "FINISHED", "name": "first"}))
    assert (ended["status"], ended["name"]) == ("FINISHED", "first")
    part = ok(client.post(f"{V1}/runs", json={"experiment_id": run["experiment_id"], "parent": run["id"]}), 201)
    assert [each["id"] for each in ok(client.get(f"{path}/parts"))["items"]] == [part["id"]]
    assert ok(client.post(f"{path}/delete"))["lifecycle"] == "deleted"
    assert ok(client.post(f"{path}/restore"))["lifecycle"] == "active"
    ok(client.post(f"{V1}/runs", json={}), 400)
    ok(client.post(f"{V1}/runs", json={"experiment": "a", "experiment_id": "1"}), 400)
    ok(client.post(f"{V1}/runs", json={"experiment_id": "77"}), 404)


def test_runs_are_searched_a_page_at_a_time(client: TestClient) -> None:
    for place in range(25):
        run = ok(client.post(f"{V1}/runs", json={"experiment": "sweep", "name": f"r{place}"}), 201)
        ok(client.post(f"{V1}/runs/{run['id']}/log", json={"metrics": [{"key": "auc", "value": place}]}))
    asked = {"filter": "metrics.auc >= 5", "order_by": "metrics.auc DESC", "limit": 8}
    for path in (f"{V1}/runs", f"{V1}/experiments/{run['experiment_id']}/runs"):
        seen, after = [], ""
        while True:
            page = ok(client.get(path, params={**asked, "after": after}))
            seen += [each["metrics"]["auc"] for each in page["items"]]
            after = page["next"]
            if after is None:
                break
        assert seen == [float(place) for place in range(24, 4, -1)]
    assert len(ok(client.get(f"{V1}/runs", params={"experiment": "sweep", "view": "ALL"}))["items"]) == 25
    ok(client.get(f"{V1}/runs", params={"experiment": "nope", "view": "ALL"}), 404)
    wrong = ok(client.get(f"{V1}/runs", params={"filter": "metrics.auc >"}), 400)
    assert "a number, or a text in quotes" in wrong["error"]["message"]


def test_what_a_run_read_and_made_is_told(story: Story, populated: TestClient) -> None:
    links = ok(populated.get(f"{V1}/runs/{story.ids['tracked_run']}/links"))
    assert links["datasets"][0]["dataset"]["name"] == "flights 2013"
    assert links["models_made"] == [{"model_id": story.ids["logged_model"], "step": 3}]
    datasets = ok(populated.get(f"{V1}/experiments/{story.ids['experiment']}/datasets"))["items"]
    assert [each["context"] for each in datasets] == ["training"]
    origins = ok(populated.get(f"{V1}/logged-models/{story.ids['logged_model']}/origins"))
    assert origins["made_by"] == [story.ids["tracked_run"]]
    assert [each["number"] for each in origins["versions"]] == [2, 1]


def test_files_are_listed_and_read_whole_or_in_part(story: Story, populated: TestClient) -> None:
    path = f"{V1}/runs/{story.ids['tracked_run']}/files"
    names = {each["path"] for each in ok(populated.get(path))["items"]}
    assert names == {name.partition("/")[0] for name in FILES}
    below = ok(populated.get(path, params={"path": "plots"}))["items"]
    assert {each["path"] for each in below} == {"figure.svg", "not-an-image.png", "roc curve.png"}
    part = populated.get(f"{path}/content", params={"path": "logs/huge.log"}, headers={"Range": "bytes=5-8"})
    assert (part.status_code, part.content) == (206, b"line")
    assert populated.get(f"{path}/content", params={"path": "plots"}).status_code == 409
    assert populated.get(f"{path}/content", params={"path": "none"}).status_code == 404
    of_model = f"{V1}/logged-models/{story.ids['logged_model']}/files"
    assert [each["path"] for each in ok(populated.get(of_model))["items"]] == ["MLmodel"]
    assert populated.get(f"{of_model}/content", params={"path": "MLmodel"}).content == b"flavors: {}"


def test_logged_models_are_found_tagged_finished_and_deleted(
    platform: Platform, client: TestClient, admin: Actor
) -> None:
    experiment = platform.tracking.create_experiment(admin, "e")
    made = platform.logged_models.create(admin, experiment.id, name="m", params={"C": "1"})
    path = f"{V1}/logged-models/{made.id}"
    found = ok(client.get(f"{V1}/experiments/{experiment.id}/logged-models", params={"filter": "params.C = '1'"}))
    assert [each["id"] for each in found["items"]] == [made.id]
    assert ok(client.put(f"{path}/tags", json={"tags": {"k": "v"}}))["tags"] == {"k": "v"}
    assert ok(client.delete(f"{path}/tags", params={"key": "k"}))["tags"] == {}
    assert ok(client.patch(path, json={"status": "READY"}))["status"] == "READY"
    ok(client.patch(path, json={"status": "SOON"}), 400)
    assert ok(client.post(f"{path}/delete"))["lifecycle"] == "deleted"
    assert ok(client.get(path))["lifecycle"] == "deleted"


def test_models_are_made_described_tagged_renamed_deleted_and_restored(
    platform: Platform, client: TestClient, admin: Actor
) -> None:
    ok(client.post(f"{V1}/models", json={"name": "m", "description": "d", "tags": {"a": "b"}}), 201)
    path = f"{V1}/models/m"
    assert ok(client.patch(path, json={"description": "words"}))["description"] == "words"
    assert ok(client.put(f"{path}/tags", json={"tags": {"k": "v"}}))["tags"] == {"a": "b", "k": "v"}
    assert ok(client.delete(f"{path}/tags", params={"key": "k"}))["tags"] == {"a": "b"}
    assert ok(client.patch(path, json={"name": "n"}))["name"] == "n"
    run = platform.tracking.start_run(admin, "e")
    platform.registry.create_version(admin, "n", source=f"runs:/{run.id}/model", run_id=run.id)
    version = f"{V1}/models/n/versions/1"
    assert ok(client.patch(version, json={"description": "it"}))["description"] == "it"
    assert ok(client.put(f"{version}/tags", json={"tags": {"k": "v"}}))["tags"] == {"k": "v"}
    assert ok(client.delete(f"{version}/tags", params={"key": "k"}))["tags"] == {}
    ok(client.put(f"{V1}/models/n/aliases/champion", json={"version": 1}))
    assert ok(client.delete(f"{V1}/models/n/aliases/champion", params={"reason": "worse"}))["number"] is None
    assert ok(client.post(f"{V1}/models/n/delete", json={"reason": "mistake"})) == {"versions": 1}
    assert ok(client.post(f"{V1}/models/n/restore"))["versions"] == 1


def test_webhooks_are_made_changed_tried_replayed_and_removed_and_no_secret_comes_out(
    platform: Platform, client: TestClient, story: Story, populated: TestClient
) -> None:
    wanted = {"name": "chat", "url": "https://chat.example.com/in", "events": ["alias.*"], "secret": "s3cret-of-ours"}
    made = client.post(f"{V1}/webhooks", json=wanted)
    hook = ok(made, 201)
    path = f"{V1}/webhooks/{hook['id']}"
    assert hook["signed"]
    assert ok(client.patch(path, json={"status": "DISABLED"}))["status"] == "DISABLED"
    assert not ok(client.patch(path, json={"secret": ""}))["signed"]
    assert ok(client.post(f"{path}/replay", json={"position": 0})) == {"position": 0}
    ok(client.post(f"{path}/replay", json={}), 400)
    assert ok(client.get(f"{path}/deliveries")) == {"items": [], "next": None}
    assert [each["id"] for each in ok(client.get(f"{V1}/webhooks"))["items"]] == [hook["id"]]
    for answer in (made, client.get(path), client.get(f"{V1}/webhooks")):
        assert "s3cret-of-ours" not in answer.text
    assert client.delete(path).status_code == 204
    ok(client.get(path), 404)
    told = ok(populated.get(f"{V1}/deliveries/{story.ids['delivery']}"))
    assert told["delivery"]["status"] == "FAILED"
    assert told["attempts"][0]["response_status"] == 404
    assert platform.webhooks.webhooks("default") == []


def test_workspaces_are_made_changed_and_removed_by_who_may(
    client: TestClient, as_remote: ClientOf, tokens: dict[str, str]
) -> None:
    ok(client.post(f"{V1}/workspaces", json={"name": "team-a"}), 201)
    path = f"{V1}/workspaces/team-a"
    assert ok(client.patch(path, json={"description": "flights"}))["description"] == "flights"
    assert {each["name"] for each in ok(client.get(f"{V1}/workspaces"))["items"]} >= {"default", "team-a"}
    viewer = as_remote(tokens["viewer"])
    assert [each["name"] for each in ok(viewer.get(f"{V1}/workspaces"))["items"]] == ["default"]
    ok(viewer.get(path), 404)
    ok(viewer.patch(path, json={"description": "mine"}), 403)
    assert client.delete(path).status_code == 204
    ok(client.delete(path), 404)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_json_cannot_say_become_null(
    platform: Platform, client: TestClient, admin: Actor, value: float
) -> None:
    run = platform.tracking.start_run(admin, EXPERIMENT)
    platform.tracking.log(admin, run.id, metrics={"odd": value})
    points = ok(client.get(f"{V1}/runs/{run.id}/metric-curves", params={"keys": "odd"}))["items"][0]["points"]
    assert points[0]["value"] is None or points[0]["value"] > 1e300
