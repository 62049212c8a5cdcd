"""The parts of a card that are lists of facts: what the version is, how it was made, who let it go where, how it does."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bailiwick.core.clock import to_text
from bailiwick.core.errors import NotFound
from bailiwick.data.profile import CategoricalProfile, from_json
from bailiwick.endpoints.model import BASIS_POINTS, RouteChange
from bailiwick.evaluation.metrics import METRICS
from bailiwick.evaluation.model import LEAST_ROWS
from bailiwick.governance.cards.model import Fact, Metric, Provenance, Scalar, Section, Source
from bailiwick.governance.model import ApprovalRequest
from bailiwick.lifecycle.cards.measurements import HEADLINE
from bailiwick.lifecycle.cards.origins import Origins
from bailiwick.lifecycle.platform import Platform
from bailiwick.monitoring.model import AlarmStatus
from bailiwick.registry.model import AliasChange, ContentState, Model, ModelVersion, Stage, StageChange

LARGEST_EXACT = 2**53 - 1
SHOWN_CATEGORIES = 12
WATCHED_ENDPOINTS = 5
WINDOWS = 100
SHOWN_COLUMNS = 30
LONGEST_TAG = 500
JUDGING = frozenset({"evidence", "limit"})
"""What the monitor's own test keeps beside what it measured."""
SOURCE_TAGS = ("mlflow.source.name", "mlflow.source.type", "mlflow.source.git.branch", "mlflow.source.git.repoURL")


def version_section(version: ModelVersion, model: Model, origins: Origins) -> Section:
    """What it is; descriptions are what somebody wrote."""
    facts: list[tuple[str, Scalar, Source]] = [
        ("digest", version.digest, origins.registered),
        ("size (bytes)", version.size_bytes, origins.registered),
        ("registered", to_text(version.created), origins.registered),
        ("source", version.source, origins.stated),
        ("logged model", version.model_id, origins.stated),
        ("run", version.run_id, origins.registered if version.native else origins.stated),
        ("stage", "" if version.stage == Stage.NONE else version.stage, origins.registered),
        ("description", version.description, origins.stated),
    ]
    described = Source(Provenance.STATED, f"model/{model.name}")
    facts.append(("description of the model", model.description, described))
    return _section("version", "Version", [Fact(name, value, source) for name, value, source in facts if value])


def files_section(version: ModelVersion, origins: Origins) -> Section:
    """What its files are and say of themselves: read by the platform, written by whoever saved the model."""
    said = version.content
    flavors = ", ".join(f"{name} {known}".strip() for name, known in version.flavors.items())
    unread = "" if version.content_state == ContentState.KNOWN else f"not read: {version.content_state}"
    requirements = said.get("requirements_digest", "")
    facts: list[tuple[str, Scalar, Source]] = [
        ("flavours", flavors, origins.registered if version.native else origins.stated),
        ("files", unread or plain(said.get("files")), origins.registered),
        ("MLflow", plain(said.get("mlflow_version")), origins.stated),
        ("Python", plain(said.get("python_version")), origins.stated),
        ("digest of requirements", plain(requirements), origins.registered),
        ("input example", _yes_or_no(said.get("input_example")), origins.registered),
        ("problem", plain(said.get("problem")), origins.registered),
    ]
    return _section("files", "Files", [Fact(name, value, source) for name, value, source in facts if value])


