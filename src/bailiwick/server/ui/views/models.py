"""Models and their versions: what was measured, where it came from, who let it go where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bailiwick.core.actor import Permission
from bailiwick.core.errors import NotFound
from bailiwick.core.serving_setting import setting_words
from bailiwick.governance.cards.fields import FIELDS, REQUIRED
from bailiwick.governance.model import ApprovalRequest
from bailiwick.lifecycle.comparing import compare_versions
from bailiwick.lifecycle.lineage.walk import trace
from bailiwick.lifecycle.optimising.kept import report_on
from bailiwick.registry.model import ACTIVE_STAGES, OWN_TAGS, REPORT_TAG, ModelVersion, Stage
from bailiwick.server.ui.charts import Series
from bailiwick.server.ui.lineage_picture import picture_of
from bailiwick.server.ui.optimising_report import optimising_parts
from bailiwick.server.ui.page import Context, Visit, positive
from bailiwick.server.ui.pointing import moves_of, spans_of

HEADLINE = ("roc_auc", "log_loss", "accuracy", "calibration_error")
LISTED_METRICS = 3
SHOWN_MOVES = 100
MOST_LINES = 400
_LOWER_IS_BETTER = frozenset({"log_loss", "brier", "calibration_error"})


def listing(visit: Visit) -> Context:
    """All models, each with its newest version."""
    registry, workspace = visit.platform.registry, visit.workspace
    rows = []
    for found in registry.models(workspace):
        versions = registry.versions(workspace, found.name)
        rows.append((found, versions[0] if versions else None))
    gone = visit.query.get("deleted", "")
    return {
        "models": rows,
        "gone": "" if gone in {each.name for each, _ in rows} else gone,
        "may_write": visit.may(Permission.MODELS_WRITE),
        "headline": _headline([newest for _, newest in rows if newest])[:LISTED_METRICS],
    }


def model(visit: Visit) -> Context:
    """One model: versions with their metrics side by side, aliases and stages and how they moved."""
    registry, workspace = visit.platform.registry, visit.workspace
    found = registry.model(workspace, visit.path["model"])
    everything = registry.versions(workspace, found.name, deleted=True)
    versions = [each for each in everything if each.deleted is None]
    aliases, stages = registry.alias_history(workspace, found.name), registry.stage_history(workspace, found.name)
    served = {
        (variant.version): endpoint.name
        for endpoint in visit.platform.endpoints.endpoints(workspace)
        for variant in endpoint.variants
        if variant.model == found.name
    }
    moves = moves_of(found.name, aliases, stages)
    return {
        "model": found,
        "versions": versions,
        "deleted": [each for each in everything if each.deleted is not None],
        "aliases_of": _aliases_of(found.aliases),
        "stages_of": {each.number: each.stage for each in versions if each.stage != Stage.NONE},
        "served": served,
        "headline": _headline(versions),
        "moves": moves[:SHOWN_MOVES],
        "moves_in_all": len(moves),
        "spans": spans_of(found.name, aliases, stages),
        "progress": _progress(versions),
        "requests": visit.platform.governance.requests(workspace, model=found.name),
        "stages": sorted({each.stage for each in stages if each.stage in ACTIVE_STAGES}),
        "may_write": visit.may(Permission.MODELS_WRITE),
    }


def comparison(visit: Visit) -> Context:
    """Two versions of a model; the two newest where the address names none."""
    registry, workspace = visit.platform.registry, visit.workspace
    found = registry.model(workspace, visit.path["model"])
    numbers = [each.number for each in registry.versions(workspace, found.name, deleted=True)]
    wanted = [visit.query.get(side, "") for side in ("left", "right")]
    newest = [str(each) for each in reversed(numbers[:2])]
    left, right = (positive(text or other, "version") for text, other in zip(wanted, newest or ["", ""], strict=True))
    compared = compare_versions(visit.platform, workspace, found.name, left, right)
    groups = (
        ("Origin", compared.origin),
        ("Parameters", compared.parameters),
        ("Metrics", compared.metrics),
        ("Inputs and outputs", compared.signature),
        ("Data", compared.data),
        ("Slices", compared.slices),
    )
    everything = visit.query.get("all") == "1"
    return {
        "model": found,
        "numbers": numbers,
        "compared": compared,
        "all": everything,
        "same": sum(line.same for _, lines in groups for line in lines),
        "groups": [
            (title, [line for line in lines if everything or not line.same][:MOST_LINES]) for title, lines in groups
        ],
    }


def version(visit: Visit) -> Context:
    """One version with everything that is known of it."""
    registry, workspace = visit.platform.registry, visit.workspace
    number = visit.number("number")
    found = registry.version(workspace, visit.path["model"], number, deleted=True)
    requests = [
        each for each in visit.platform.governance.requests(workspace, model=found.model) if each.number == number
    ]
    aliases = _aliases_of(registry.aliases(workspace, found.model)).get(number, [])
    graph = trace(visit.platform, workspace, f"version/{found.model}/{number}")
    nodes, edges = picture_of(graph.nodes, graph.edges, graph.start)
    before = _compared(visit, found)
    stated = visit.platform.statements.statements(workspace, found.model, number)
    return {
        "version": found,
        "metrics": {key: found.metrics[key] for key in sorted(found.metrics, key=_rank)},
        "aliases": aliases,
        "requests": requests,
        "pending": [each for each in requests if each.status == "PENDING"],
        "may_approve": visit.may(Permission.MODELS_APPROVE),
        "may_write": visit.may(Permission.MODELS_WRITE),
        "known_aliases": sorted({*registry.aliases(workspace, found.model), "champion", "challenger", "production"}),
        "stages": list(Stage),
        "served": [
            (endpoint.name, variant.weight)
            for endpoint in visit.platform.endpoints.endpoints(workspace)
            for variant in endpoint.variants
            if (variant.model, variant.version) == (found.model, number)
        ],
        "served_as": setting_words(found.serving),
        "measured": REPORT_TAG in found.tags,
        "tags": {key: value for key, value in found.tags.items() if key not in OWN_TAGS},
        "nodes": nodes,
        "edges": edges,
        "before": before,
        "changes": _changes(found, before),
        "slices": _slices(found.slices),
        "inputs": found.signature.get("inputs", ()),
        "outputs": found.signature.get("outputs", ()),
        "evidence_of": evidence_pairs,
        "stated": stated,
        "fields": FIELDS,
        "missing": [FIELDS[key].title.lower() for key in REQUIRED if key not in stated],
    }


def optimised(visit: Visit) -> Context:
    """What was measured of other forms of a version, and of settings to serve it with."""
    found = visit.platform.registry.version(visit.workspace, visit.path["model"], visit.number("number"))
    return {"version": found, **optimising_parts(report_on(visit.platform, found))}


def _headline(versions: Sequence[ModelVersion]) -> list[str]:
    present = {key for each in versions for key in each.metrics}
    return [key for key in HEADLINE if key in present] or sorted(present)[:3]


def _rank(key: str) -> tuple[int, str]:
    return (HEADLINE.index(key) if key in HEADLINE else len(HEADLINE), key)


def _aliases_of(aliases: Mapping[str, int]) -> dict[int, list[str]]:
    by_number: dict[int, list[str]] = {}
    for alias, number in sorted(aliases.items()):
        by_number.setdefault(number, []).append(alias)
    return by_number


def _progress(versions: Sequence[ModelVersion]) -> list[tuple[str, list[Series]]]:
    """How the first two headline metrics moved from version to version."""
    if len(versions) < 2:
        return []
    ordered = sorted(versions, key=lambda each: each.number)
    return [
        (key, [Series(key, [(float(each.number), each.metrics.get(key)) for each in ordered])])
        for key in _headline(versions)[:2]
    ]


def _compared(visit: Visit, found: ModelVersion) -> ModelVersion | None:
    """The version to set this one beside: the one in production, or the one before."""
    registry, workspace = visit.platform.registry, visit.workspace
    number = registry.aliases(workspace, found.model).get("production")
    if number is None or number == found.number:
        number = found.number - 1
    try:
        return registry.version(workspace, found.model, number) if number > 0 else None
    except NotFound:
        return None


def _changes(found: ModelVersion, before: ModelVersion | None) -> dict[str, tuple[float, str]]:
    """Difference of each metric and whether it is good or bad; what is as likely either is neither."""
    if before is None:
        return {}
    changes = {}
    for key, value in found.metrics.items():
        other = before.metrics.get(key)
        if other is not None and not (math.isnan(value) or math.isnan(other)):
            better = value < other if key in _LOWER_IS_BETTER else value > other
            known = key in _LOWER_IS_BETTER or key in HEADLINE
            changes[key] = (value - other, "" if value == other or not known else "good" if better else "bad")
    return changes


def _slices(slices: Any) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Rows of slice metrics by column, the most rows first; understands a list of slices or a mapping by column."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    listed = slices.get("slices", slices) if isinstance(slices, Mapping) else slices
    if isinstance(listed, Mapping):
        listed = [
            {"column": column, "value": value, **(numbers if isinstance(numbers, Mapping) else {})}
            for column, values in listed.items()
            if isinstance(values, Mapping)
            for value, numbers in values.items()
        ]
    for each in listed:
        if isinstance(each, Mapping) and "column" in each:
            numbers = each.get(
                "metrics", {key: value for key, value in each.items() if key not in {"column", "value", "rows"}}
            )
            found.setdefault(str(each["column"]), []).append(
                {"value": each.get("value", ""), "rows": each.get("rows", numbers.get("rows")), "metrics": numbers}
            )
    return [(column, sorted(rows, key=lambda row: -(row["rows"] or 0))) for column, rows in found.items()]


def evidence_pairs(request: ApprovalRequest) -> dict[str, str]:
    """Evidence as short texts: lists become lines, nested values their keys."""
    return {key: _in_words(value) for key, value in request.evidence.items()}


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_in_words(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
