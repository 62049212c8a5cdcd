"""What the MLflow routes answer: a request is matched, read, authorised, handled and encoded, in one place."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from starlette.datastructures import Address
from starlette.requests import Request
from starlette.responses import Response

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.api.dispatch import NOBODY
from bailiwick.server.auth import Authenticator
from bailiwick.server.metrics import HttpMetrics
from bailiwick.server.mlflow.errors import INTERNAL, MlflowError, as_mlflow
from bailiwick.server.mlflow.message import Message
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute
from bailiwick.server.mlflow.routes import ROUTES
from bailiwick.server.mlflow.table import Match, RouteTable

THREADS = 16
SMALL_BYTES = 16_384
"""A larger body is read in a thread, so that it does not hold up others."""

JSON = "application/json"
_log = logging.getLogger("bailiwick.mlflow")


class MlflowDesk:
    """Where every MLflow request is seen to, whichever way it came in.

    `at_hand` says that the records are a file of this machine, so that a prompt route may be answered without a thread.
    `last` is the client that a prompt route was last answered for: one that comes twice in a row is alone.
    """

    def __init__(self, platform: Platform, authenticator: Authenticator, metrics: HttpMetrics) -> None:
        self.authenticator = authenticator
        self.metrics = metrics
        self.table = RouteTable(ROUTES)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="mlflow")
        self.at_hand = platform.database.dialect == "sqlite"
        self.last: Address | tuple[str, int] | None = None
        self._platform = platform

    def handled(self, match: Match, request: Request, message: Message, *, workspace: str = "") -> bytes | Response:
        """What the route answers: the bytes of a JSON object, or, where the status is not 200, a Response.

        `workspace` is given where it is known already that the user of this machine asks, and where.
        """
        answer = match.route.handler(self.authorised(match, request, message, workspace=workspace))
        if isinstance(answer, bytes | Response):
            return answer
        return b"{}" if answer is None else encoded(answer)

    def authorised(
        self, match: Match, request: Request, message: Message, *, workspace: str = "", at_once: bool = False
    ) -> MlflowCall[Any]:
        """The call of who asks. Raises Unauthenticated, NotAllowed."""
        actor = self._actor(match.route, request, workspace)
        return MlflowCall(self._platform, actor, message, match.path, request, self.threads, at_once)

    def refused(self, error: Exception, method: str, path: str) -> Response:
        """The answer in the protocol's form to any error; one that nobody foresaw is logged, and told without detail."""
        if isinstance(error, MlflowError):
            return _failure(error)
        if isinstance(error, BailiwickError):
            return _failure(as_mlflow(error))
        _log.error("%s %s failed", method, path, exc_info=error)
        return _failure(MlflowError(INTERNAL, "Something went wrong that should not have; the log says what."))

    def _actor(self, route: MlflowRoute, request: Request, workspace: str) -> Actor:
        if not isinstance(route.permission, Permission):
            return NOBODY
        actor = self.authenticator.local_actor(workspace) if workspace else self.authenticator.actor(request)
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


def _failure(error: MlflowError) -> Response:
    body = msgspec.json.encode({"error_code": error.code, "message": error.message})
    headers = {"WWW-Authenticate": 'Basic realm="bailiwick"'} if error.status == 401 else None
    return Response(body, error.status, headers, JSON)
