"""Experiments: which there are, and the runs of one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bailiwick.core.actor import Permission
from bailiwick.core.errors import BailiwickError
from bailiwick.core.filters import Clause, parse_filter
from bailiwick.server.ui import links
from bailiwick.server.ui.page import Context, Visit
from bailiwick.server.ui.prose import NOTE_TAG
from bailiwick.server.ui.run_table import asked_of, run_table
from bailiwick.tracking.experiment_search import ENTITIES
from bailiwick.tracking.model import Experiment, Page, View

PAGE = 50
_COMPARED = re.compile(r"[=<>]|\b(?:I?LIKE|IN|IS)\b", re.IGNORECASE)


def listing(visit: Visit) -> Context:
    """One page of experiments, newest first, with how much is in each."""
    text, view = visit.query.get("q", "").strip(), visit.query.get("view", "")
    wanted = View(view) if view in set(View) else View.ACTIVE_ONLY
    problem = ""
    found: Page[Experiment] = Page((), "")
    try:
        found = visit.platform.tracking.search_experiments(
            visit.workspace, _clauses(text), view=wanted, limit=PAGE, token=visit.query.get("token", "")
        )
    except BailiwickError as error:
        problem = " ".join(each for each in (error.message, error.hint) if each)
    return {
        "experiments": found.items,
        "activity": visit.platform.tracking.activity(visit.workspace, [each.id for each in found.items]),
        "tags_of": {each.id: own_tags(each.tags) for each in found.items},
        "next": found.next,
        "later": bool(visit.query.get("token")),
        "q": text,
        "address": visit.platform.settings.control_address,
        "problem": problem,
        "view": wanted,
        "views": [(View.ACTIVE_ONLY, "Active"), (View.DELETED_ONLY, "Deleted"), (View.ALL, "All")],
    }


def experiment(visit: Visit) -> Context:
    """One experiment with a page of its runs."""
    found = visit.platform.tracking.experiment(visit.workspace, visit.path["experiment"])
    asked, problem = asked_of(visit, links.experiment(found.id))
    activity = visit.platform.tracking.activity(visit.workspace, [found.id]).get(found.id)
    return {
        **run_table(visit, asked, problem, (found.id,)),
        "experiment": found,
        "activity": activity,
        "note": found.tags.get(NOTE_TAG, ""),
        "tags": own_tags(found.tags),
        "may_write": visit.may(Permission.TRACKING_WRITE),
    }


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that people set, without those of clients."""
    return {key: value for key, value in tags.items() if not key.startswith("mlflow.")}


def _clauses(text: str) -> tuple[Clause, ...]:
    """A filter in MLflow's grammar; words without a comparison are part of a name."""
    if not text:
        return ()
    if _COMPARED.search(text):
        return parse_filter(text, entities=ENTITIES, default="attribute")
    return (Clause("attribute", "name", "ILIKE", f"%{text}%"),)
