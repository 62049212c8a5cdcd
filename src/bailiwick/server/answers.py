"""A failure in the form its reader expects: JSON for programs, a page for people."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Scope

from bailiwick.core.errors import BailiwickError
from bailiwick.server.api.errors import ErrorDetail, detail_of, error_response, status_of
from bailiwick.server.ui.shell import error_page

_PROGRAMS = ("/api/", "/health", "/ready", "/metrics")


def is_for_programs(path: str) -> bool:
    """Whether the path belongs to the API rather than to the pages."""
    return path.startswith(_PROGRAMS)


def failure(scope: Scope, error: BailiwickError) -> Response:
    """The answer for an error of ours."""
    return refusal(scope, status_of(error), detail_of(error))


def refusal(scope: Scope, status: int, detail: ErrorDetail) -> Response:
    """The answer for any failure whose status is known."""
    if is_for_programs(scope["path"]):
        return error_response(status, detail)
    return error_page(status, detail)
