"""Other forms of a version over HTTP: asked for, done, read as JSON and as a page; and how a version is served."""

from __future__ import annotations

import pyarrow as pa
from starlette.testclient import TestClient

from bailiwick.core.actor import system_actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.pipeline import engine_for
from tests_support.composed import logistic, register

VERSION = "/api/v1/models/late/versions/1"


def test_forms_are_asked_for_measured_and_shown(client: TestClient, platform: Platform) -> None:
    actor = system_actor("default", "training")
    register(platform, actor, "late", logistic(1.0))
    rows = pa.table({"x": [float(n % 7 - 3) for n in range(600)], "y": [int(n % 7 > 3) for n in range(600)]})
    snapshot = platform.data.ingest(actor, "rows", rows, source="here")
    assert client.get(f"{VERSION}/optimisation").status_code == 404
    assert "smaller and faster" not in client.get("/models/late/versions/1").text
    asked = {"snapshot": snapshot.id, "label": "y", "seconds": 0.01, "p99_ms": 60_000, "register": "graph"}
    queued = client.post(f"{VERSION}/optimisation", json=asked)
    assert queued.status_code == 202, queued.text
    run = queued.json()
    assert (run["pipeline"], run["params"]["snapshot"], run["status"]) == ("optimise", snapshot.id, "PENDING")
    assert client.get(f"/pipelines/{run['id']}").status_code == 200
    engine_for(platform, platform.pipelines.run("default", run["id"])).execute(actor, run["id"])
    told = client.get(f"{VERSION}/optimisation").json()
    assert (told["registered"], told["forms"][1]["name"], told["forms"][1]["package"]) == (2, "graph", None)
    assert told["kept"][-1]["shown"]
    page = client.get("/models/late/versions/2").text
    assert '<a href="/models/late/versions/2/optimised">' in page
    assert "Served with" in page
    shown = client.get("/models/late/versions/2/optimised")
    assert shown.status_code == 200
    assert "Throughput against latency" in shown.text
    assert "objective 60000 ms" in shown.text
    assert client.get("/models/late/versions/1/optimised").status_code == 200
    assert client.get("/models/late/versions/7/optimised").status_code == 404
    for wrong in ({"seconds": 0}, {"seconds": 1e9}, {"margin": -1}, {"register": "nothing"}, {"more": 1}):
        assert client.post(f"{VERSION}/optimisation", json={**asked, **wrong}).status_code == 400


def test_a_setting_is_read_put_and_taken_back(client: TestClient, platform: Platform) -> None:
    register(platform, system_actor("default", "test"), "late", logistic(1.0))
    none = {"threads": 1, "most_rows": 0, "workers": 0, "why": ""}
    assert client.get(f"{VERSION}/serving").json() == none
    wanted = {"threads": 2, "most_rows": 16, "workers": 3, "why": "tried", "reason": "faster"}
    put = client.put(f"{VERSION}/serving", json=wanted)
    assert put.json() == {"threads": 2, "most_rows": 16, "workers": 3, "why": "tried"}
    assert "2 threads a run" in client.get("/models/late/versions/1").text
    for absurd in ({"threads": 0}, {"threads": 65}, {"most_rows": -1}, {"workers": 10**9}, {"threads": "2"}, {"x": 1}):
        assert client.put(f"{VERSION}/serving", json=absurd).status_code == 400
    tagged = client.put(f"{VERSION}/tags", json={"tags": {"bailiwick.serving": "{}"}})
    assert (tagged.status_code, "not set by hand" in tagged.text) == (400, True)
    assert client.delete(f"{VERSION}/serving").json() == none
    assert client.delete(f"{VERSION}/serving").status_code == 200
