"""Pages of the registry: what meant what when, two versions side by side, lineage both ways, and the deeds offered there."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.ui import links
from tests_support.control import TestClient
from tests_support.html import OURS, Page
from tests_support.populated import Story

REASON = {"reason": "because"}


def registered(platform: Platform, actor: Actor, name: str, content: bytes, **facts: Any) -> None:
    """A version that says no more of itself than `facts`."""
    nothing: dict[str, Any] = {
        each: {} for each in ("signature", "metrics", "slices", "parity", "environment", "parameters")
    }
    known: dict[str, Any] = {"run_id": "", "snapshot": "", "code_version": "", **nothing, **facts}
    platform.registry.register(actor, name, package=platform.blobs.put(content), **known)


@pytest.fixture
def model(platform: Platform, admin: Actor) -> str:
    """Three versions; the third is the second's equal."""
    for place, content in enumerate((b"one", b"two", b"two")):
        registered(
            platform,
            admin,
            "flights",
            content,
            signature={"inputs": [{"name": "hour", "datatype": "FP32", "shape": [-1, 1]}]},
            metrics={"roc_auc": 0.7 + min(place, 1) / 100},
            code_version=f"c{place}",
            parameters={"depth": place},
        )
    return "/models/flights"


def post(client: TestClient, path: str, fields: dict[str, str] | None = None) -> tuple[int, str]:
    answer = client.post(path, data=fields or {"form": "1"}, headers=OURS)
    return answer.status_code, answer.headers.get("Location", "")


def test_the_history_says_what_meant_what_when_set_by_whom_and_why(story: Story, populated: TestClient) -> None:
    text = populated.get("/models/tracked").text
    assert "@champion: v1 from" in text
    assert "Production: v2 from" in text
    assert "so is this" in text
    assert text.count('class="span"') == 6  # champion and Production twice each, challenger, Archived
    assert story.ids["logged_model"]


def test_the_page_of_a_version_shows_the_types_of_a_signature_as_mlflow_writes_it(
    platform: Platform, admin: Actor, client: TestClient
) -> None:
    registered(
        platform,
        admin,
        "price",
        b"price",
        signature={
            "inputs": [{"name": "hour", "type": "double", "required": True}],
            "outputs": [{"name": "0", "datatype": "int64", "shape": [-1]}],
        },
    )
    answer = client.get("/models/price/versions/1")
    assert answer.status_code == 200
    assert "double" in answer.text
    assert "int64" in answer.text


def test_a_version_gets_an_alias_and_a_stage_and_loses_them_again(
    platform: Platform, client: TestClient, model: str
) -> None:
    assert post(client, f"{model}/versions/1/alias", {"alias": "champion", **REASON}) == (
        303,
        f"{model}/versions/1?done=pointed",
    )
    assert post(client, f"{model}/versions/2/alias", {"alias": "champion", **REASON})[0] == 303
    assert platform.registry.aliases("default", "flights") == {"champion": 2}
    assert post(client, f"{model}/aliases/champion/roll-back", REASON)[1] == f"{model}?done=rolled-back#pointing"
    assert platform.registry.aliases("default", "flights") == {"champion": 1}
    assert post(client, f"{model}/aliases/champion/remove", REASON)[0] == 303
    assert platform.registry.aliases("default", "flights") == {}
    assert post(client, f"{model}/versions/1/stage", {"stage": "Production"})[0] == 303
    assert post(client, f"{model}/versions/2/stage", {"stage": "Production", "archive": "1"})[0] == 303
    assert platform.registry.version("default", "flights", 1).stage == "Archived"
    assert post(client, f"{model}/stages/Production/roll-back", REASON)[0] == 303
    assert platform.registry.version("default", "flights", 1).stage == "Production"
    text = client.get(model).text
    assert "rolled back" in text
    assert Page(text).faults == []


def test_rolling_back_needs_a_reason(client: TestClient, model: str) -> None:
    post(client, f"{model}/versions/1/alias", {"alias": "champion"})
    status, _ = post(client, f"{model}/aliases/champion/roll-back", {"reason": " "})
    assert status == 400


def test_a_promotion_that_a_policy_forbids_asks_the_approvers(
    platform: Platform, client: TestClient, admin: Actor, model: str
) -> None:
    platform.governance.set_policy(admin, "flights", "champion", approvers=1, not_author=True)
    answer = client.post(f"{model}/versions/1/alias", data={"alias": "champion"}, headers=OURS)
    assert answer.status_code == 403
    assert "is requested" in answer.text
    assert "Approve</button>" in client.get(f"{model}/versions/1").text


