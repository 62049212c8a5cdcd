"""Who is believed: tokens, the user of this machine, and nobody else's browser."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from tests.server.conftest import ClientOf

from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.asgi import create_app
from bailiwick.server.auth import COOKIE, Authenticator
from tests_support.control import ELSEWHERE, HERE, TestClient, remote


def request(client: tuple[str, int] | None = HERE, **headers: str) -> Request:
    sent = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in {"host": "127.0.0.1:8600", **headers}.items()
    ]
    return Request(
        {"type": "http", "method": "GET", "path": "/", "headers": sent, "client": client, "query_string": b""}
    )


@pytest.fixture
def authenticator(platform: Platform) -> Authenticator:
    return Authenticator(platform.identities, platform.workspaces, platform.settings)


@pytest.mark.parametrize("host", ["127.0.0.1:8600", "localhost:8600", "localhost", "[::1]:8600", "127.0.0.1"])
def test_the_user_of_this_machine_is_the_administrator(authenticator: Authenticator, host: str) -> None:
    assert authenticator.is_local(request(host=host))
    assert authenticator.actor(request(host=host)).name == "local"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8600", "127.0.0.1.evil.example", "", "[::1", "192.168.1.4:8600"]
)
def test_a_name_that_was_made_to_resolve_to_loopback_is_not_believed(authenticator: Authenticator, host: str) -> None:
    assert not authenticator.is_local(request(host=host))


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip", "via"])
def test_what_a_proxy_passes_on_is_not_local(authenticator: Authenticator, header: str) -> None:
    assert not authenticator.is_local(request(HERE, **{header: "203.0.113.9"}))


def test_another_machine_is_not_local(authenticator: Authenticator) -> None:
    assert not authenticator.is_local(request(client=ELSEWHERE))
    assert not authenticator.is_local(request(client=None))


def test_a_server_bound_to_the_network_has_no_local_administrator(platform: Platform) -> None:
    open_to_all = Authenticator(platform.identities, platform.workspaces, Settings(host="0.0.0.0", insecure=True))
    assert not open_to_all.is_local(request())


def test_a_wrong_token_is_not_rescued_by_being_local(client: TestClient) -> None:
    answer = client.get("/api/v1/models", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("value", ["Basic abc", "Bearer", "Bearer  "])
def test_other_schemes_are_refused(client: TestClient, value: str) -> None:
    assert client.get("/api/v1/models", headers={"Authorization": value}).status_code == 401


def test_a_token_names_its_identity(as_remote: ClientOf, tokens: dict[str, str]) -> None:
    made = as_remote(tokens["operator"]).post("/api/v1/pipeline-runs", json={"project": "none"})
    assert made.status_code == 404
    assert as_remote(tokens["viewer"]).get("/api/v1/models").status_code == 200


def test_an_impossible_workspace_is_refused(client: TestClient) -> None:
    answer = client.get("/api/v1/models", headers={"Bailiwick-Workspace": "a/b"})
    assert answer.status_code == 400
    assert "Workspace" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none", "Origin": "https://evil.example"},
    ],
)
def test_a_write_that_another_site_sends_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/api/v1/rollouts/x/abort", json={"reason": "evil"}, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.json()["error"]["message"]


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://127.0.0.1:8600"}, {"Sec-Fetch-Site": "same-origin"}])
def test_programs_and_our_own_pages_may_write(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/api/v1/rollouts/x/abort", json={"reason": "r"}, headers=headers).status_code == 404


def test_signing_in_keeps_the_token_in_a_cookie_that_scripts_cannot_read(
    platform: Platform, tokens: dict[str, str]
) -> None:
    with remote(create_app(platform)) as client:
        origin = {"Origin": "http://control.example:8600"}
        first = client.get("/models?x=1")
        assert (first.status_code, first.headers["Location"]) == (303, "/sign-in?next=%2Fmodels%3Fx%3D1")
        wrong = client.post("/sign-in", data={"token": "nonsense", "next": "/models"}, headers=origin)
        assert wrong.status_code == 401
        assert "not valid" in wrong.text
        done = client.post("/sign-in", data={"token": tokens["viewer"], "next": "/models"}, headers=origin)
        assert (done.status_code, done.headers["Location"]) == (303, "/models")
        cookie = done.headers["Set-Cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "a-viewer" in client.get("/models").text
        assert client.post("/sign-out").status_code == 403
        assert client.post("/sign-out", headers=origin).status_code == 303
        assert client.get("/models").status_code == 303


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\\b", "/\x01"]
)
def test_signing_in_never_leads_to_another_site(platform: Platform, tokens: dict[str, str], target: str) -> None:
    with remote(create_app(platform)) as client:
        done = client.post(
            "/sign-in",
            data={"token": tokens["viewer"], "next": target},
            headers={"Origin": "http://control.example:8600"},
        )
        assert done.headers["Location"] == "/"
