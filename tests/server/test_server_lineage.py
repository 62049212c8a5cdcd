"""Lineage, policies and the way back over HTTP."""

from __future__ import annotations

from typing import Any

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.platform import Platform
from tests_support.control import TestClient
from tests_support.populated import Story

ADMIN = Actor("u-ada", "ada", "default", frozenset(Permission))


def test_the_graph_can_be_drawn_from_the_answer(populated: TestClient, story: Story) -> None:
    record = f"snapshot/{story.ids['snapshot']}"
    graph = populated.get("/api/v1/lineage", params={"record": record, "direction": "forward"}).json()
    nodes = {each["id"]: each for each in graph["nodes"]}
    assert graph["start"] == record
    assert {each["kind"] for each in graph["nodes"]} >= {"run", "version", "deployment", "endpoint", "predictions"}
    assert all(each["from"] in nodes and each["to"] in nodes for each in graph["edges"])
    assert all(isinstance(each["label"], str) and each["label"] for each in graph["nodes"])
    predictions = [each for each in graph["nodes"] if each["kind"] == "predictions"]
    assert all(
        each["detail"]["count"] > 0 and each["detail"]["first"] <= each["detail"]["last"] for each in predictions
    )
    whole = populated.get("/api/v1/models/flights/versions/1/lineage").json()
    assert {record, "version/flights/1", "endpoint/late"} <= {each["id"] for each in whole["nodes"]}


def test_what_has_no_lineage_is_refused_in_words(populated: TestClient) -> None:
    for record, status in (("version/none/1", 404), ("banana/1", 400), ("version/flights/x", 404), ("run/\u2603", 404)):
        answer = populated.get("/api/v1/lineage", params={"record": record})
        assert (answer.status_code, bool(answer.json())) == (status, True)
    assert populated.get("/api/v1/lineage").status_code == 400
    assert populated.get("/api/v1/lineage", params={"record": "run/1", "direction": "sideways"}).status_code == 400
    assert populated.get("/api/v1/models/flights/versions/99/lineage").status_code == 404


def test_policies_are_set_and_removed(client: TestClient, platform: Platform) -> None:
    rule = {"approvers": 1, "who": ["grace"], "evidence": ["card"], "expires_ms": 1000}
    made = client.put("/api/v1/policies/late/champion", json=rule)
    assert made.status_code == 200
    assert {name: made.json()[name] for name in rule} == rule
    assert [each["target"] for each in client.get("/api/v1/policies").json()["items"]] == ["champion"]
    assert client.put("/api/v1/policies/late/champion", json={"approvers": 0}).status_code == 400
    assert client.put("/api/v1/policies/late/champion", json={"approvers": 3, "who": ["a"]}).status_code == 400
    assert client.delete("/api/v1/policies/late/champion").json() == {"items": []}
    assert client.delete("/api/v1/policies/late/champion").status_code == 404
    assert platform.governance.policies("default") == []


def test_an_endpoint_is_rolled_back(client: TestClient, platform: Platform) -> None:
    facts: dict[str, Any] = {
        name: {} for name in ("signature", "metrics", "slices", "parity", "environment", "parameters")
    }
    for number in (1, 2):
        package = platform.blobs.put(f"onnx {number}".encode())
        platform.registry.register(
            ADMIN, "late", package=package, run_id=str(number), snapshot="", code_version="", **facts
        )
        platform.endpoints.deploy(ADMIN, "late", model="late", version=number, package=package)
    assert client.post("/api/v1/endpoints/late/roll-back", json={}).status_code == 400
    after = client.post("/api/v1/endpoints/late/roll-back", json={"reason": "worse"})
    assert [each["version"] for each in after.json()["variants"]] == [1]
    assert client.post("/api/v1/endpoints/late/roll-back", json={"reason": "worse"}).status_code == 409
