"""The pages of webhooks: what is told, what became of it, and what can be done about it."""

from __future__ import annotations

import pytest
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.webhooks.model import Answer, Webhook
from tests_support.control import TestClient
from tests_support.html import OURS, Page

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def hook(platform: Platform, admin: Actor) -> Webhook:
    """Two events were refused, a third waits to be tried again, a fourth waits behind it."""
    made = platform.webhooks.create(
        admin, "chat", url="https://chat.example.com/a?b=%3Cscript%3E", events=["identity.*"], format="cloudevents"
    )
    for name in "abcd":
        platform.identities.create(admin, name, roles=["viewer"])
    Sequencer(platform.database, platform.journal_folder, Signer.in_folder(platform.keys_folder)).integrate()
    platform.outbox.collect()
    for answer in (Answer(404, HOSTILE), Answer(400, HOSTILE), Answer(503, "later")):
        outgoing = platform.outbox.head(made.id)
        assert outgoing is not None
        platform.outbox.finish(outgoing, answer)
    return made


def test_every_page_is_well_formed_and_shows_what_became_of_each_event(
    platform: Platform, client: TestClient, hook: Webhook
) -> None:
    newest, *_, oldest = platform.webhooks.deliveries("default", hook.id)
    paths = [
        "/webhooks",
        f"/webhooks/{hook.id}",
        f"/webhooks/{hook.id}/{oldest.id}",
        f"/webhooks/{hook.id}/{newest.id}",
    ]
    for path in [*paths, f"/webhooks/{hook.id}?status=FAILED", f"/webhooks/{hook.id}?before={newest.id}"]:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert Page(answer.text).faults == []
        assert "<script>alert" not in answer.text
        for link in Page(answer.text).links:
            if link.startswith("/webhooks"):
                assert client.get(link).status_code == 200, link
    assert "Failing" in client.get("/webhooks").text
    listed = client.get(paths[1]).text
    assert "The receiver answered 404." in listed
    assert listed.count("Pending") == 3  # two deliveries and the filter
    shown = client.get(paths[2]).text
    assert "&lt;script&gt;alert" in shown
    assert "dev.bailiwick.identity.created" in shown


def test_what_failed_is_sent_again_from_its_page(platform: Platform, client: TestClient, hook: Webhook) -> None:
    failed = platform.webhooks.deliveries("default", hook.id, status="FAILED")[0]
    path = f"/webhooks/{hook.id}/{failed.id}"
    assert "Send again" in client.get(path).text
    done = client.post(f"{path}/replay", data={"form": "1"}, headers=OURS)
    assert done.headers["Location"] == f"{path}?done=sent-again"
    assert platform.webhooks.delivery("default", failed.id)[0].status == "PENDING"
    assert "Send again" not in client.get(path).text


def test_a_webhook_is_disabled_enabled_and_tried(platform: Platform, client: TestClient, hook: Webhook) -> None:
    path = f"/webhooks/{hook.id}"
    assert (
        client.post(f"{path}/disable", data={"form": "1"}, headers=OURS).headers["Location"] == f"{path}?done=disabled"
    )
    assert platform.webhooks.webhook("default", hook.id).status == "DISABLED"
    assert "Enable</button>" in client.get(path).text
    assert client.post(f"{path}/enable", data={"form": "1"}, headers=OURS).status_code == 303
    assert platform.webhooks.webhook("default", hook.id).status == "ACTIVE"
    tried = client.post(f"{path}/test", data={"form": "1"}, headers=OURS)
    assert tried.headers["Location"] == f"{path}?done=not-taken"
    assert "did not take the example" in client.get(tried.headers["Location"]).text


def test_who_may_not_manage_webhooks_sees_none(as_remote: ClientOf, tokens: dict[str, str], hook: Webhook) -> None:
    viewer = as_remote(tokens["viewer"])
    assert 'href="/webhooks"' not in viewer.get("/").text
    assert viewer.get("/webhooks").status_code == 403
    assert viewer.get(f"/webhooks/{hook.id}").status_code == 403
    origin = {"Origin": "http://control.example:8600"}
    assert viewer.post(f"/webhooks/{hook.id}/test", data={"form": "1"}, headers=origin).status_code == 403


