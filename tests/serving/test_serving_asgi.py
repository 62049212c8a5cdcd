"""The handler behind any ASGI server: bodies in pieces, limits, clients that leave, and faults that were not foreseen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bailiwick.serving.asgi import InferenceApp
from tests_support.serving import Serving

BODY = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]},{"name":"carrier","datatype":"BYTES","shape":[1],"data":["AA"]}]}'


def ask(serving: Serving, *parts: bytes, headers: tuple[tuple[bytes, bytes], ...] = (), leave: bool = False) -> Any:
    app = InferenceApp(serving.handler, max_body_bytes=1000)
    scope = {"type": "http", "method": "POST", "path": "/v2/models/late/infer", "headers": list(headers)}
    incoming = [
        {"type": "http.request", "body": part, "more_body": leave or index < len(parts) - 1}
        for index, part in enumerate(parts)
    ]
    incoming.append({"type": "http.disconnect"})
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return (sent[0]["status"], sent[1]["body"]) if sent else None


@pytest.fixture
def one(serving: Serving) -> Serving:
    serving.route(serving.variant(1))
    return serving


def test_a_body_in_one_piece_or_many(one: Serving) -> None:
    for parts in ((BODY,), (BODY[:9], BODY[9:]), (b"", BODY, b"")):
        status, body = ask(one, *parts)
        assert status == 200
        assert b'"data":[1011.0]' in body


def test_a_body_over_the_limit_is_not_read(one: Serving) -> None:
    assert ask(one, headers=((b"content-length", b"1001"),))[0] == 413
    assert ask(one, b"x" * 600, b"x" * 600, b"never read")[0] == 413
    assert ask(one, b"x" * 1001)[0] == 413


def test_a_client_that_leaves_gets_no_answer(one: Serving) -> None:
    assert ask(one) is None
    assert ask(one, BODY[:9], leave=True) is None


def test_a_fault_that_was_not_foreseen_is_500_and_logged(
    one: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(one.handler, "handle", broken)
    assert ask(one, BODY) == (500, b'{"error":"The server failed; the failure is in its log."}')
    assert "ZeroDivisionError" in caplog.text
