"""Past predictions: pages of them, and one with everything that belongs to it and why it came out so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.endpoints.past import Sought
from bailiwick.lifecycle.explaining.model import Explanation
from bailiwick.server.ui import links
from bailiwick.server.ui.charts.waterfall import Step
from bailiwick.server.ui.page import Context, Visit

if TYPE_CHECKING:
    from bailiwick.lifecycle.explaining import story
else:
    story = deferred("bailiwick.lifecycle.explaining.story")

LIMIT = 50
SHOWN = 15
FAILED = "failed"
"""In place of a status: any but 200."""

_FILTERS = ("endpoint", "model", "version", "unit", "status")


@dataclass(frozen=True, slots=True)
class Waterfall:
    """What a chart of SHAP values is drawn from; all columns past the fifteenth are one step."""

    steps: list[Step]
    start: float
    end: float
    unit: str


def listing(visit: Visit) -> Context:
    """One page, by filters that the address carries."""
    asked = {name: visit.query.get(name, "").strip()[:300] for name in _FILTERS}
    problem, page = "", None
    try:
        sought = Sought(
            model=asked["model"],
            version=_whole("Version", asked["version"]),
            unit=asked["unit"],
            status=None if asked["status"] == FAILED else _whole("Status", asked["status"]),
            failed=asked["status"] == FAILED,
        )
        page = story.list_predictions(
            visit.platform,
            visit.actor,
            sought,
            endpoint=asked["endpoint"],
            limit=LIMIT,
            after=visit.query.get("after", ""),
        )
    except BailiwickError as error:
        problem = str(error)
    more = links.predictions(**asked, after=page.next) if page is not None and page.next else ""
    names = [each.name for each in visit.platform.endpoints.endpoints(visit.workspace)]
    shown = {"found": page.items if page else [], "asked": asked, "more": more, "problem": problem}
    return {**shown, "names": names, "value_text": value_text}


def prediction(visit: Visit) -> Context:
    """One prediction; with `explain` in the address, why."""
    name, endpoint = visit.path["prediction"], visit.query.get("endpoint", "")
    found = story.recall(visit.platform, visit.actor, name, endpoint=endpoint)
    explanation: Explanation | None = None
    problem = ""
    if visit.query.get("explain"):
        try:
            explanation = story.explain(visit.platform, visit.actor, name, endpoint=endpoint)
        except BailiwickError as error:
            problem = str(error)
    return {
        "recalled": found,
        "made": found.prediction,
        "explanation": explanation,
        "waterfall": waterfall_of(explanation) if explanation else None,
        "counterfactuals": explanation.counterfactuals.items
        if explanation is not None and explanation.counterfactuals is not None
        else [],
        "neighbours": explanation.neighbours.items
        if explanation is not None and explanation.neighbours is not None
        else [],
        "value_text": value_text,
        "problem": problem,
        "recording": visit.platform.endpoints.endpoint(visit.workspace, found.prediction.endpoint).recording,
    }


def waterfall_of(explanation: Explanation) -> Waterfall | None:
    """Largest first."""
    shap = explanation.shap
    if shap is None:
        return None
    steps = [
        Step(", ".join(each.columns), each.value, ", ".join(map(value_text, each.given)), each.error)
        for each in shap.contributions[:SHOWN]
    ]
    rest = shap.contributions[SHOWN:]
    if rest:
        steps.append(Step(f"{len(rest)} others", sum(each.value for each in rest)))
    unit = "log-odds" if shap.space == "log_odds" else explanation.output_name
    return Waterfall(steps, shap.base, shap.reached, unit)


def value_text(value: Any) -> str:
    """A value as a page shows it."""
    if value is None:
        return "missing"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(value_text, value))
    return str(value)


def _whole(what: str, text: str) -> int | None:
    """None for nothing. Raises InvalidInput for what is no number."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidInput(
            f"{what} {text!r} is no number.", hint="Or write failed, for any but 200." if what == "Status" else ""
        )
    return int(text)
