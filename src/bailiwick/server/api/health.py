"""Is it alive, is it ready, what does it measure, what can be asked of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from bailiwick._version import __version__
from bailiwick.core.errors import Unavailable
from bailiwick.server.api.route import Call, Nothing
from bailiwick.server.metrics import CONTENT_TYPE
from bailiwick.store.duties import Duty


class Health(Struct, frozen=True):
    """The process answers."""

    status: str
    version: str


def health(_call: Call[Nothing, Nothing]) -> Health:
    """Alive: says nothing of what it depends on."""
    return Health("ok", __version__)


def ready(call: Call[Nothing, Nothing]) -> Health:
    """Ready: the database answers. Raises Unavailable."""
    try:
        with call.platform.database.read() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        raise Unavailable("The database does not answer.", hint="Is it running, and is its disk full?") from error
    return Health("ready", __version__)


def metrics(call: Call[Nothing, Nothing]) -> Response:
    """Prometheus text of this process and of the actor's workspace."""
    body = call.request.app.state.metrics.text(call.platform, call.workspace)
    return Response(body, media_type=CONTENT_TYPE)


def openapi_document(call: Call[Nothing, Nothing]) -> dict[str, Any]:
    """The OpenAPI document, made once at start."""
    document: dict[str, Any] = call.request.app.state.openapi
    return document


class Duties(Struct, frozen=True):
    """What `work` processes do, and when each last finished a pass; times in UTC milliseconds."""

    items: list[Duty]


def duties(call: Call[Nothing, Nothing]) -> Duties:
    """All duties."""
    return Duties(call.platform.duties.all())
