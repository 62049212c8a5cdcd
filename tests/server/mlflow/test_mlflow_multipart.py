"""MLflow's routes for files in parts, and what its clients are told of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.asgi import create_app
from tests_support import s3
from tests_support.control import TestClient, local

MPU = "/api/2.0/mlflow-artifacts/mpu"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MB = 1 << 20


@pytest.fixture(params=["plain", "by digest"])
def client(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Of a server whose artifacts are in an object store."""
    bucket = s3.fresh_bucket(monkeypatch)
    destination = f"{bucket}/kept" if request.param == "plain" else ""
    blobs = f"{bucket}/blobs" if request.param == "by digest" else ""
    with _client(Settings(home=tmp_path / "home", artifacts_destination=destination, blobs_url=blobs)) as opened:
        yield opened


def _client(settings: Settings) -> Any:
    platform: Platform = open_platform(settings)
    return local(create_app(platform))


def told(client: TestClient) -> tuple[bool, bool]:
    info = client.get("/api/3.0/mlflow/server-info").json()
    return info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]


def test_a_file_goes_to_the_store_in_parts_and_comes_back(client: TestClient) -> None:
    assert told(client) == (True, True)
    begun = client.post(f"{MPU}/create/0/run/artifacts", json={"path": "/home/me/model.bin", "num_parts": 2}).json()
    assert set(begun) == {"upload_id", "credentials"}
    parts = []
    for credential, data in zip(begun["credentials"], (b"a" * (5 * MB), b"b"), strict=True):
        assert set(credential) == {"url", "part_number", "headers"}
        headers = {"Content-Type": "application/octet-stream"}
        with urlopen(Request(credential["url"], data, headers, method="PUT")) as answer:
            parts.append({"part_number": credential["part_number"], "etag": answer.headers["ETag"], "url": "ignored"})
    body = {"path": "/home/me/model.bin", "upload_id": begun["upload_id"], "parts": parts}
    answer = client.post(f"{MPU}/complete/0/run/artifacts", json=body)
    assert (answer.status_code, answer.json()) == (200, {})
    assert client.get(f"{PROXY}/0/run/artifacts/model.bin").content == b"a" * (5 * MB) + b"b"
    signed = client.get("/api/2.0/mlflow-artifacts/presigned/0/run/artifacts/model.bin").json()
    assert (signed["headers"], signed["file_size"]) == ({}, 5 * MB + 1)
    assert s3.fetched(signed["url"], 5 * MB - 1, 5 * MB) == b"ab"


def test_what_is_given_up_leaves_nothing(client: TestClient) -> None:
    begun = client.post(f"{MPU}/create/0/r", json={"path": "C:\\models\\a.bin", "num_parts": 1}).json()
    for _ in range(2):
        answer = client.post(f"{MPU}/abort/0/r", json={"path": "a.bin", "upload_id": begun["upload_id"]})
        assert (answer.status_code, answer.json()) == (200, {})
    assert client.get(PROXY).json() == {}


@pytest.mark.parametrize(
    ("verb", "body", "status", "said"),
    [
        ("create", {"num_parts": 1}, 400, "Missing value for required parameter 'path'"),
        ("create", {"path": "a", "num_parts": 0}, 400, "1 to 10000 parts"),
        ("create", {"path": "a", "num_parts": 10_001}, 400, "1 to 10000 parts"),
        ("create", {"path": "a", "num_parts": "many"}, 400, "num_parts"),
        ("create", {"path": "/tmp/..", "num_parts": 1}, 400, "Invalid path"),
        ("create", {"path": "/tmp/a#b", "num_parts": 1}, 400, "Invalid path"),
        ("create", {"path": "/tmp/", "num_parts": 1}, 400, "Invalid path"),
        ("complete", {"path": "a", "upload_id": "none", "parts": []}, 404, "no upload"),
        ("complete", {"path": "a", "upload_id": "none", "parts": [{"etag": "x"}]}, 400, "part_number"),
        ("complete", {"path": "a", "upload_id": "none", "parts": [{"part_number": 1, "etag": "x"}]}, 404, "no upload"),
    ],
)
def test_what_makes_no_sense_is_refused(
    client: TestClient, verb: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post(f"{MPU}/{verb}/0/r", json=body)
    assert answer.status_code == status
    assert said in answer.json()["message"]


def test_where_the_store_signs_nothing_or_may_not_clients_are_told_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.fresh_bucket(monkeypatch)
    for number, settings in enumerate(
        (
            Settings(home=tmp_path / "1"),
            Settings(home=tmp_path / "2", artifacts_destination=f"{bucket}/kept", signed_url_seconds=0),
        )
    ):
        with _client(settings) as client:
            assert told(client) == (False, False)
            client.put(f"{PROXY}/a", content=b"x")
            for answer in (
                client.post(f"{MPU}/create/0/r", json={"path": "a", "num_parts": 2}),
                client.get("/api/2.0/mlflow-artifacts/presigned/a"),
            ):
                assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED"), number
