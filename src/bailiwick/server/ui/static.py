"""Style, script and the mark: the package's own files, cached for good under a digest in the query."""

from __future__ import annotations

from starlette.responses import Response
from starlette.staticfiles import StaticFiles as Files
from starlette.types import Scope

from bailiwick.server.ui.shell import STATIC


class StaticFiles(Files):
    """Serves `ui/static`; a request with a digest may keep the answer for a year."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 404."""
        response = await super().get_response(path, scope)
        versioned = scope["query_string"].startswith(b"v=")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response
