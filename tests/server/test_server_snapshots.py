"""The native API of dataset snapshots: found as of a time, named, tagged, compared, deleted and restored."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from tests_support.control import TestClient

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
