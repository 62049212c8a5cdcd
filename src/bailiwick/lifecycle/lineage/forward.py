"""What came of each kind of record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from bailiwick.core.errors import NotFound
from bailiwick.lifecycle.lineage.backward import read_as
from bailiwick.lifecycle.lineage.nodes import SCORED_BY, SCORING, Tracer, linked, part, run_node, version_node
from bailiwick.registry.lineage import Lineage, content_of
from bailiwick.registry.model import ModelVersion, Stage
from bailiwick.tracking.lineage.model import Direction

Pair = tuple[str, str, str]


def of_source(tracer: Tracer, name: str) -> Lineage:
    """Snapshots of what was read there."""
    snapshots = [each.id for each in tracer.platform.data.snapshots(tracer.workspace) if each.source == name]
    return linked(tracer, ((f"source/{name}", f"snapshot/{each}", "ingested as") for each in snapshots))


def of_snapshot(tracer: Tracer, name: str) -> Lineage:
    """Runs that read it, datasets that name it, and versions that say they were made of it."""
    me, workspace = f"snapshot/{name}", tracer.workspace
    pairs: list[Pair] = []
    runs = tracer.platform.tracking.runs_of_snapshot(workspace, name)
    tracer.know(map(run_node, runs))
    for run in runs:
        pairs += [(me, f"run/{run.id}", read_as(each.role)) for each in run.inputs if each.snapshot == name]
    described = tracer.platform.run_lineage.datasets_of_snapshot(workspace, name)
    pairs += [(me, f"dataset/{each}", "described as") for each in described]
    graph = linked(tracer, pairs)
    versions = tracer.platform.registry.versions_of_snapshot(workspace, name)
    tracer.know(map(version_node, versions))
    for version in versions:
        start = f"run/{version.run_id}" if version.run_id else ""
        graph = _joined(graph, linked(tracer, [(me, start, "trained")]) if start else part([], []))
        graph = _joined(graph, _registered(tracer, [version], start or me, "produced" if start else "trained"))
    return graph


def of_dataset(tracer: Tracer, name: str) -> Lineage:
    """Runs that read it."""
    runs = tracer.platform.run_lineage.runs_of_dataset(tracer.workspace, name)
    return linked(tracer, ((f"dataset/{name}", f"run/{run}", read_as(context)) for run, context in runs))


def of_run(tracer: Tracer, name: str) -> Lineage:
    """Logged models that it made, and versions that were registered from it; runs that are part of it."""
    me, workspace = f"run/{name}", tracer.workspace
    links = tracer.platform.run_lineage.links(workspace, [name]).get(name)
    pairs = [(me, f"logged_model/{each.model_id}", "produced") for each in (links.models_made if links else ())]
    pairs += [(me, f"run/{each.id}", "parent of") for each in tracer.platform.tracking.children(workspace, name)]
    versions = tracer.platform.registry.versions_of_source(workspace, run_id=name)
    return _joined(linked(tracer, pairs), _registered(tracer, versions, me, "produced"))


def of_logged_model(tracer: Tracer, name: str) -> Lineage:
    """Versions that it became, and runs that evaluated it."""
    me, workspace = f"logged_model/{name}", tracer.workspace
    read = tracer.platform.run_lineage.runs_of_model(workspace, name)[Direction.INPUT]
    versions = tracer.platform.registry.versions_of_source(workspace, model_id=name)
    tracer.know(map(version_node, versions))
    pairs = [(me, f"run/{each}", "evaluated in") for each in read]
    pairs += [(me, _id(each), "registered as") for each in versions if content_of(each)["id"] == me]
    return linked(tracer, pairs)


def of_package(tracer: Tracer, name: str) -> Lineage:
    """Versions that hold it."""
    versions = tracer.platform.registry.versions_of_content(tracer.workspace, name)
    return linked(tracer, ((f"package/{name}", _id(each), "registered as") for each in versions if each.native))


def of_version(tracer: Tracer, name: str) -> Lineage:
    """What it is (aliases, stage), copies of it, what it is a part of, and where it was deployed."""
    version = tracer.version(name)
    me = _id(version)
    pairs = [(me, f"alias/{version.model}/{alias}", "is") for alias in version.aliases]
    pairs += [(me, f"stage/{version.model}/{version.stage}", "is")] if version.stage != Stage.NONE else []
    pairs += [(me, _id(copy), "registered as") for copy in _copies(tracer, version)]
    pairs += [(me, each, "deployed as") for each in tracer.deployments(version)]
    pairs += [(me, _id(each), "part of") for each in tracer.made_of(version)]
    pairs += [(me, f"run/{each}", "scored in") for each in _scorings(tracer, version)]
    return linked(tracer, pairs)


def of_deployment(tracer: Tracer, name: str) -> Lineage:
    """The endpoint that it serves, and what it answered."""
    endpoint, _, _ = name.split("/")
    me = f"deployment/{name}"
    pairs = [(me, f"endpoint/{endpoint}", "serves")]
    if tracer.node(f"predictions/{name}") is not None:
        pairs.append((me, f"predictions/{name}", "answered"))
    return linked(tracer, pairs)


def _scorings(tracer: Tracer, version: ModelVersion) -> list[str]:
    """Runs in which it answered whole sources, the newest hundred of its model."""
    try:
        runs = tracer.platform.tracking.runs(tracer.workspace, f"{SCORING}{version.model}", limit=100)
    except NotFound:
        return []
    return [run.id for run in runs if run.tags.get(SCORED_BY) == _id(version)]


def _copies(tracer: Tracer, version: ModelVersion) -> Iterator[ModelVersion]:
    """Versions that were registered from this one by its name."""
    named = f"models:/{version.model}/{version.number}"
    near: Iterable[ModelVersion] = ()
    if version.digest:
        near = tracer.platform.registry.versions_of_content(tracer.workspace, version.digest)
    elif version.run_id:
        near = tracer.platform.registry.versions_of_source(tracer.workspace, run_id=version.run_id)
    return (each for each in near if each.source == named)


def _registered(tracer: Tracer, versions: Iterable[ModelVersion], start: str, label: str) -> Lineage:
    """From a run or snapshot by way of what was registered to the versions; copies follow from what they copy."""
    graph = part([], [])
    made = list(versions)
    tracer.know(map(version_node, made))
    for version in made:
        content = content_of(version)
        if content["kind"] == "version":
            continue
        found = linked(tracer, [(start, content["id"], label), (content["id"], _id(version), "registered as")])
        nodes = [
            content if each["id"] == content["id"] and each["detail"].get("gone") else each for each in found["nodes"]
        ]
        graph = _joined(graph, part(nodes, found["edges"]))
    return graph


def _joined(first: Lineage, second: Lineage) -> Lineage:
    return part([*first["nodes"], *second["nodes"]], [*first["edges"], *second["edges"]])


def _id(version: ModelVersion) -> str:
    return f"version/{version.model}/{version.number}"


FORWARD: Mapping[str, Callable[[Tracer, str], Lineage]] = {
    "source": of_source,
    "snapshot": of_snapshot,
    "dataset": of_dataset,
    "run": of_run,
    "logged_model": of_logged_model,
    "package": of_package,
    "version": of_version,
    "deployment": of_deployment,
}
