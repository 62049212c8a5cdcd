"""Bad input gets a clear error: a stable code, the field, and never a fault of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core import errors
from bailiwick.core.errors import BailiwickError, CheckFailed, InvalidInput, MissingExtra
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.api.errors import STATUS, detail_of, error_response, status_of
from bailiwick.server.api.route import Route
from bailiwick.server.api.routes import ROUTES
from bailiwick.server.asgi import create_app
from bailiwick.server.middleware import MAX_BODY_BYTES
from tests_support.control import TestClient, local


def _error(answer: Response) -> dict[str, Any]:
    body: dict[str, dict[str, Any]] = answer.json()
    assert set(body) == {"error"}
    return body["error"]


def test_every_class_of_error_has_a_status() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BailiwickError)]
    for each in classes:
        assert each in STATUS or issubclass(each, tuple(set(STATUS) - {BailiwickError})), each
    assert status_of(MissingExtra("no")) == 503


def test_a_failed_check_tells_its_findings() -> None:
    detail = detail_of(CheckFailed("Two gates say no.", findings=["auc 0.5"], hint="Train longer."))
    assert detail.findings == ("auc 0.5",)
    body = json.loads(bytes(error_response(422, detail).body))
    assert body["error"] == {
        "code": "check_failed", "message": "Two gates say no.", "hint": "Train longer.", "findings": ["auc 0.5"],
    }  # fmt: skip


def test_an_error_without_findings_has_no_such_key() -> None:
    assert "findings" not in json.loads(bytes(error_response(400, detail_of(InvalidInput("No."))).body))["error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "not JSON"),
        ('{"endpoint": "a", "model": "b"}', "version"),
        ('{"endpoint": "a", "model": "b", "version": "1"}', "version: expected `int`, got `str`"),
        ('{"endpoint": "a", "model": "b", "version": 0}', "version"),
        ('{"endpoint": "a", "model": "b", "version": 1e300}', "version"),
        ('{"endpoint": "a", "model": "b", "version": 1, "sped": 2}', "sped"),
        ('{"endpoint": "a\\u0000", "model": "b", "version": 1}', "NUL"),
        ('{"endpoint": "\\ud800", "model": "b", "version": 1}', "not JSON"),
        ('{"endpoint": "a", "model": "b", "version": 1, "config": {"margin": 0.5}}', "margin"),
        ("[" * 5000, "expected `object`"),
        ("null", "expected `object`"),
        ("", "not JSON"),
    ],
)
def test_a_body_that_cannot_be_used_is_400_and_names_the_field(client: TestClient, body: str, said: str) -> None:
    answer = client.post("/api/v1/rollouts", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert _error(answer)["code"] == "invalid_input"
    assert said.lower() in _error(answer)["message"].lower()


def test_the_hint_lists_the_fields(client: TestClient) -> None:
    answer = client.post("/api/v1/rollouts", json={"sped": 1})
    assert "endpoint, model, version, config" in _error(answer)["hint"]


def test_a_body_of_another_type_is_refused(client: TestClient) -> None:
    answer = client.post("/api/v1/rollouts", content=b"endpoint=late", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400
    assert "application/json" in _error(answer)["hint"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=many", "limit=1&limit=2", "limits=3", "before=-1", f"before={10**30}", "resource=%00"]
)
def test_a_query_that_cannot_be_used_is_400(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/v1/journal/entries?{query}")
    assert answer.status_code == 400
    assert _error(answer)["message"]


@pytest.mark.parametrize("number", ["0", "-1", "one", "9" * 30, "1.0", "%20", "%C2%B2"])
def test_a_version_that_is_no_number_is_missing(client: TestClient, number: str) -> None:
    assert client.get(f"/api/v1/models/flights/versions/{number}").status_code == 404


def test_no_such_path_and_no_such_method_answer_in_the_same_shape(client: TestClient) -> None:
    missing, refused = client.get("/api/v1/nothing"), client.delete("/api/v1/rollouts")
    assert (missing.status_code, _error(missing)["code"]) == (404, "not_found")
    assert (refused.status_code, _error(refused)["code"]) == (405, "method_not_allowed")
    assert "GET" in refused.headers["Allow"]


def test_a_body_over_the_limit_is_refused_before_it_is_read(client: TestClient) -> None:
    answer = client.post(
        "/api/v1/rollouts", content=b" " * (MAX_BODY_BYTES + 1), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, _error(answer)["code"]) == (413, "limit_exceeded")


def test_a_body_that_hides_its_length_is_refused_while_it_is_read(client: TestClient) -> None:
    chunks = (b" " * 65_536 for _ in range(20))
    answer = client.post("/api/v1/rollouts", content=chunks, headers={"Content-Type": "application/json"})
    assert (answer.status_code, _error(answer)["code"]) == (413, "limit_exceeded")


def test_a_fault_of_ours_is_told_without_detail(
    platform: Platform, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("secret path /home/somebody")

    monkeypatch.setattr(type(platform.data), "snapshots", broken)
    with local(create_app(platform), raise_server_exceptions=False) as client:
        answer = client.get("/api/v1/snapshots")
    assert answer.status_code == 500
    assert _error(answer)["code"] == "internal"
    assert "somebody" not in answer.text
    assert "secret path" in caplog.text


def test_a_database_that_does_not_answer_is_503(
    platform: Platform, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def refuse(*_args: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("disk I/O error"))

    monkeypatch.setattr(type(platform.database), "read", refuse)
    answer = client.get("/ready")
    assert (answer.status_code, _error(answer)["code"]) == (503, "unavailable")
    assert client.get("/health").status_code == 200


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.sampled_from(ROUTES),
    part=st.text(min_size=1, max_size=30).filter(lambda text: text not in {".", ".."}),
    query=st.dictionaries(
        st.sampled_from(["limit", "before", "after", "wait", "status", "endpoint", "key", "x"]),
        st.text(max_size=12),
        max_size=3,
    ),
    body=_JSON,
)
def test_no_input_is_a_fault_of_ours(
    client: TestClient, route: Route, part: str, query: dict[str, str], body: object
) -> None:
    from urllib.parse import quote

    values = dict.fromkeys(route.parameters, quote(part.encode("utf-8", "replace"), safe=""))
    query.pop("wait", None)
    clean = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}
    content = json.dumps(body).encode() if route.method != "GET" else None
    headers = {"Content-Type": "application/json"} if content else {}
    answer = client.request(route.method, route.path.format(**values), params=clean, content=content, headers=headers)
    assert answer.status_code < 500 or (route.name == "ready" and answer.status_code == 503)
