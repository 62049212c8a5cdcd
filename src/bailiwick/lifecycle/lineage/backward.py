"""What each kind of record came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bailiwick.core.errors import NotFound
from bailiwick.lifecycle.lineage.nodes import SCORED_BY, Tracer, dataset_node, linked, part, run_node
from bailiwick.registry.lineage import Lineage, edge, version_lineage
from bailiwick.tracking.lineage.model import Direction
from bailiwick.tracking.model import Run

TRAINING = "training"


def of_version(tracer: Tracer, name: str) -> Lineage:
    """What was registered, the run and the data behind it."""
    version = tracer.version(name)
    graph = version_lineage(version, aliases=())
    upstream = [each for each in graph["edges"] if not each["to"].startswith("stage/")]
    found = linked(tracer, ((each["from"], each["to"], each["label"]) for each in upstream))
    described = {each["id"]: each for each in graph["nodes"]}
    # What only the version knows of (a package, a source) is described as the version has it.
    nodes = [described.get(each["id"], each) if each["detail"].get("gone") else each for each in found["nodes"]]
    return part(nodes, found["edges"])


def of_pointer(kind: str) -> Callable[[Tracer, str], Lineage]:
    """What an alias or a stage means now."""

    def step(tracer: Tracer, name: str) -> Lineage:
        model, _, pointer = name.rpartition("/")
        found = tracer.platform.registry.pointing_at(tracer.workspace, model, pointer)
        mine = [each.number for each in found if each.kind == kind]
        return linked(tracer, ((f"version/{model}/{number}", f"{kind}/{name}", "is") for number in mine))

    return step


def of_logged_model(tracer: Tracer, name: str) -> Lineage:
    """The run that made it."""
    try:
        run_id = tracer.platform.logged_models.model(tracer.workspace, name).source_run
    except NotFound:  # deleted in tracking; runs still say what they made
        run_id = ""
    made = tracer.platform.run_lineage.runs_of_model(tracer.workspace, name)
    runs = dict.fromkeys([*filter(None, [run_id]), *made[Direction.OUTPUT]])
    return linked(tracer, ((f"run/{run}", f"logged_model/{name}", "produced") for run in runs))


def of_run(tracer: Tracer, name: str) -> Lineage:
    """Snapshots and datasets that it read, models that it was given, and the run that it is part of."""
    try:
        run = tracer.platform.tracking.run(tracer.workspace, name)
    except NotFound:  # of another server, or erased
        return part([], [])
    me = f"run/{name}"
    pairs = [(f"snapshot/{each.snapshot}", me, read_as(each.role)) for each in run.inputs]
    links = tracer.platform.run_lineage.links(tracer.workspace, [name]).get(name)
    pairs += [(f"logged_model/{each}", me, "evaluated in") for each in (links.models_read if links else ())]
    pairs += [(f"run/{run.parent}", me, "parent of")] if run.parent else []
    pairs += [(run.tags[SCORED_BY], me, "scored in")] if SCORED_BY in run.tags else []
    found, datasets = linked(tracer, pairs), _datasets(tracer, run)
    return part([run_node(run), *found["nodes"], *datasets["nodes"]], [*found["edges"], *datasets["edges"]])


def _datasets(tracer: Tracer, run: Run) -> Lineage:
    links = tracer.platform.run_lineage.links(tracer.workspace, [run.id]).get(run.id)
    nodes, edges = [], []
    for each in links.datasets if links else ():
        dataset_id = tracer.platform.run_lineage.id_of_dataset(tracer.workspace, run.experiment_id, each.dataset)
        nodes.append(dataset_node(dataset_id, each.dataset))
        edges.append(edge(f"dataset/{dataset_id}", f"run/{run.id}", read_as(each.context or "")))
    return part(nodes, edges)


def of_dataset(tracer: Tracer, name: str) -> Lineage:
    """The snapshot of ours that it names, and where it says that it is from."""
    found = tracer.platform.run_lineage.dataset(tracer.workspace, name)
    if not found.snapshot:
        return part([], [])
    return linked(tracer, [(f"snapshot/{found.snapshot}", f"dataset/{name}", "described as")])


def of_snapshot(tracer: Tracer, name: str) -> Lineage:
    """Where its rows were read."""
    try:
        source = tracer.platform.data.snapshot(tracer.workspace, name).source
    except NotFound:
        return part([], [])
    return linked(tracer, [(f"source/{source}", f"snapshot/{name}", "ingested as")] if source else [])


def of_package(tracer: Tracer, name: str) -> Lineage:
    """The runs that made it, by way of the versions that hold it."""
    versions = [each for each in tracer.platform.registry.versions_of_content(tracer.workspace, name) if each.native]
    made = {each.run_id for each in versions if each.run_id}
    return linked(tracer, ((f"run/{run}", f"package/{name}", "produced") for run in sorted(made)))


def of_deployment(tracer: Tracer, name: str) -> Lineage:
    """The version that was deployed."""
    _, model, number = name.split("/")
    return linked(tracer, [(f"version/{model}/{number}", f"deployment/{name}", "deployed as")])


def of_predictions(tracer: Tracer, name: str) -> Lineage:
    """The deployment that answered."""
    return linked(tracer, [(f"deployment/{name}", f"predictions/{name}", "answered")])


def of_endpoint(tracer: Tracer, name: str) -> Lineage:
    """Every version that ever had a share of its traffic."""
    served = dict.fromkeys((each.model, each.version) for change in tracer.history(name) for each in change.variants)
    me = f"endpoint/{name}"
    return linked(tracer, ((f"deployment/{name}/{model}/{number}", me, "serves") for model, number in served))


def read_as(role: str) -> str:
    """How a run read something; training is what the word `trained` stands for in every graph."""
    return "trained" if role in {"", TRAINING, "train"} else f"read as {role}"


BACKWARD: Mapping[str, Callable[[Tracer, str], Lineage]] = {
    "version": of_version,
    "alias": of_pointer("alias"),
    "stage": of_pointer("stage"),
    "logged_model": of_logged_model,
    "run": of_run,
    "dataset": of_dataset,
    "snapshot": of_snapshot,
    "package": of_package,
    "deployment": of_deployment,
    "predictions": of_predictions,
    "endpoint": of_endpoint,
}