def test_a_request_that_a_webhook_makes_is_never_the_local_users(client: TestClient) -> None:
    assert client.get("/api/v1/models", headers={"Bailiwick-Origin": "webhook"}).status_code == 401
    assert client.get("/api/v1/models").status_code == 200


def test_a_webhook_is_made_changed_and_deleted_from_its_page(platform: Platform, client: TestClient) -> None:
    fields = {
        "name": "chat",
        "url": "https://chat.example.com/in",
        "format": "cloudevents",
        "events": "alias.*, approval.*",
        "secret": "s3cret-of-ours",
        "description": HOSTILE,
    }
    made = client.post("/webhooks", data=fields, headers=OURS).headers["Location"].partition("?")[0]
    hook = platform.webhooks.webhook("default", made.rpartition("/")[2])
    assert (hook.events, hook.signed) == (("alias.*", "approval.*"), True)
    for path in (made, "/webhooks"):
        assert "s3cret-of-ours" not in client.get(path).text
        assert "<script>alert" not in client.get(path).text
        assert Page(client.get(path).text).faults == []
    changed = {**fields, "name": "talk", "secret": ""}
    assert client.post(made, data=changed, headers=OURS).headers["Location"] == f"{made}?done=changed"
    assert platform.webhooks.webhook("default", hook.id).signed
    client.post(made, data={**changed, "unsigned": "1"}, headers=OURS)
    assert not platform.webhooks.webhook("default", hook.id).signed
    assert client.post(f"{made}/delete", data={"form": "1"}, headers=OURS).headers["Location"] == "/webhooks?done=gone"
    assert platform.webhooks.webhooks("default") == []


def test_a_webhook_that_cannot_be_is_refused_with_the_reason(client: TestClient) -> None:
    fields = {"name": "chat", "url": "https://chat.example.com/in", "format": "cloudevents", "events": ""}
    refused = client.post("/webhooks", data=fields, headers=OURS)
    assert refused.status_code == 400
    assert "Name at least one event" in refused.text
    wrong = client.post("/webhooks", data={**fields, "format": "mlflow", "events": "alias.*"}, headers=OURS)
    assert wrong.status_code == 400


def test_a_webhook_is_told_again_from_a_position(platform: Platform, client: TestClient, hook: Webhook) -> None:
    path = f"/webhooks/{hook.id}"
    assert client.post(f"{path}/replay", data={"position": "x"}, headers=OURS).status_code == 400
    done = client.post(f"{path}/replay", data={"position": "0"}, headers=OURS)
    assert done.headers["Location"] == f"{path}?done=replaying"
    assert platform.webhooks.webhook("default", hook.id).catching_up_from == 0
    assert "journal position 0" in client.get(path).text


def test_a_workspace_is_made_changed_and_deleted_from_the_page(platform: Platform, client: TestClient) -> None:
    made = client.post("/workspaces", data={"name": "team-a", "description": HOSTILE}, headers=OURS)
    assert made.headers["Location"] == "/workspaces?done=made#workspace-team-a"
    text = client.get("/workspaces").text
    assert "team-a" in text
    assert "<script>alert" not in text
    assert Page(text).faults == []
    changed = {"description": "flights", "artifact_root": "s3://bucket/a"}
    client.post("/workspaces/team-a", data=changed, headers=OURS)
    assert platform.workspaces.workspace("team-a").artifact_root == "s3://bucket/a"
    assert client.post("/workspaces/default/delete", data={"form": "1"}, headers=OURS).status_code == 409
    assert client.post("/workspaces/team-a/delete", data={"form": "1"}, headers=OURS).status_code == 303
    assert [each.name for each in platform.workspaces.workspaces()] == ["default"]


def test_who_may_not_manage_workspaces_sees_their_own(
    platform: Platform, admin: Actor, as_remote: ClientOf, tokens: dict[str, str]
) -> None:
    platform.workspaces.create(admin, "hidden-team")
    text = as_remote(tokens["viewer"]).get("/workspaces").text
    assert "hidden-team" not in text
    assert "New workspace" not in text
