"""MLflow's artifact routes: what is listed, sent and refused, and in which words."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.server.conftest import ClientOf

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.asgi import create_app
from bailiwick.server.streaming import attachment, mime_type
from tests_support import s3
from tests_support.control import TestClient, local

PROXY = "/api/2.0/mlflow-artifacts/artifacts"


def put(client: TestClient, path: str, data: bytes | Iterator[bytes], **headers: str) -> Any:
    return client.put(f"{PROXY}/{quote(path)}", content=data, headers=headers)


def refusal(answer: Any) -> tuple[int, str, str]:
    said = answer.json()
    assert set(said) == {"error_code", "message"}
    return answer.status_code, said["error_code"], said["message"]


@pytest.fixture
def run_id(platform: Platform) -> str:
    """A run in experiment 0."""
    return platform.tracking.start_run(platform.identities.local_admin("default"), "Default").id


# -- the proxy -------------------------------------------------------------------------------------------------------


def test_what_is_put_is_listed_and_comes_back(client: TestClient) -> None:
    for path, data in (("a.txt", b"0"), ("dir/b.txt", b"11"), ("dir/c/größe #.bin".replace("#", "="), b"222")):
        answer = put(client, path, data)
        assert (answer.status_code, answer.json()) == (200, {})
        assert client.get(f"{PROXY}/{quote(path)}").content == data
    assert client.get(PROXY).json() == {
        "files": [{"path": "a.txt", "is_dir": False, "file_size": 1}, {"path": "dir", "is_dir": True}]
    }
    for path in ("dir", "dir/"):
        assert client.get(PROXY, params={"path": path}).json() == {
            "files": [{"path": "b.txt", "is_dir": False, "file_size": 2}, {"path": "c", "is_dir": True}]
        }
    assert client.get(PROXY, params={"path": "dir/c"}).json()["files"][0]["path"] == "größe =.bin"
    assert client.get(PROXY.replace("/api/", "/ajax-api/"), params={"path": "dir"}).status_code == 200


def test_what_is_not_a_folder_has_an_empty_listing(client: TestClient) -> None:
    put(client, "a.txt", b"0")
    for path in ("a.txt", "absent", "absent/too"):
        assert client.get(PROXY, params={"path": path}).json() == {}


def test_a_file_or_a_tree_is_deleted_again_and_again(client: TestClient) -> None:
    for path in ("r/a", "r/b/c"):
        put(client, path, b"1")
    for _ in range(2):
        answer = client.delete(f"{PROXY}/r")
        assert (answer.status_code, answer.json()) == (200, {})
    assert client.get(PROXY).json() == {}


def test_an_absent_file_a_folder_and_a_path_without_a_name_are_refused(client: TestClient) -> None:
    put(client, "r/a", b"1")
    assert refusal(client.get(f"{PROXY}/r/b"))[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    status, code, message = refusal(client.get(f"{PROXY}/r"))
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "is a folder" in message
    assert refusal(put(client, "r/new/", b"1")) == (400, "INVALID_PARAMETER_VALUE", "Invalid path")
    assert refusal(put(client, "r", b"1"))[:2] == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "raw",
    [
        "%2e%2e/a", "a/%2e%2e/%2e%2e/b", "%252e%252e/a", "a%5cb", "%2fetc/passwd", "C%3a/windows", "a%00b", "a%23b",
        "a%252523b", "a%ffb", "%2e%2e%5ca", "a%2f%2fb", "%0a",
    ],
)  # fmt: skip
def test_hostile_paths_are_invalid_in_every_disguise(client: TestClient, raw: str) -> None:
    for answer in (
        client.put(f"{PROXY}/{raw}", content=b"evil"),
        client.get(f"{PROXY}/{raw}"),
        client.delete(f"{PROXY}/{raw}"),
        client.get(f"{PROXY}?path={raw}"),
        client.get(f"/get-artifact?run_id=0&path={raw}"),
        client.get(f"/api/2.0/mlflow-artifacts/presigned/{raw}"),
    ):
        status, code, message = refusal(answer)
        assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
        assert message == "Invalid path" or ("%00" in raw and "NUL" in message)


def test_a_path_that_is_too_long_is_refused_with_the_limit(client: TestClient) -> None:
    assert "at most 1024 bytes" in refusal(put(client, "/".join(["a" * 200] * 6), b"x"))[2]
    assert "at most 255 bytes" in refusal(put(client, "a" * 256, b"x"))[2]


@given(path=st.text(min_size=1, max_size=30), data=st.binary(max_size=100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_no_path_and_no_body_is_a_fault_of_ours(client: TestClient, path: str, data: bytes) -> None:
    encoded = quote(path.encode("utf-8", "surrogatepass"))
    written = client.put(f"{PROXY}/{encoded}", content=data)
    assert written.status_code in {200, 400, 404, 405}  # a path of dots leaves the proxy: another route's, or nobody's
    read = client.get(f"{PROXY}/{encoded}")
    if written.status_code == 200:
        assert read.content == data
        assert client.delete(f"{PROXY}/{encoded}").status_code == 200
    else:
        assert read.status_code in {200, 400, 404, 405}


def test_multipart_uploads_are_declined_in_the_words_that_clients_know(client: TestClient) -> None:
    for verb in ("create", "complete", "abort"):
        answer = client.post(f"/api/2.0/mlflow-artifacts/mpu/{verb}/0/r", json={"path": "a", "num_parts": 2})
        assert refusal(answer) == (
            501,
            "NOT_IMPLEMENTED",
            "Multipart upload is not supported for the current artifact repository",
        )
    answer = client.get("/api/2.0/mlflow-artifacts/presigned/a")
    assert refusal(answer)[:2] == (501, "NOT_IMPLEMENTED")


# -- bodies and headers ----------------------------------------------------------------------------------------------


def test_a_file_is_sent_as_an_attachment_of_its_kind(client: TestClient) -> None:
    for name, kind in {
        "a.txt": "text/plain",
        "b.pkl": "application/octet-stream",
        "c.png": "image/png",
        "d.pdf": "application/pdf",
        "MLmodel": "text/plain",
        "mlproject": "text/plain",
        "e.html": "text/html",
        "f.tar.gz": "application/octet-stream",
    }.items():
        put(client, f"dir/{name}", b"x", **{"Content-Type": "text/html"})
        answer = client.get(f"{PROXY}/dir/{name}", headers={"Accept": "text/html"})
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["Content-Disposition"] == f"attachment; filename={name}"
        assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]


def test_names_of_every_kind_fit_in_a_header() -> None:
    assert attachment("a/dog%step%100.png") == "attachment; filename=dog%step%100.png"
    assert attachment('a "b".txt') == 'attachment; filename="a \\"b\\".txt"'
    assert attachment("größe.txt") == "attachment; filename=groe.txt; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"
    assert attachment("日本") == "attachment; filename=download; filename*=UTF-8''%E6%97%A5%E6%9C%AC"
    assert mime_type("x") == "application/octet-stream"


def test_a_range_is_sent_alone(client: TestClient) -> None:
    data = bytes(range(256)) * 20_000
    put(client, "a.bin", data)
    whole = client.get(f"{PROXY}/a.bin")
    assert (whole.headers["Accept-Ranges"], whole.headers["Content-Length"]) == ("bytes", str(len(data)))
    digest = hashlib.sha256(data)
    assert whole.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert whole.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    for asked, (start, end) in {
        "bytes=0-0": (0, 1),
        "bytes=1000000-3000000": (1_000_000, 3_000_001),
        "bytes=5119999-": (5_119_999, 5_120_000),
        "bytes=-10": (5_119_990, 5_120_000),
        "bytes=-99999999999": (0, 5_120_000),
        "bytes=100-99999999999": (100, 5_120_000),
    }.items():
        answer = client.get(f"{PROXY}/a.bin", headers={"Range": asked})
        assert answer.content == data[start:end]
        assert answer.headers["Content-Length"] == str(end - start)
        if end - start < len(data):
            assert answer.status_code == 206
            assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(data)}"
    for asked in ("bytes=0-1,5-6", "bytes=5-1", "bytes=-", "lines=0-1", "bytes=a-b"):
        assert len(client.get(f"{PROXY}/a.bin", headers={"Range": asked}).content) == len(data)
    for asked in ("bytes=5120000-", "bytes=9999999-99999999", "bytes=-0"):
        answer = client.get(f"{PROXY}/a.bin", headers={"Range": asked})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */5120000")


def test_a_download_goes_on_only_if_the_file_is_still_the_same(client: TestClient) -> None:
    put(client, "a", b"before")
    etag = client.head(f"{PROXY}/a").headers["ETag"]
    headers = {"Range": "bytes=3-", "If-Range": etag}
    assert client.get(f"{PROXY}/a", headers=headers).content == b"ore"
    put(client, "a", b"behind")
    answer = client.get(f"{PROXY}/a", headers=headers)
    assert (answer.status_code, answer.content) == (200, b"behind")


def test_head_tells_the_size_and_sends_nothing(client: TestClient) -> None:
    put(client, "a", b"12345")
    answer = client.head(f"{PROXY}/a")
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "5", b"")
    assert client.head(f"{PROXY}/b").status_code == 404


def test_an_empty_file_is_sent(client: TestClient) -> None:
    put(client, "empty", b"")
    answer = client.get(f"{PROXY}/empty")
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "0", b"")
    assert client.get(f"{PROXY}/empty", headers={"Range": "bytes=0-"}).content == b""


def test_a_body_beyond_the_limit_is_refused_announced_or_not(tmp_path: Path) -> None:
    platform = open_platform(Settings(home=tmp_path / "home", max_artifact_bytes=3_000_000))
    with local(create_app(platform)) as client:
        assert put(client, "a", b"x" * 3_000_000).status_code == 200
        status, code, message = refusal(put(client, "b", b"x" * 3_000_001))
        assert (status, code) == (413, "BAD_REQUEST")
        assert "3000000" in message
        assert "3000000" in refusal(put(client, "b", iter([b"x" * 1_000_000] * 4)))[2]
        assert [file["path"] for file in client.get(PROXY).json()["files"]] == ["a"]
    platform.close()


def test_only_those_who_may_write_can_write(as_remote: ClientOf, tokens: dict[str, str], client: TestClient) -> None:
    put(client, "a", b"1")
    viewer, nobody, stranger = as_remote(tokens["viewer"]), as_remote(), as_remote(tokens["stranger"])
    for verb in ("put", "delete"):
        assert refusal(getattr(viewer, verb)(f"{PROXY}/a"))[:2] == (403, "PERMISSION_DENIED")
        assert refusal(getattr(nobody, verb)(f"{PROXY}/a"))[:2] == (401, "UNAUTHENTICATED")
    assert viewer.get(f"{PROXY}/a").content == b"1"
    assert nobody.get(f"{PROXY}/a").status_code == 401
    assert stranger.get(f"{PROXY}/a").status_code in {401, 403, 404}


# -- by run ----------------------------------------------------------------------------------------------------------


def test_a_runs_artifacts_are_listed_by_paths_below_its_root(client: TestClient, run_id: str) -> None:
    listing = "/api/2.0/mlflow/artifacts/list"
    assert client.get(listing, params={"run_id": run_id}).json() == {
        "root_uri": f"mlflow-artifacts:/0/{run_id}/artifacts"
    }
    for path in ("a.txt", "dir/b.txt", "dir/sub/c.txt"):
        put(client, f"0/{run_id}/artifacts/{path}", b"1")
    assert client.get(listing, params={"run_id": run_id}).json() == {
        "root_uri": f"mlflow-artifacts:/0/{run_id}/artifacts",
        "files": [{"path": "a.txt", "is_dir": False, "file_size": 1}, {"path": "dir", "is_dir": True}],
    }
    assert client.get(listing, params={"run_uuid": run_id, "path": "dir"}).json()["files"] == [
        {"path": "dir/b.txt", "is_dir": False, "file_size": 1},
        {"path": "dir/sub", "is_dir": True},
    ]
    assert refusal(client.get(listing, params={"run_id": run_id, "path": "../path"})) == (
        400,
        "INVALID_PARAMETER_VALUE",
        "Invalid path",
    )
    assert refusal(client.get(listing))[2].startswith("Missing value for required parameter 'run_id'.")
    assert refusal(client.get(listing, params={"run_id": "absent"}))[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_runs_file_is_sent_to_a_browser(client: TestClient, run_id: str) -> None:
    put(client, f"0/{run_id}/artifacts/dir/a.txt", b"abcdefg")
    answer = client.get("/get-artifact", params={"run_id": run_id, "path": "dir/a.txt"})
    assert (answer.text, answer.headers["Content-Disposition"]) == ("abcdefg", "attachment; filename=a.txt")
    assert client.get("/get-artifact", params={"run_uuid": run_id, "path": "dir/a.txt"}).status_code == 200
    assert refusal(client.get("/get-artifact", params={"run_id": run_id, "path": "b"}))[0] == 404
    assert "'path'" in refusal(client.get("/get-artifact", params={"run_id": run_id}))[2]
    assert "'run_id'" in refusal(client.get("/get-artifact", params={"path": "a"}))[2]


def test_pages_upload_small_files_to_a_run(client: TestClient, run_id: str) -> None:
    upload = "/ajax-api/2.0/mlflow/upload-artifact"

    def post(data: bytes = b"", **params: str) -> Any:
        return client.post(upload, params=params, content=data)

    for answer, said in (
        (post(), "Request must specify run_id or run_uuid."),
        (post(run_uuid=run_id), "Request must specify path."),
        (post(run_uuid=run_id, path=""), "Request must specify path."),
        (post(run_uuid=run_id, path="../test.txt"), "Invalid path"),
        (post(run_uuid=run_id, path="test.txt"), "Request must specify data."),
        (post(b"x" * (10 * 1024 * 1024 + 1), run_uuid=run_id, path="a"), "Artifact size is too large."),
    ):
        status, code, message = refusal(answer)
        assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
        assert said in message
    assert post(b"hello", run_uuid=run_id, path="dir/test.txt").status_code == 200
    assert client.get(f"{PROXY}/0/{run_id}/artifacts/dir/test.txt").content == b"hello"
    assert post(b"bye", run_id=run_id, path="dir/test.txt").status_code == 200
    assert client.get(f"{PROXY}/0/{run_id}/artifacts/dir/test.txt").content == b"bye"


def test_urls_are_signed_only_where_the_store_can(client: TestClient, run_id: str) -> None:
    signing = "/api/2.0/mlflow/artifacts/presigned"
    for verb, what in (("upload", "Presigned upload"), ("download", "Presigned download")):
        answer = client.post(f"{signing}-{verb}-url", json={"run_id": run_id, "path": "a"})
        assert refusal(answer) == (
            501,
            "NOT_IMPLEMENTED",
            f"{what} is not supported for the current artifact repository",
        )
        assert refusal(client.post(f"{signing}-{verb}-url", json={"run_id": run_id}))[2].startswith("Missing value")
    both = {"run_id": run_id, "model_id": "m-1", "path": "a"}
    assert "Exactly one" in refusal(client.post(f"{signing}-upload-url", json=both))[2]
    model_id = _logged_model(client)
    asked = {"artifact_file_path": "MLmodel", "presigned": "true"}
    answer = client.get(f"/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files", params=asked)
    assert refusal(answer)[:2] == (501, "NOT_IMPLEMENTED")


def test_an_s3_destination_signs_and_keeps_plain_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.fresh_bucket(monkeypatch)
    platform = open_platform(Settings(home=tmp_path / "home", artifacts_destination=f"{bucket}/kept"))
    run_id = platform.tracking.start_run(platform.identities.local_admin("default"), "Default").id
    with local(create_app(platform)) as client:
        data = b"0123456789" * 2_000_000
        assert put(client, f"0/{run_id}/artifacts/a b.bin", data).status_code == 200
        assert client.get(f"{PROXY}/0/{run_id}/artifacts/a b.bin").content == data
        signed = client.get(f"/api/2.0/mlflow-artifacts/presigned/0/{run_id}/artifacts/a b.bin").json()
        assert (signed["file_size"], signed["headers"]) == (len(data), {})
        assert s3.fetched(signed["url"], 5, 9) == b"56789"
        asked = {"run_id": run_id, "path": "a b.bin", "expiration": "60"}
        signed = client.post("/api/2.0/mlflow/artifacts/presigned-download-url", json=asked).json()
        assert s3.fetched(signed["presigned_url"], 0, 3) == b"0123"
        signed = client.post(
            "/api/2.0/mlflow/artifacts/presigned-upload-url", json={"run_id": run_id, "path": "d/up"}
        ).json()
        s3.sent(signed["presigned_url"], b"from outside")
        assert client.get(f"{PROXY}/0/{run_id}/artifacts/d/up").content == b"from outside"
        refused = client.post("/api/2.0/mlflow/artifacts/presigned-download-url", json={**asked, "expiration": 604_801})
        assert "604800" in refusal(refused)[2]
        _model_files_are_signed(client)
    platform.close()


def _logged_model(client: TestClient) -> str:
    made = client.post("/api/2.0/mlflow/logged-models", json={"experiment_id": "0", "name": "m"})
    return str(made.json()["model"]["info"]["model_id"])


def _model_files_are_signed(client: TestClient) -> None:
    model_id = _logged_model(client)
    assert put(client, f"0/models/{model_id}/artifacts/MLmodel", b"flavors: {}").status_code == 200
    client.post("/api/2.0/mlflow/registered-models/create", json={"name": "m"})
    version = {"name": "m", "source": f"models:/{model_id}", "model_id": model_id}
    assert client.post("/api/2.0/mlflow/model-versions/create", json=version).status_code == 200
    for path, asked in (
        (f"/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files", {"artifact_file_path": "MLmodel"}),
        ("/model-versions/get-artifact", {"name": "m", "version": "1", "path": "MLmodel"}),
    ):
        signed = client.get(path, params={**asked, "presigned": "true"}).json()
        assert (signed["file_size"], signed["headers"]) == (11, {})
        assert s3.fetched(signed["url"], 0, 6) == b"flavors"
        assert client.get(path, params={**asked, "presigned": "false"}).content == b"flavors: {}"


def test_a_location_that_only_clients_reach_is_said_to_be_one(client: TestClient, platform: Platform) -> None:
    actor = platform.identities.local_admin("default")
    platform.tracking.create_experiment(actor, "direct", artifact_location="s3://bucket/x")
    run = platform.tracking.start_run(actor, "direct")
    status, code, message = refusal(client.get("/api/2.0/mlflow/artifacts/list", params={"run_id": run.id}))
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "out of this server's reach" in message
