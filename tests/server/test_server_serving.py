"""Reports of inference processes and promises about endpoints, over HTTP."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pyarrow as pa
import sqlalchemy

from bailiwick.core.actor import Actor
from bailiwick.endpoints.model import Fallback, OutputValue, Policy, Quota, Shadow, Variant
from bailiwick.endpoints.recording import Recording
from bailiwick.endpoints.reporting import CLASSES, Counts, WorkerReport
from bailiwick.lifecycle.platform import Platform
from bailiwick.monitoring.objectives.tables import workers
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


def test_an_endpoints_page_shows_its_policy_its_breakers_and_what_is_kept(
    client: TestClient, platform: Platform, admin: Actor
) -> None:
    platform.endpoints.deploy(admin, "late", model="flights", version=1, package="a" * 64)
    assert "The split alone decides." in client.get("/endpoints/late").text
    policy = Policy(
        override_header="x-variant",
        shadows=(Shadow(Variant("v3", "flights", 3, "b" * 64, 0), 2_500),),
        fallbacks=(Fallback(previous=True), Fallback(answer=(OutputValue("delay", "unbekannt"),))),
        slow_ms=200,
        quota=Quota(50, 100, "header:x-client"),
    )
    platform.endpoints.set_policy(admin, "late", policy, reason="")
    platform.endpoints.set_recording(admin, "late", Recording(share=1_000, omitted=("größe",)))
    client.post("/api/v1/serving/reports", json=msgspec.to_builtins(REPORT))
    page = client.get("/endpoints/late").text
    for told in (
        "by the header x-variant",
        "what served before: nothing yet",
        "delay = unbekannt",
        "50% of at least 20 calls in 10 s fail or take over 200 ms",
        "All closed",
        "25%",
        "50 requests a second in each worker, 100 at once, told apart by the header x-client",
        "10% of the requests",
        "größe",
    ):
        assert told in page, told
    stopped = replace(REPORT, breakers={"late": {"v1": "open"}})
    client.post("/api/v1/serving/reports", json=msgspec.to_builtins(stopped))
    page = client.get("/endpoints/late").text
    assert "Variant v1 has failed too often and is left alone in 1 inference process." in page
    assert "All closed" not in page


def test_failures_of_the_last_day_are_shown_unless_looking_is_journalled(
    client: TestClient, platform: Platform, admin: Actor
) -> None:
    platform.endpoints.deploy(admin, "late", model="flights", version=1, package="a" * 64)
    now = platform.records.clock()
    rows = {
        "prediction_id": ["good:0", "bad:0", "old:0"],
        "request_id": ["good", "bad", "old"],
        "row": pa.array([0] * 3, pa.int32()),
        "endpoint": ["late"] * 3,
        "epoch": pa.array([1] * 3, pa.int32()),
        "variant": ["v1"] * 3,
        "model": ["flights"] * 3,
        "version": pa.array([1] * 3, pa.int32()),
        "unit": ["u"] * 3,
        "time": [now] * 3,
        "received": [now - 1_000, now - 2_000, now - 2 * 86_400_000],
        "latency_us": pa.array([100] * 3, pa.int32()),
        "status": pa.array([200, 500, 503], pa.int16()),
        "error": pa.array([None, "The model <failed>.", "Too late."], pa.string()),
    }
    platform.logs.of("default").append_predictions("late", pa.table(rows))
    page = client.get("/endpoints/late").text
    assert "The model &lt;failed&gt;." in page
    assert "Too late." not in page
    failed = client.get("/predictions?endpoint=late&status=failed").text
    assert "bad:0" in failed
    assert "old:0" in failed
    assert "good:0" not in failed
    found = client.get("/api/v1/predictions?endpoint=late&failed=true").json()["items"]
    assert [each["id"] for each in found] == ["bad:0", "old:0"]
    assert "is no number" in client.get("/predictions?status=abc").text
    before = len(platform.journal.entries("default", limit=1_000))
    with platform.database.write() as connection:
        recording = msgspec.json.encode(Recording(personal=("name",))).decode()
        connection.execute(sqlalchemy.text("UPDATE endpoints SET recording = :it"), {"it": recording})
    page = client.get("/endpoints/late").text
    assert "shown on request only" in page
    assert "The model" not in page
    assert len(platform.journal.entries("default", limit=1_000)) == before


def test_a_worker_that_said_goodbye_is_shown_as_stopped_and_one_that_did_not_as_silent(
    client: TestClient, platform: Platform, admin: Actor
) -> None:
    platform.endpoints.deploy(admin, "late", model="flights", version=1, package="a" * 64)

    def shown(report: WorkerReport, seconds: int) -> str:
        client.post("/api/v1/serving/reports", json=msgspec.to_builtins(report))
        with platform.database.write() as connection:
            connection.execute(sqlalchemy.update(workers).values(seen=workers.c.seen - 1000 * seconds))
        states = re.findall(r"badge [a-z]*\">(Serving|Silent|Leaving|Stopped)<", client.get("/endpoints/late").text)
        return str(states[0])

    leaving = replace(REPORT, leaving=True)
    assert [shown(REPORT, 0), shown(REPORT, 16)] == ["Serving", "Silent"]
    assert [shown(leaving, 0), shown(leaving, 16)] == ["Leaving", "Stopped"]
    assert shown(replace(leaving, stopped=True), 0) == "Stopped"
