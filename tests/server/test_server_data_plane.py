"""What inference processes rely on: the route table by long poll, and blobs."""

from __future__ import annotations

import threading
import time

import pytest

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.asgi import create_app
from tests_support.control import TestClient, local


def deploy(platform: Platform, actor: Actor, version: int) -> None:
    platform.endpoints.deploy(actor, "late", model="flights", version=version, package=f"{version}" * 64)


def test_the_table_is_given_at_once_to_who_knows_nothing(client: TestClient) -> None:
    assert client.get("/api/v1/routes").json() == {"format": 1, "revision": 0, "endpoints": []}


def test_who_knows_the_revision_is_told_nothing(client: TestClient, platform: Platform, admin: Actor) -> None:
    deploy(platform, admin, 1)
    answer = client.get("/api/v1/routes?after=1")
    assert (answer.status_code, answer.content) == (204, b"")


def test_an_older_revision_than_the_caller_knows_is_news_too(
    client: TestClient, platform: Platform, admin: Actor
) -> None:
    deploy(platform, admin, 1)
    assert client.get("/api/v1/routes?after=7&wait=5").json()["revision"] == 1


def test_a_waiting_caller_is_woken_by_a_change(client: TestClient, platform: Platform, admin: Actor) -> None:
    deploy(platform, admin, 1)
    threading.Timer(0.4, deploy, (platform, admin, 2)).start()
    begun = time.monotonic()
    table = client.get("/api/v1/routes?after=1&wait=20").json()
    assert time.monotonic() - begun < 10
    assert table["revision"] == 2
    assert [variant["version"] for variant in table["endpoints"][0]["variants"]] == [2]


def test_waiting_ends_after_the_time_asked_for(client: TestClient) -> None:
    begun = time.monotonic()
    assert client.get("/api/v1/routes?after=0&wait=0.5").status_code == 204
    assert 0.4 < time.monotonic() - begun < 5


def test_waiting_ends_when_the_server_stops(platform: Platform) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begun = time.monotonic()
    with local(create_app(platform, stopping=stop.is_set)) as client:
        assert client.get("/api/v1/routes?after=0&wait=25").status_code == 204
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("query", ["wait=31", "wait=-1", "wait=soon", "after=-1", "after=first"])
def test_what_cannot_be_waited_for_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/api/v1/routes?{query}").status_code == 400


def test_a_blob_is_streamed_with_its_digest_as_entity_tag(client: TestClient, platform: Platform) -> None:
    data = bytes(range(256)) * 20_000
    digest = platform.blobs.put(data)
    answer = client.get(f"/api/v1/blobs/{digest}")
    assert answer.content == data
    assert answer.headers["Content-Length"] == str(len(data))
    assert answer.headers["ETag"] == f'"{digest}"'
    assert "immutable" in answer.headers["Cache-Control"]
    assert client.get(f"/api/v1/blobs/{digest}", headers={"If-None-Match": f'"{digest}"'}).status_code == 304


def test_a_blob_that_is_not_there_or_not_a_digest(client: TestClient) -> None:
    assert client.get(f"/api/v1/blobs/{'0' * 64}").status_code == 404
    assert client.get("/api/v1/blobs/..%2f..%2fetc").status_code in {400, 404}
    assert client.get("/api/v1/blobs/abc").status_code == 400


def test_metrics_name_what_someone_may_be_paged_for(populated: TestClient) -> None:
    text = populated.get("/metrics").text
    assert "bailiwick_alarms_open 2.0" in text
    assert "bailiwick_rollouts_running 1.0" in text
    assert 'bailiwick_variant_weight{endpoint="late",model="flights",version="2"} 0.5' in text
    assert "bailiwick_http_requests_total" in text


def test_metrics_count_by_route_and_never_by_name(client: TestClient) -> None:
    client.get("/api/v1/models/top-secret-model")
    text = client.get("/metrics").text
    assert 'route="/api/v1/models/{model}",status="404"' in text
    assert "top-secret-model" not in text
