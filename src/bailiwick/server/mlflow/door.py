"""The MLflow protocol as ASGI: requests of MLflow clients are taken to the desk, in a thread where they may take a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bailiwick.server.mlflow.desk import JSON, SMALL_BYTES, MlflowDesk
from bailiwick.server.mlflow.errors import BAD_REQUEST, MlflowError
from bailiwick.server.mlflow.message import Message, read_body, read_query
from bailiwick.server.mlflow.route import MlflowRoute
from bailiwick.server.mlflow.table import Match
from bailiwick.store.patience import Busy, without_waiting

T = TypeVar("T")
_PREFIXES = ("/api/2.0/", "/api/3.0/", "/ajax-api/", "/v1/traces", "/gateway/")


class MlflowDoor:
    """Takes the requests of MLflow clients, and passes every other one on."""

    def __init__(self, app: ASGIApp, desk: MlflowDesk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or not self._is_mlflow(scope["path"]):
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        template = "unmatched"
        try:
            match = self._desk.table.find(scope["method"], scope["path"])
            template = match.route.path
            response = await self._answer(match, Request(scope, receive))
        except Exception as error:  # noqa: BLE001 - the edge of the process: every request gets an answer in the protocol's form
            response = self._desk.refused(error, scope["method"], scope["path"])
        await response(scope, receive, send)
        self._desk.metrics.observe(scope["method"], template, response.status_code, time.perf_counter() - begun)

    def _is_mlflow(self, path: str) -> bool:
        return path.startswith(_PREFIXES) or self._desk.table.serves(path)

    async def _answer(self, match: Match, request: Request) -> Response:
        route, desk = match.route, self._desk
        if route.raw:
            call = await self._in_thread(desk.authorised, match, request, route.message())
            answered: Response = await route.handler(call, request)
            return answered
        if request.method in {"GET", "HEAD"}:
            message = await _asked(request, route)
            if route.prompt and desk.at_hand and desk.authenticator.knows_at_once(request):
                return self._handled(match, request, message)
            return await self._in_thread(self._handled, match, request, message)
        data = await _body(request, route.max_bytes)
        if route.prompt and len(data) <= SMALL_BYTES and desk.authenticator.knows_at_once(request):
            return await self._promptly(match, request, read_body(data, route.message))
        return await self._in_thread(self._read_and_handled, match, request, data)

    async def _promptly(self, match: Match, request: Request, message: Message) -> Response:
        """Changing threads twice takes as long as all the rest of a small request; large ones must not hold up others.

        Of several clients at once, those who log share a transaction, and the others are seen to beside each other.
        """
        desk = self._desk
        alone, desk.last = request.client == desk.last, request.client
        if alone and desk.at_hand:
            with suppress(Busy), without_waiting():
                return self._handled(match, request, message)
        if match.route.begins:
            begun: Future[None] = match.route.handler(desk.authorised(match, request, message, at_once=True))
            await asyncio.wrap_future(begun)
            return Response(b"{}", media_type=JSON)
        return await self._in_thread(self._handled, match, request, message)

    def _read_and_handled(self, match: Match, request: Request, data: bytes) -> Response:
        return self._handled(match, request, read_body(data, match.route.message))

    def _handled(self, match: Match, request: Request, message: Message) -> Response:
        answer = self._desk.handled(match, request, message)
        return answer if isinstance(answer, Response) else Response(answer, media_type=JSON)

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """A thread of our own pool: handing over to it costs half of what AnyIO's does."""
        return await asyncio.get_running_loop().run_in_executor(self._desk.threads, call, *arguments)


async def _asked(request: Request, route: MlflowRoute) -> Message:
    """What a GET asks for: its query, or, as with MLflow's server, its body where it has no query."""
    if request.url.query or request.headers.get("content-length", "0") == "0":
        return read_query(request.query_params.multi_items(), route.message)
    return read_body(await _taken(request, route.max_bytes), route.message)


async def _body(request: Request, most: int) -> bytes:
    data = await _taken(request, most)
    if data and request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise MlflowError(BAD_REQUEST, f"Bad Request. Content-Type must be one of ['{JSON}'].")
    return data


async def _taken(request: Request, most: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    parts, size = [], int(announced) if announced.isdigit() and len(announced) < 19 else 0
    if size <= most:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                break
            if part:
                parts.append(part)
    if size > most:
        raise MlflowError(BAD_REQUEST, f"A request body has at most {most} bytes here.", status=413)
    return parts[0] if len(parts) == 1 else b"".join(parts)
