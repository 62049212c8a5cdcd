"""The control plane as one ASGI application: native API, MLflow protocol, pages, metrics, health."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.routing import Route as HttpRoute

from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.answers import failure, refusal
from bailiwick.server.api.dispatch import Dispatcher
from bailiwick.server.api.endpoints import RevisionWatch
from bailiwick.server.api.errors import UNEXPECTED, http_detail
from bailiwick.server.api.openapi import openapi
from bailiwick.server.api.route import Route, check_routes
from bailiwick.server.api.routes import ROUTES
from bailiwick.server.auth import Authenticator
from bailiwick.server.cards import WRITERS
from bailiwick.server.metrics import HttpMetrics
from bailiwick.server.middleware import BodyLimit, SecurityHeaders, WriteGuard
from bailiwick.server.mlflow.desk import MlflowDesk
from bailiwick.server.mlflow.door import MlflowDoor
from bailiwick.server.ui.pages import page_routes
from bailiwick.server.ui.static import StaticFiles

log = logging.getLogger("bailiwick.control")


def create_app(
    platform: Platform, *, stopping: Callable[[], bool] = lambda: False, routes: Sequence[Route] = ROUTES
) -> Starlette:
    """The application over a platform. `stopping` lets waiting long polls end at once; refuses a route without a permission."""
    check_routes(routes)
    authenticator = Authenticator(platform.identities, platform.workspaces, platform.settings)
    metrics = HttpMetrics()
    desk = MlflowDesk(platform, authenticator, metrics)
    dispatcher = Dispatcher(platform, authenticator, metrics)
    native = [HttpRoute(row.path, dispatcher.endpoint(row), methods=[row.method], name=row.name) for row in routes]
    app = Starlette(
        routes=[*native, *page_routes(platform, authenticator), Mount("/static", StaticFiles())],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(WriteGuard),
            Middleware(MlflowDoor, desk=desk),
            Middleware(BodyLimit),
        ],
        exception_handlers={HTTPException: _on_http, BailiwickError: _on_refusal, Exception: _on_surprise},
    )
    app.state.metrics = metrics
    app.state.mlflow = desk
    app.state.openapi = openapi(routes)
    app.state.revisions = RevisionWatch(platform)
    app.state.stopping = stopping
    app.state.card_writers = WRITERS
    return app


def _on_http(request: Request, error: Exception) -> Response:
    """What routing itself refuses: no such path, not that method."""
    assert isinstance(error, HTTPException)
    said = f"{request.method} {request.url.path[:200]} is not here." if error.status_code == 404 else error.detail
    response = refusal(request.scope, error.status_code, http_detail(error.status_code, said))
    response.headers.update(error.headers or {})
    return response


def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, BailiwickError)
    return failure(request.scope, error)


def _on_surprise(request: Request, error: Exception) -> Response:
    """An error of ours that nobody foresaw: logged whole, told to the caller without detail."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return refusal(request.scope, 500, UNEXPECTED)
