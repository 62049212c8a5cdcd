"""The MLflow protocol as ASGI: a request is matched, read, authorised, handled in a thread and encoded, in one place."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import Address
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.api.dispatch import NOBODY
from bailiwick.server.auth import Authenticator
from bailiwick.server.metrics import HttpMetrics
from bailiwick.server.mlflow.errors import BAD_REQUEST, INTERNAL, MlflowError, as_mlflow
from bailiwick.server.mlflow.message import Message, read_body, read_query
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute
from bailiwick.server.mlflow.routes import ROUTES
from bailiwick.server.mlflow.table import Match, RouteTable
from bailiwick.store.patience import Busy, without_waiting

THREADS = 16
SMALL_BYTES = 16_384

T = TypeVar("T")
JSON = "application/json"
_PREFIXES = ("/api/2.0/", "/api/3.0/", "/ajax-api/", "/v1/traces", "/gateway/")
_log = logging.getLogger("bailiwick.mlflow")


class MlflowDoor:
    """Takes the requests of MLflow clients, and passes every other one on."""

    def __init__(self, app: ASGIApp, platform: Platform, authenticator: Authenticator, metrics: HttpMetrics) -> None:
        self._app = app
        self._platform = platform
        self._authenticator = authenticator
        self._metrics = metrics
        self._table = RouteTable(ROUTES)
        self._at_hand = platform.database.dialect == "sqlite"
        self._last: Address | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="mlflow")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or not self._is_mlflow(scope["path"]):
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        template = "unmatched"
        try:
            match = self._table.find(scope["method"], scope["path"])
            template = match.route.path
            response = await self._answer(match, Request(scope, receive))
        except MlflowError as error:
            response = _failure(error)
        except BailiwickError as error:
            response = _failure(as_mlflow(error))
        except Exception:  # noqa: BLE001 - the edge of the process: every request gets an answer in the protocol's form
            _log.exception("%s %s failed", scope["method"], scope["path"])
            response = _failure(MlflowError(INTERNAL, "Something went wrong that should not have; the log says what."))
        await response(scope, receive, send)
        self._metrics.observe(scope["method"], template, response.status_code, time.perf_counter() - begun)

    def _is_mlflow(self, path: str) -> bool:
        return path.startswith(_PREFIXES) or self._table.serves(path)

    async def _answer(self, match: Match, request: Request) -> Response:
        route = match.route
        if route.raw:
            call = await self._in_thread(self._authorised, match, request, route.message())
            answered: Response = await route.handler(call, request)
            return answered
        if request.method in {"GET", "HEAD"}:
            message = read_query(request.query_params.multi_items(), route.message)
            if route.prompt and self._at_hand and self._authenticator.knows_at_once(request):
                return self._handled(match, request, message)
            return await self._in_thread(self._handled, match, request, message)
        data = await _body(request, route.max_bytes)
        if route.prompt and len(data) <= SMALL_BYTES and self._authenticator.knows_at_once(request):
            return await self._promptly(match, request, read_body(data, route.message))
        return await self._in_thread(self._read_and_handled, match, request, data)

    async def _promptly(self, match: Match, request: Request, message: Message) -> Response:
        """Changing threads twice takes as long as all the rest of a small request; large ones must not hold up others.

        Of several clients at once, those who log share a transaction, and the others are seen to beside each other.
        """
        alone, self._last = request.client == self._last, request.client
        if alone and self._at_hand:
            with suppress(Busy), without_waiting():
                return self._handled(match, request, message)
        if match.route.begins:
            begun: Future[None] = match.route.handler(self._authorised(match, request, message, at_once=True))
            await asyncio.wrap_future(begun)
            return Response(b"{}", media_type=JSON)
        return await self._in_thread(self._handled, match, request, message)

    def _read_and_handled(self, match: Match, request: Request, data: bytes) -> Response:
        return self._handled(match, request, read_body(data, match.route.message))

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """A thread of our own pool: handing over to it costs half of what AnyIO's does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _handled(self, match: Match, request: Request, message: Message) -> Response:
        answer = match.route.handler(self._authorised(match, request, message))
        if isinstance(answer, Response):
            return answer
        if answer is None:
            answer = b"{}"
        return Response(answer if isinstance(answer, bytes) else encoded(answer), media_type=JSON)

    def _authorised(
        self, match: Match, request: Request, message: Message, *, at_once: bool = False
    ) -> MlflowCall[Any]:
        actor = self._actor(match.route, request)
        return MlflowCall(self._platform, actor, message, match.path, request, self._threads, at_once)

    def _actor(self, route: MlflowRoute, request: Request) -> Actor:
        if not isinstance(route.permission, Permission):
            return NOBODY
        actor = self._authenticator.actor(request)
        actor.require(route.permission)
        return actor


def encoded(answer: Any) -> bytes:
    """JSON; a dict loses its None values, which is how proto-JSON says that a field is not set."""
    return msgspec.json.encode(_kept(answer) if isinstance(answer, dict) else answer)


def _kept(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _kept(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_kept(inner) for inner in value]
    return value


async def _body(request: Request, most: int) -> bytes:
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
    if parts and request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise MlflowError(BAD_REQUEST, f"Bad Request. Content-Type must be one of ['{JSON}'].")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _failure(error: MlflowError) -> Response:
    body = msgspec.json.encode({"error_code": error.code, "message": error.message})
    headers = {"WWW-Authenticate": 'Basic realm="bailiwick"'} if error.status == 401 else None
    return Response(body, error.status, headers, JSON)