def _yes_or_no(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else ""


def tags_section(version: ModelVersion, model: Model) -> Section:
    """Tags of the version, and those of the model, which hold for all its versions."""
    mine = Source(Provenance.STATED, f"version/{version.model}/{version.number}")
    facts = [Fact(key, value, mine) for key, value in sorted(version.tags.items())]
    of_model = Source(Provenance.STATED, f"model/{model.name}")
    facts += [Fact(f"{key} (of the model)", value, of_model) for key, value in sorted(model.tags.items())]
    return _section("tags", "Tags", [replace(fact, value=_short(fact.value)) for fact in facts])


def _short(value: Scalar) -> Scalar:
    return f"{value[:LONGEST_TAG]}…" if isinstance(value, str) and len(value) > LONGEST_TAG else value


def stages_section(history: Iterable[StageChange], number: int) -> Section:
    """Each time that it came to a stage or left one."""
    facts = []
    for each in history:
        if each.number == number:
            verb = f"{each.action.replace('_', ' ')}, was {each.previous}"
            record = f"stage/{each.model}/{each.stage}"
            source = Source(Provenance.MEASURED, record, by=each.actor, identity=each.identity, time=each.time)
            facts.append(Fact(each.stage, f"{verb}: {each.reason}" if each.reason else verb, source))
    return _section("stages", "Stages", facts)


def gates_section(origins: Origins) -> Section:
    """The quality gates that the version passed on its way, as the step that judged it reported them."""
    source, outputs = origins.step("evaluate"), origins.outputs("evaluate")
    told, rules = outputs.get("gates"), outputs.get("rules")
    if source is None or not isinstance(told, list | tuple):
        return _section("gates", "Quality gates", [])
    names = list(rules) if isinstance(rules, list | tuple) and len(rules) == len(told) else []
    facts = [
        Fact(str(names[index]) if names else f"gate {index + 1}", f"passed: {message}", source)
        for index, message in enumerate(told)
    ]
    return _section("gates", "Quality gates", facts)


def importance_section(origins: Origins) -> Section:
    """What matters to the model, as the step that judged it measured; or why that was not measured."""
    title = "How much each column matters (mean size of SHAP values)"
    source, found = origins.step("evaluate"), origins.outputs("evaluate").get("importance")
    if source is None or not isinstance(found, Mapping):
        return _section("importance", title, [])
    columns = found.get("columns")
    if not isinstance(columns, Mapping) or not columns:
        return _section("importance", title, [Fact("not measured", f"{found.get('reason')}", source)])
    unit = "log-odds" if found.get("space") == "log_odds" else "the output"
    how = f"exact values of the trees in {unit}: {found.get('rows')} held-out rows, each against {found.get('background')} others"
    shown = sorted(columns.items(), key=lambda each: (-each[1], each[0]))
    facts = [Fact("method", how, source), *(Fact(name, plain(value), source) for name, value in shown[:SHOWN_COLUMNS])]
    if len(shown) > SHOWN_COLUMNS:
        rest = sum(value for _, value in shown[SHOWN_COLUMNS:])
        facts.append(Fact(f"{len(shown) - SHOWN_COLUMNS} more columns together", plain(rest), source))
    return _section("importance", title, facts)


def parity_section(version: ModelVersion, origins: Origins) -> Section:
    """How far training and serving were shown to agree."""
    source = origins.of_step("train", "parity", dict(version.parity))
    return _leaves_section("parity", "Training and serving agree", version.parity, source)


def limits_section(version: ModelVersion, metrics: Sequence[Metric], origins: Origins) -> Section:
    """Where it was measured to be weakest, and what was not measured."""
    facts = []
    for name in (each for each in HEADLINE if each in METRICS and each != "base_rate"):
        sliced = [each for each in metrics if each.column and each.name == name and each.value is not None]
        if sliced:
            worst = min(sliced, key=_badness)
            where = f"{worst.column} = {worst.slice or '(missing)'}"
            of_rows = f", {worst.rows:,} rows" if worst.rows is not None else ""
            facts.append(Fact(f"weakest slice by {name}", f"{where}: {worst.value:.6g}{of_rows}", worst.source))
    judged = origins.step("evaluate")
    if judged is not None and version.slices:
        facts.append(Fact("slices left out", f"those of fewer than {LEAST_ROWS} rows were not measured", judged))
    return _section("limits", "Limits that were measured", facts)


def _badness(metric: Metric) -> float:
    assert metric.value is not None
    return metric.value if METRICS[metric.name].higher_is_better else -metric.value


def inputs_section(platform: Platform, version: ModelVersion, origins: Origins) -> Section:
    """What each input was like in the data the version was made of: outside of that nothing was measured."""
    source = origins.step("register") or origins.registered
    if not version.reference_profile:
        return _section("inputs", "Inputs as they were in training", [])
    try:
        profile = from_json(platform.blobs.get(version.reference_profile))
    except NotFound:
        return _section("inputs", "Inputs as they were in training", [])
    inputs = version.signature.get("inputs")
    known = (
        {str(each.get("name")) for each in inputs if isinstance(each, Mapping)} if isinstance(inputs, list) else set()
    )
    facts = []
    for feature in profile.features:
        if feature.name not in known:
            continue
        if isinstance(feature, CategoricalProfile):
            values = [*feature.categories, *feature.rare]
            more = f" and {len(values) - SHOWN_CATEGORIES} more" if len(values) > SHOWN_CATEGORIES else ""
            told = f"{feature.distinct} values: {', '.join(values[:SHOWN_CATEGORIES])}{more}"
        else:
            told = f"{_end(feature.edges[0])} to {_end(feature.edges[-1])}" if feature.edges else "always missing"
        facts.append(Fact(feature.name, told, source))
    return _section("inputs", "Inputs as they were in training", facts)


def _end(edge: float) -> str:
    """An edge of a profile for people: the least is the float below the smallest value, which of 0 is subnormal."""
    return f"{0.0 if abs(edge) < sys.float_info.min else edge:.6g}"


def parameters_section(version: ModelVersion, origins: Origins) -> Section:
    """Hyper-parameters; where the version has none, the parameters that its run logged."""
    if not version.parameters and origins.run is not None and origins.run_source is not None:
        facts = [Fact(name, value, origins.run_source) for name, value in sorted(origins.run.params.items())]
    else:
        facts = [
            Fact(name, plain(value), origins.of_parameter(name.partition(" / ")[0], version.parameters.get(name)))
            for name, value in _leaves(version.parameters)
        ]
    return _section("parameters", "Parameters", facts)


def code_section(version: ModelVersion, origins: Origins) -> Section:
    """Code version and machine; packages have a table of their own."""
    tags: Mapping[str, str] = origins.run.tags if origins.run else {}
    commit = tags.get("mlflow.source.git.commit", "")
    facts = []
    if version.code_version:
        known = origins.run_source if version.code_version == commit else None
        facts.append(Fact("code version", version.code_version, known or origins.of_registration()))
    elif commit and origins.run_source:
        facts.append(Fact("code version", commit, origins.run_source))
    if origins.run_source is not None:
        facts += [
            Fact(tag.removeprefix("mlflow."), tags[tag], origins.run_source) for tag in SOURCE_TAGS if tags.get(tag)
        ]
    environment = {key: value for key, value in version.environment.items() if key not in {"packages", "licences"}}
    facts += [Fact(name, plain(value), origins.of_registration()) for name, value in _leaves(environment)]
    return _section("code", "Code and environment", [fact for fact in facts if fact.value != ""])


def lineage_section(graph: Mapping[str, Any], origins: Origins) -> Section:
    """What came from what; where it is pointed to from is told with the aliases."""
    labels = {node["id"]: node["label"] for node in graph.get("nodes", ())}
    facts = []
    for edge in graph.get("edges", ()):
        if edge["to"].startswith(("alias/", "stage/")):
            continue
        start, end = labels.get(edge["from"], edge["from"]), labels.get(edge["to"], edge["to"])
        facts.append(Fact(start, f"{edge['label']} {end}", origins.registered))
    return _section("lineage", "Lineage", facts)


def aliases_section(history: Iterable[AliasChange], number: int) -> Section:
    """Each time that an alias came to the version or left it."""
    facts = []
    for each in history:
        if number in {each.number, each.previous}:
            verb = each.action.replace("_", " ") if each.number == number else "moved away"
            source = Source(
                Provenance.MEASURED,
                f"alias/{each.model}/{each.alias}",
                by=each.actor,
                identity=each.identity,
                time=each.time,
            )
            facts.append(Fact(each.alias, f"{verb}: {each.reason}" if each.reason else verb, source))
    return _section("aliases", "Aliases", facts)


def approvals_section(requests: Sequence[ApprovalRequest]) -> Section:
    """Who asked and who decided, oldest first."""
    facts = []
    for request in sorted(requests, key=lambda each: (each.created, each.id)):
        record = f"approval/{request.id}"
        asked = Source(Provenance.STATED, record, identity=request.requested_by, time=request.created)
        facts.append(Fact(f"for {request.target}", f"requested; now {request.status.lower()}", asked))
        for vote in request.decisions:
            said = f"{vote.verdict}: {vote.comment}" if vote.comment else vote.verdict
            source = Source(Provenance.STATED, record, by=vote.actor, identity=vote.identity, time=vote.time)
            facts.append(Fact(f"for {request.target}", said, source))
    return _section("approvals", "Approvals", facts)


def deployments_section(appearances: Sequence[tuple[str, RouteChange]], version: ModelVersion) -> Section:
    """Each change of traffic that gave the version a share, oldest first."""
    facts = []
    for endpoint, change in sorted(appearances, key=lambda each: (each[1].time, each[1].epoch)):
        weight = sum(
            each.weight for each in change.variants if (each.model, each.version) == (version.model, version.number)
        )
        share = f"{weight / BASIS_POINTS * 100:g} % of traffic"
        source = Source(Provenance.MEASURED, f"endpoint/{endpoint}", by=change.actor, time=change.time)
        facts.append(Fact(endpoint, f"{share}: {change.reason}" if change.reason else share, source))
    return _section("deployments", "Deployments", facts)


def monitoring_section(platform: Platform, version: ModelVersion, endpoints: Iterable[str]) -> Section:
    """How it does where it served: the newest windows that it answered most of, and alarms about it."""
    facts: list[Fact] = []
    mine = (version.model, version.number)
    for endpoint in sorted(set(endpoints))[:WATCHED_ENDPOINTS]:
        windows = [
            each
            for each in platform.monitors.windows(version.workspace, endpoint, limit=WINDOWS)
            if (each.model, each.version) == mine
        ]
        alarms = [
            each for each in platform.monitors.alarms(version.workspace, endpoint) if (each.model, each.version) == mine
        ]
        if not windows and not alarms:
            continue
        source = Source(Provenance.MEASURED, f"monitor/{endpoint}", time=windows[-1].evaluated if windows else None)
        told: dict[str, Scalar] = {"windows": len(windows), "predictions": sum(each.predictions for each in windows)}
        if windows:
            told |= {"newest window": to_text(windows[-1].start), "state": str(windows[-1].status)}
            measured = windows[-1].performance
            told |= {f"{name} in it": measured[name] for name in sorted(measured) if name not in JUDGING}
        facts += [Fact(f"{endpoint} / {name}", plain(value), source) for name, value in told.items()]
        for alarm in alarms:
            raised = replace(source, record=f"alarm/{alarm.id}", time=alarm.raised)
            state = "open" if alarm.status is AlarmStatus.OPEN else alarm.status.lower()
            facts.append(Fact(f"{endpoint} / {alarm.kind.replace('_', ' ')}", f"{state}: {alarm.message}", raised))
    return _section("monitoring", "Monitoring", facts)


def plain(value: object) -> Scalar:
    """A value with one canonical JSON form: NaN and infinities are undefined, long integers and the rest become text."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_EXACT:
        return value
    if isinstance(value, Sequence):
        return ", ".join(map(_text, value))
    return _text(value)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(each)}" for key, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_text, value)) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _section(key: str, title: str, facts: Iterable[Fact]) -> Section:
    return Section(key, title, tuple(facts))


def _leaves_section(key: str, title: str, tree: Mapping[str, Any], source: Source) -> Section:
    return _section(key, title, [Fact(name, plain(value), source) for name, value in _leaves(tree)])


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested mappings as one level, with the path as the name."""
    for key, value in sorted(tree.items()):
        path = f"{prefix} / {key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(value, path)
        else:
            yield path, value
