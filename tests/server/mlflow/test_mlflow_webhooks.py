"""Webhooks over the MLflow protocol: what its clients send, and the exact answers they expect."""

from __future__ import annotations

from typing import Any

import pytest
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from tests_support.control import TestClient

PATH = "/api/2.0/mlflow/webhooks"
CREATED = {"entity": "MODEL_VERSION", "action": "CREATED"}
MODEL = {"entity": "REGISTERED_MODEL", "action": "CREATED"}


def create(client: TestClient, **fields: Any) -> Any:
    return client.post(PATH, json={"name": "a", "url": "https://example.com/hook", "events": [CREATED], **fields})


def test_a_webhook_is_made_read_changed_and_deleted(client: TestClient) -> None:
    made = create(client, secret="geheim", description="d", unknown=1).json()["webhook"]
    assert made == {
        "webhook_id": made["webhook_id"],
        "name": "a",
        "url": "https://example.com/hook",
        "events": [CREATED],
        "description": "d",
        "status": "ACTIVE",
        "creation_timestamp": made["creation_timestamp"],
        "last_updated_timestamp": made["creation_timestamp"],
    }
    one = f"{PATH}/{made['webhook_id']}"
    assert client.get(one).json()["webhook"] == made
    changed = client.patch(one, json={"events": [CREATED, MODEL], "status": "DISABLED", "name": None}).json()["webhook"]
    assert (changed["name"], changed["events"], changed["status"]) == ("a", [CREATED, MODEL], "DISABLED")
    assert changed["last_updated_timestamp"] > made["last_updated_timestamp"]
    assert client.request("DELETE", one, json={}).json() == {}
    refused = client.get(one)
    assert (refused.status_code, refused.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert refused.json()["message"] == f"Webhook with ID {made['webhook_id']} not found."


def test_webhooks_are_listed_by_pages(client: TestClient) -> None:
    names = [create(client, name=f"n{n}").json()["webhook"]["name"] for n in range(5)]
    seen: list[str] = []
    token = ""
    for size in (2, 2, 1):
        page = client.get(PATH, params={"max_results": 2, **({"page_token": token} if token else {})}).json()
        assert len(page["webhooks"]) == size
        seen += [each["name"] for each in page["webhooks"]]
        token = page.get("next_page_token", "")
    assert (token, seen) == ("", names[::-1])
    for wrong in ({"max_results": 0}, {"max_results": 1001}, {"page_token": "made up"}):
        answer = client.get(PATH, params=wrong)
        expected = 200 if wrong == {"max_results": 0} else 400
        assert answer.status_code == expected, wrong


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": None}, "Missing value for required parameter 'name'."),
        ({"url": ""}, "Missing value for required parameter 'url'."),
        ({"url": "  "}, "Webhook URL cannot be empty or just whitespace"),
        ({"url": "ftp://example.com"}, "Invalid webhook URL scheme"),
        ({"url": "http://[invalid"}, "Invalid webhook URL"),
        ({"events": []}, "Webhook events cannot be empty"),
        ({"events": [{"entity": "MODEL_VERSION", "action": "SET"}]}, "MLflow event 'model_version.set' is not known"),
        ({"events": [{"entity": "MODEL_VERSION"}]}, "Missing value for required parameter 'events[0].action'."),
        ({"events": "x"}, "Invalid value \"x\" for parameter 'events' supplied"),
        ({"status": "SLEEPY"}, "webhook status 'SLEEPY' is not known"),
        ({"name": 5}, "Invalid value 5 for parameter 'name' supplied: Hint: Value was of type 'int'."),
    ],
)
def test_what_cannot_be_used_is_refused(client: TestClient, fields: dict[str, Any], said: str) -> None:
    answer = create(client, **fields)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert said in answer.json()["message"]
    assert client.get(PATH).json() == {"webhooks": []}


def test_webhooks_of_other_formats_are_not_shown_to_mlflow_clients(
    client: TestClient, platform: Platform, admin: Actor
) -> None:
    other = platform.webhooks.create(admin, "o", url="https://example.com", events=["*"], format="cloudevents")
    assert client.get(PATH).json() == {"webhooks": []}
    assert client.get(f"{PATH}/{other.id}").status_code == 404
    assert client.request("DELETE", f"{PATH}/{other.id}").status_code == 404


def test_a_test_of_a_receiver_that_cannot_be_reached_says_why(client: TestClient) -> None:
    made = create(client, url="https://nowhere.invalid/hook").json()["webhook"]
    result = client.post(f"{PATH}/{made['webhook_id']}/test", json={"event": MODEL}).json()["result"]
    assert result["success"] is False
    assert result["error_message"].startswith("Failed to test webhook: The host 'nowhere.invalid' cannot be resolved")
    assert set(result) == {"success", "error_message"}


@pytest.mark.parametrize("role", ["viewer", "editor", "operator", "approver", "auditor", "service"])
def test_only_administrators_see_or_change_webhooks(as_remote: ClientOf, tokens: dict[str, str], role: str) -> None:
    client = as_remote(tokens[role])
    assert create(client).json()["error_code"] == "PERMISSION_DENIED"
    for method, path in (("GET", PATH), ("GET", f"{PATH}/x"), ("PATCH", f"{PATH}/x"), ("POST", f"{PATH}/x/test")):
        assert client.request(method, path).status_code == 403
    assert create(as_remote(tokens["admin"])).status_code == 200
