"""The handler as an ASGI application: bodies in, responses out, nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bailiwick.serving.admission import PEER
from bailiwick.serving.handler import LATER, InferenceHandler, Response
from bailiwick.serving.protocol import error_json

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger(__name__)


async def _in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


class InferenceApp:
    """An ASGI 3 application for any server; HTTP only."""

    def __init__(self, handler: InferenceHandler, *, max_body_bytes: int) -> None:
        self._handler = handler
        self._limit = max_body_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"This application speaks HTTP only, not {scope['type']!r}.")
        headers = dict(scope["headers"])
        headers[PEER] = str((scope.get("client") or ("",))[0]).encode()
        response = self._declared_too_large(headers)
        if response is None:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body = message["body"]
            if message["more_body"]:
                whole = await self._rest(body, receive)
                if whole is None:
                    return
                body = whole
            if len(body) > self._limit:
                response = self._handler.refuse_body(self._limit)
            else:
                response = await self._handled(scope["method"], scope["path"], headers, body)
        status, response_headers, answer = response
        await send({"type": "http.response.start", "status": status, "headers": response_headers})
        await send({"type": "http.response.body", "body": answer})
        if self._handler.unsettled:
            self._handler.settle()

    async def _handled(self, method: str, path: str, headers: dict[bytes, bytes], body: bytes) -> Response:
        try:
            asked = self._handler.inference(method, path, headers, body)
            if asked is not None and self._handler.takes_long(asked, path):
                return await self._handler.handle_apart(asked, _in_thread)
            response = self._handler.handle(method, path, headers, body)
            return response if response.status != LATER else await asyncio.to_thread(self._handler.handle_later, path)
        except Exception:  # noqa: BLE001 - the edge of the process: no request may end without an answer
            _log.exception("a request failed in a way that was not foreseen")
            answer = error_json("The server failed; the failure is in its log.")
            plain = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
            return Response(500, plain, answer)

    def _declared_too_large(self, headers: dict[bytes, bytes]) -> Response | None:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            return self._handler.refuse_body(self._limit)
        return None

    async def _rest(self, first: bytes, receive: Receive) -> bytes | None:
        """The whole body, cut off just past the limit; None when the client went away."""
        parts, size, more = [first], len(first), True
        while more and size <= self._limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message["body"])
            size += len(message["body"])
            more = message["more_body"]
        return b"".join(parts)