def test_an_approval_is_asked_for_from_the_page(platform: Platform, client: TestClient, model: str) -> None:
    status, where = post(client, f"{model}/versions/2/request", {"target": "champion"})
    assert (status, where) == (303, f"{model}/versions/2?done=asked#approval")
    assert [each.number for each in platform.governance.requests("default", model="flights")] == [2]


def test_a_version_is_deleted_restored_and_destroyed(platform: Platform, client: TestClient, model: str) -> None:
    path = f"{model}/versions/3"
    assert post(client, f"{path}/delete", {"reason": ""})[0] == 400
    assert post(client, f"{path}/delete", REASON) == (303, f"{path}?done=deleted")
    assert "Deleted versions" in client.get(model).text
    shown = client.get(path).text
    assert "This version was deleted" in shown
    assert "Point it here" not in shown
    assert post(client, f"{path}/restore") == (303, f"{path}?done=restored")
    assert platform.registry.version("default", "flights", 3).deleted is None
    post(client, f"{path}/delete", REASON)
    assert post(client, f"{path}/purge", REASON) == (303, f"{path}?done=purged")
    gone = client.get(path).text
    assert "Destroyed" in gone
    assert "Restore</button>" not in gone


def test_a_model_is_deleted_and_brought_back(platform: Platform, client: TestClient, model: str) -> None:
    status, where = post(client, f"{model}/delete", REASON)
    assert (status, where) == (303, "/models?deleted=flights")
    assert f'action="{model}/restore"' in client.get(where).text
    assert client.get(model).status_code == 404
    assert post(client, f"{model}/restore") == (303, f"{model}?done=restored")
    assert platform.registry.model("default", "flights").versions == 3
    assert f'action="{model}/restore"' not in client.get(where).text


def test_two_versions_are_set_side_by_side(client: TestClient, model: str) -> None:
    newest = client.get(f"{model}/compare").text
    assert "v2 and v3" in newest
    assert "Same content" in newest
    text = client.get(f"{model}/compare?left=1&right=2").text
    assert "+0.0100" in text
    assert "depth" in text
    assert 'title="input hour"' not in text
    assert 'title="input hour"' in client.get(f"{model}/compare?left=1&right=2&all=1").text
    assert client.get(f"{model}/compare?left=1&right=9").status_code == 404
    assert client.get(f"{model}/compare?left=x&right=1").status_code == 404


def test_a_model_with_one_version_or_none_has_nothing_to_compare(
    platform: Platform, client: TestClient, admin: Actor
) -> None:
    platform.registry.create_model(admin, "bare")
    assert client.get("/models/bare/compare").status_code == 404
    assert client.get("/models/bare").status_code == 200


def test_lineage_goes_from_the_source_to_the_predictions_and_every_box_leads_on(
    story: Story, populated: TestClient
) -> None:
    text = populated.get("/models/flights/versions/1").text
    kinds = re.findall(r'class="graph-kind">([^<]*)<', text)
    assert {"source", "snapshot", "run", "package", "version", "deployment", "predictions"} <= set(kinds)
    assert len(re.findall(r'<a href="[^"]+" class="graph-node', text)) == len(kinds)
    tracked = populated.get("/models/tracked/versions/2").text
    assert {"dataset", "run", "logged model", "version", "alias", "stage"} <= set(
        re.findall(r'class="graph-kind">([^<]*)<', tracked)
    )
    assert links.logged_model(story.ids["logged_model"]) in tracked
    for link in Page(tracked).links:
        if link.startswith("/runs?"):
            assert "sweep" in populated.get(link).text


def test_who_may_not_write_is_offered_nothing(as_remote: ClientOf, tokens: dict[str, str], model: str) -> None:
    viewer = as_remote(tokens["viewer"])
    for path in (model, f"{model}/versions/1"):
        text = viewer.get(path).text
        assert "Point it here" not in text
        assert "Delete" not in text
    origin = {"Origin": "http://control.example:8600"}
    answer = viewer.post(f"{model}/versions/1/alias", data={"alias": "x"}, headers=origin)
    assert answer.status_code == 403
    assert Permission.MODELS_WRITE in answer.text


def test_people_are_called_by_their_names(platform: Platform, admin: Actor, client: TestClient) -> None:
    made = platform.identities.create(admin, "ann", roles=["editor"])
    author = Actor(made.id, made.name, admin.workspace, made.permissions)
    registered(platform, author, "rent", b"rent")
    platform.governance.set_policy(admin, "rent", "production", approvers=1)
    platform.governance.request(author, "rent", 1, "production", author=author.identity, evidence={})
    for path in ("/models/rent/versions/1", "/approvals", "/"):
        text = re.sub(r"<[^>]*>", " ", client.get(path).text)
        assert "ann" in text, path
        assert made.id not in text, path
    platform.identities.remove(admin, "ann")
    assert made.id in client.get("/models/rent/versions/1").text
