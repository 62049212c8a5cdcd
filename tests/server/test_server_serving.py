"""Reports of inference processes and promises about endpoints, over HTTP."""

from __future__ import annotations

import msgspec

from bailiwick.core.actor import Actor
from bailiwick.endpoints.reporting import CLASSES, Counts, WorkerReport
from bailiwick.lifecycle.platform import Platform
from tests_support.control import TestClient

REPORT = WorkerReport("here/0/1", 1, ("late",), {}, {"late": Counts(1, (5,) * CLASSES)})


def test_a_report_is_taken_as_workers_send_it_and_shows_who_serves(
    client: TestClient, platform: Platform, admin: Actor
) -> None:
    platform.endpoints.deploy(admin, "late", model="flights", version=1, package="a" * 64)
    body = msgspec.json.encode(REPORT)
    answer = client.post("/api/v1/serving/reports", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.content) == (204, b"")
    (worker,) = client.get("/api/v1/serving/workers").json()["items"]
    assert worker["report"] == msgspec.json.decode(body)
    (standing,) = client.get("/api/v1/endpoints/late/objectives").json()["standings"]
    assert (standing["burns"][0]["requests"], standing["burns"][0]["bad"]) == (66, 1)


def test_a_report_of_a_newer_worker_is_understood_and_one_of_nonsense_is_not(client: TestClient) -> None:
    report = msgspec.to_builtins(REPORT)
    assert client.post("/api/v1/serving/reports", json={**report, "mood": "good"}).status_code == 204
    for wrong in ({"worker": ""}, {"counts": {"late": {"failed": -1, "latency": []}}}, {"revision": "one"}):
        assert client.post("/api/v1/serving/reports", json={**report, **wrong}).status_code == 400
    short = {"counts": {"late": {"failed": 0, "latency": [1]}}}
    assert client.post("/api/v1/serving/reports", json={**report, **short}).status_code == 400


def test_promises_are_made_and_read(client: TestClient, platform: Platform, admin: Actor) -> None:
    platform.endpoints.deploy(admin, "late", model="flights", version=1, package="a" * 64)
    wanted = {"availability": 0.99, "latency_us": 10_000, "latency_share": 0.95}
    found = client.put("/api/v1/endpoints/late/objectives", json=wanted).json()
    assert found["objectives"] == wanted
    assert [standing["objective"] for standing in found["standings"]] == ["availability", "latency"]
    assert client.put("/api/v1/endpoints/late/objectives", json={"latency_us": 7}).status_code == 400
    assert client.get("/api/v1/endpoints/none/objectives").status_code == 404


def test_an_endpoints_page_shows_what_is_promised_and_who_serves(
    client: TestClient, platform: Platform, admin: Actor
) -> None:
    platform.endpoints.deploy(admin, "late", model="flights", version=1, package="a" * 64)
    client.put("/api/v1/endpoints/late/objectives", json={"availability": 0.99, "latency_us": 10_000})
    client.post("/api/v1/serving/reports", json=msgspec.to_builtins(REPORT))
    page = client.get("/endpoints/late").text
    assert "99% of requests do not fail" in page
    assert "99% of answers within 10 ms" in page
    assert "here/0/1" in page
