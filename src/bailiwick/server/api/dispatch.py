"""From a row of the table to an ASGI endpoint: authenticate, authorise, validate, call in a thread, encode."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import BailiwickError, InvalidInput, Unauthenticated
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.api.errors import detail_of, error_response, status_of
from bailiwick.server.api.route import NOTHING, Call, Nothing, Route
from bailiwick.server.auth import Authenticator
from bailiwick.server.metrics import HttpMetrics

Endpoint = Callable[[Request], Awaitable[Response]]

NOBODY = Actor(identity="", name="nobody", workspace="", permissions=frozenset())
_ESCAPED_NUL = re.compile(rb"(?<!\\)(\\\\)*\\u0000")
_AT = re.compile(r" - at `\$\.?(key in )?([^`]*)`")


class Dispatcher:
    """Makes endpoints that all behave alike, so that no handler can forget a step."""

    def __init__(self, platform: Platform, authenticator: Authenticator, metrics: HttpMetrics) -> None:
        self._platform = platform
        self._authenticator = authenticator
        self._metrics = metrics

    def endpoint(self, route: Route) -> Endpoint:
        """The ASGI endpoint of one row."""

        async def answer(request: Request) -> Response:
            begun = time.perf_counter()
            try:
                response = await self._answer(route, request)
            except BailiwickError as error:
                response = error_response(status_of(error), detail_of(error))
            self._metrics.observe(route.method, route.path, response.status_code, time.perf_counter() - begun)
            return response

        return answer

    async def _answer(self, route: Route, request: Request) -> Response:
        actor = await run_in_threadpool(self._authorise, route, request)
        call = Call(
            platform=self._platform,
            actor=actor,
            path=_checked_path(request.path_params),
            query=_query(request, route.query),
            body=await _body(request, route.body),
            request=request,
        )
        if inspect.iscoroutinefunction(route.handler):
            result = await route.handler(call)
        else:
            result = await run_in_threadpool(route.handler, call)
        return result if isinstance(result, Response) else json_response(result, route.status)

    def _authorise(self, route: Route, request: Request) -> Actor:
        if not isinstance(route.permission, Permission):
            return NOBODY
        actor = self._authenticator.actor(request)
        if not actor.identity:
            raise Unauthenticated("The credentials name nobody.")
        actor.require(route.permission)
        return actor


def json_response(value: object, status: int = 200) -> Response:
    """Any record as JSON; numbers that JSON cannot say become null."""
    return Response(msgspec.json.encode(value, enc_hook=_plain), status, media_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):  # a NumPy scalar
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _checked_path(parameters: Mapping[str, str]) -> dict[str, str]:
    for name, value in parameters.items():
        _check_text(name, value)
    return dict(parameters)


def _query(request: Request, kind: type[Struct]) -> Struct:
    pairs = request.query_params.multi_items()
    given = dict(pairs)
    if len(given) < len(pairs):
        raise InvalidInput("A query parameter is given more than once.")
    for name, value in given.items():
        _check_text(name, value)
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"Query parameters: {_in_words(error)}.", hint=_known(kind)) from None


async def _body(request: Request, kind: type[Struct]) -> Struct:
    data = await request.body()
    if not data and kind is Nothing:
        return NOTHING
    if not _is_json(request.headers.get("content-type", "")):
        raise InvalidInput("The request body must be JSON.", hint="Send it with 'Content-Type: application/json'.")
    if _ESCAPED_NUL.search(data):
        raise InvalidInput("The request body holds a NUL character, which no record can keep.")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"Request body: {_in_words(error)}.", hint=_known(kind)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The request body is not JSON: {error}.") from None


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _check_text(name: str, value: str) -> None:
    """What no database can keep is refused here, before it looks like a fault of ours."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{name!r} is not valid Unicode.") from None
    if "\x00" in value:
        raise InvalidInput(f"{name!r} holds a NUL character, which no name can.")


def _in_words(error: msgspec.ValidationError) -> str:
    """`Expected `int`, got `str` - at `$.limit`` as `limit: expected `int`, got `str``."""
    text = str(error)
    found = _AT.search(text)
    if not found:
        return text
    said = _AT.sub("", text)
    return f"{found[2]}: {said[0].lower()}{said[1:]}" if found[2] else said


def _known(kind: type[Struct]) -> str:
    names = ", ".join(kind.__struct_encode_fields__)
    return f"Fields: {names}." if names else "None are taken here."
