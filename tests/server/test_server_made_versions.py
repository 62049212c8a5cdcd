"""Versions made of what is sent, over HTTP."""

from __future__ import annotations

from starlette.testclient import TestClient

from tests_support.decisions import discount, node, scoring


def test_rules_are_registered_over_http(client: TestClient) -> None:
    sent = {
        "model": "price",
        "decision": discount(),
        "defaults": {"tier": "none", "discount": 0},
        "inputs": {"amount": "FP32"},
    }
    made = client.post("/api/v1/rules", json=sent)
    assert made.status_code == 201, made.text
    assert made.json()["parity"]["runtime"] == "rules"
    assert made.json()["signature"]["inputs"][0]["datatype"] == "FP32"
    like = {"model": "other", "decision": discount(), "like": {"model": "price", "version": 1}}
    assert client.post("/api/v1/rules", json=like).json()["signature"]["inputs"][0]["datatype"] == "FP32"


def test_bad_rules_are_refused_with_the_node(client: TestClient) -> None:
    tree = scoring()
    tree["nodes"].append(node("functionNode", "Custom", source="x"))
    refused = client.post("/api/v1/rules", json={"model": "late", "decision": tree})
    assert refused.status_code == 400
    assert "'Custom'" in refused.text
    missing = {"model": "late", "decision": scoring(), "evaluate": {"snapshot": "rows@none", "label": "late"}}
    assert client.post("/api/v1/rules", json=missing).status_code == 404


def test_versions_are_composed_over_http(client: TestClient) -> None:
    client.post("/api/v1/rules", json={"model": "rules", "decision": scoring()})
    steps = {"one": "rules@1", "two": {"model": "rules@1"}}
    sent = {"model": "both", "steps": steps, "combine": {"weighted": {"one": 2, "two": 1}}}
    made = client.post("/api/v1/compositions", json=sent)
    assert made.status_code == 201, made.text
    assert made.json()["parity"]["runtime"] == "composition"
    refused = client.post("/api/v1/compositions", json={**sent, "combine": {"mean": ["one"]}})
    assert (refused.status_code, "'mean'" in refused.text) == (400, True)
