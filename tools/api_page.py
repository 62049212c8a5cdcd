#!/usr/bin/env python3
"""Write `docs/reference/native-api.md` from the route table; with `--check`, only say whether it is up to date."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from bailiwick.server.api.route import PUBLIC, Route
from bailiwick.server.api.routes import ROUTES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "native-api.md"
HEAD = """# The native API

Generated from the route table by `make docs`. Parameters, bodies and answers are in OpenAPI 3.1 at `/api/v1/openapi.json`.

Send `Authorization: Bearer TOKEN`, and `Bailiwick-Workspace: NAME` to act in another workspace than the server's own.
Listings answer `{"items": [...], "next": ...}` where they have pages: what `next` holds gets the next one. Failures answer
`{"error": {"code", "message", "hint"}}`; [the codes](errors.md). Times are UTC milliseconds.
"""


def page() -> str:
    """The whole page: a section for each kind of record, by name."""
    sections = [HEAD]
    ordered = sorted(ROUTES, key=lambda route: (_section(route) != "operations", _section(route)))
    for name, routes in groupby(ordered, key=_section):
        rows = "".join(_row(route) for route in routes)
        sections.append(f"\n## {name}\n\n| route | does | permission |\n|---|---|---|\n{rows}")
    return "".join(sections)


def _section(route: Route) -> str:
    parts = route.path.strip("/").split("/")
    return parts[2] if parts[:2] == ["api", "v1"] else "operations"


def _row(route: Route) -> str:
    permission = "everyone" if route.permission is PUBLIC else f"`{getattr(route.permission, 'value', '')}`"
    return f"| `{route.method} {route.path}` | {route.summary} | {permission} |\n"


def main() -> None:
    """Write or check."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/reference/native-api.md is out of date: run `make docs`.")


if __name__ == "__main__":
    main()
