"""The frame around every page: templates, what they may call, navigation, and pages for failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context as JinjaContext
from starlette.responses import HTMLResponse

from bailiwick._version import __version__
from bailiwick.core.canonical import sha256_hex
from bailiwick.governance.cards import wording
from bailiwick.server.api.errors import ErrorDetail
from bailiwick.server.ui import card_parts, charts, links, prose, run_table, words
from bailiwick.server.ui.deeds import deed

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"


@dataclass(frozen=True, slots=True)
class NavItem:
    """One line of the navigation; `count` names the number shown beside it."""

    href: str
    label: str
    count: str = ""
    permission: str = ""


NAVIGATION: tuple[tuple[str, tuple[NavItem, ...]], ...] = (
    ("", (NavItem("/", "Overview"),)),
    (
        "Live",
        (
            NavItem("/endpoints", "Endpoints"),
            NavItem("/predictions", "Predictions", permission="predictions.read"),
            NavItem("/monitor", "Monitoring", "alarms"),
            NavItem("/rollouts", "Rollouts", "rollouts"),
        ),
    ),
    ("Models", (NavItem("/models", "Models"), NavItem("/approvals", "Approvals", "approvals"))),
    (
        "Work",
        (
            NavItem("/pipelines", "Pipelines"),
            NavItem("/experiments", "Experiments"),
            NavItem("/runs", "Training runs"),
            NavItem("/data", "Data"),
        ),
    ),
    (
        "Record",
        (
            NavItem("/journal", "Journal", permission="journal.read"),
            NavItem("/webhooks", "Webhooks", permission="webhooks.manage"),
            NavItem("/workspaces", "Workspaces"),
        ),
    ),
)


def _assets() -> dict[str, str]:
    """URL of each static file with a digest of its bytes, so that a browser never shows an old one with a new page."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            name = path.relative_to(STATIC).as_posix()
            found[name] = f"/static/{name}?v={sha256_hex(path.read_bytes())[:12]}"
    return found


@pass_context
def who(context: JinjaContext, identity: str) -> str:
    """The name that people know an identity by."""
    visit = context.get("visit")
    return identity if visit is None else str(visit.who(identity))


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    writers = (
        words.ago,
        words.basis_points,
        words.change,
        words.compact,
        words.count,
        words.day,
        words.duration,
        words.instant,
        words.label,
        words.measured,
        words.metric,
        words.moment,
        words.number,
        words.percent,
        words.plural,
        words.second,
        words.short,
        words.signed,
        words.size,
        words.span,
        words.told,
    )
    made.filters |= {writer.__name__: writer for writer in writers} | {"deed": deed, "linked": links.linked, "who": who}
    made.filters |= {
        "bounds": wording.bounds,
        "cell": run_table.cell,
        "card_moment": wording.moment,
        "card_value": wording.shown,
        "dataset_rows": card_parts.dataset_rows,
        "fact_rows": card_parts.fact_rows,
        "metric_label": wording.label,
        "one_source": card_parts.one_source,
        "prose": prose.prose,
        "query": links.query,
        "recorded": card_parts.recorded,
        "visible": wording.visible,
    }
    made.globals |= {
        "assets": _assets(),
        "charts": charts,
        "links": links,
        "metric_text": words.metric,
        "query_of": links.runs_query,
        "navigation": NAVIGATION,
        "percent_text": lambda value: f"{value:g}%",
        "product_version": __version__,
        "slice_charts": card_parts.slice_charts,
    }
    return made


TEMPLATES = _environment()

_NO_FRAME: Mapping[str, Any] = {"actor": None, "counts": {}, "here": "", "refresh": 0, "notice": "", "now": 0}

_HEADINGS = {
    400: "That cannot be used",
    401: "Please sign in",
    403: "Not allowed",
    404: "Nothing here",
    405: "Not possible here",
    409: "Not in this state",
    413: "Too large",
    422: "A check said no",
    503: "Not reachable now",
}


def render(template: str, context: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """A page from its template; what the frame needs and `context` lacks is filled in."""
    page = TEMPLATES.get_template(template).render({**_NO_FRAME, **context})
    return HTMLResponse(page, status)


def error_page(status: int, detail: ErrorDetail, context: Mapping[str, Any] | None = None) -> HTMLResponse:
    """A failure in words, with ways on from it."""
    heading = _HEADINGS.get(status, "Something went wrong" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "Refused")
    return render("error.html", {"heading": heading, "status": status, "detail": detail, **(context or {})}, status)
