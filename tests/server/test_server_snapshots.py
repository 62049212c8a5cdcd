"""The native API of dataset snapshots: found as of a time, named, tagged, compared, deleted and restored."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.inspection import inspect
from bailiwick.lifecycle.platform import Platform
from tests_support.control import TestClient
from tests_support.html import OURS, Page
from tests_support.populated import HOSTILE

V1 = "/api/v1"


def ok(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def test_snapshots_are_named_tagged_compared_deleted_and_restored(
    client: TestClient, platform: Platform, admin: Actor
) -> None:
    one, other = (platform.data.ingest(admin, "rooms", pa.table({"a": range(n)}), source="x") for n in (2, 3))
    path = f"{V1}/snapshots/{one.id}"
    named = client.put(f"{V1}/datasets/rooms/names/golden", json={"snapshot": one.id})
    assert ok(named)["id"] == one.id
    assert ok(client.put(f"{V1}/datasets/halls/names/golden", json={"snapshot": one.id}), 400)
    assert ok(client.put(f"{path}/tags/quality", json={"value": "good"})) == {
        "names": ["golden"],
        "tags": {"quality": "good"},
    }
    assert ok(client.delete(f"{path}/tags/quality"))["tags"] == {}
    found = ok(client.get(f"{path}/compare", params={"other": other.id}))
    assert (found["equal"], found["rows_added"], found["columns"][0]["change"]) == (False, 1, "same")
    assert ok(client.get(f"{V1}/datasets/rooms/as-of", params={"time": other.created}))["dataset"] == "rooms"
    assert ok(client.get(f"{V1}/datasets/rooms/as-of", params={"time": 1}), 404)
    assert ok(client.post(f"{path}/delete", json={}), 409)["error"]["code"] == "conflict"
    ok(client.put(f"{V1}/datasets/rooms/names/golden", json={"snapshot": other.id}))
    assert ok(client.post(f"{path}/delete", json={"reason": "wrong"}))["deleted"]
    assert one.id not in {each["id"] for each in ok(client.get(f"{V1}/snapshots"))["items"]}
    assert ok(client.post(f"{path}/restore"))["deleted"] is None
    assert ok(client.get(f"{path}/labels")) == {"names": [], "tags": {}}


def test_a_snapshots_page_shows_its_inspection_and_lets_it_be_accepted(
    client: TestClient, platform: Platform, admin: Actor
) -> None:
    inspect(platform, "default", platform.data.ingest(admin, "rooms", pa.table({"a": [1, 2]}), source="x"))
    changed = platform.data.ingest(admin, "rooms", pa.table({HOSTILE: [1, 2]}), source="x")
    inspect(platform, "default", changed)
    page = client.get(f"/data/{changed.id}").text
    assert Page(page).faults == []
    assert "Column a is gone" in page
    assert "Why the data may be used all the same" in page
    assert HOSTILE not in page
    [alarm] = platform.data_alarms.about("default", changed.id)
    assert client.get(f"/alarms/{alarm.id}", follow_redirects=False).headers["location"].startswith("/data/")
    listed = client.get("/monitor").text
    assert Page(listed).faults == []
    assert f'of <a href="/data/{changed.id}">rooms</a>' in listed
    assert "of rooms" in client.get("/").text
    assert client.get(f"{V1}/alarms").json()["items"][0]["kind"] == "data_schema"
    seen = ok(client.get(f"{V1}/snapshots/{changed.id}/inspection"))
    assert (seen["usable"], seen["inspection"]["verdicts"][0]["kind"], len(seen["alarms"])) == (False, "schema", 1)
    refused = client.post(f"/alarms/{alarm.id}/acknowledge", data={"note": ""}, headers=OURS)
    assert "say why" in refused.text
    done = client.post(f"/alarms/{alarm.id}/acknowledge", data={"note": "known"}, headers=OURS)
    assert done.status_code in {200, 303}
    assert platform.data_alarms.standing("default", [changed.id]) == {}


def test_a_snapshot_is_accepted_over_the_api(client: TestClient, platform: Platform, admin: Actor) -> None:
    inspect(platform, "default", platform.data.ingest(admin, "rooms", pa.table({"a": [1, 2]}), source="x"))
    changed = platform.data.ingest(admin, "rooms", pa.table({"b": [1, 2]}), source="x")
    path = f"{V1}/snapshots/{changed.id}"
    assert ok(client.get(f"{path}/inspection")) == {"inspection": None, "alarms": [], "usable": True}
    inspect(platform, "default", changed)
    ok(client.post(f"{path}/accept", json={"reason": ""}), 400)
    accepted = ok(client.post(f"{path}/accept", json={"reason": "renamed"}))
    assert (accepted["usable"], accepted["alarms"][0]["note"]) == (True, "renamed")
    ok(client.post(f"{V1}/snapshots/nix/accept", json={"reason": "x"}), 404)
