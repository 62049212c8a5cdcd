"""Records as nodes of a graph: what each is called, when it came about, and the facts that a picture shows with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bailiwick.core.errors import BailiwickError, NotFound
from bailiwick.data.model import Snapshot
from bailiwick.endpoints.log import Answered
from bailiwick.endpoints.model import BASIS_POINTS, RouteChange
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.lineage import Edge, Lineage, Node, edge, node
from bailiwick.registry.model import ModelVersion, Stage
from bailiwick.tracking.lineage.model import Dataset
from bailiwick.tracking.model import Run

KINDS = (
    "source",
    "snapshot",
    "dataset",
    "run",
    "logged_model",
    "package",
    "code",
    "version",
    "alias",
    "stage",
    "deployment",
    "endpoint",
    "predictions",
)
SHOWN = 12
SCORING = "scoring with "
"""How the name of an experiment begins whose runs answered whole sources with a model."""
SCORED_BY = "bailiwick.scored_by"
"""Tag of such a run: the version, `version/MODEL/NUMBER`."""


class Tracer:
    """Finds records of one workspace by their node's id; what it has read once it does not read again."""

    def __init__(self, platform: Platform, workspace: str) -> None:
        self.platform = platform
        self.workspace = workspace
        self._histories: dict[str, list[RouteChange]] = {}
        self._answered: dict[str, list[Answered]] = {}
        self._known: dict[str, Node | None] = {}
        self._compositions: list[ModelVersion] | None = None

    def node(self, record: str) -> Node | None:
        """The node of a record; None for one that is not there."""
        kind, _, name = record.partition("/")
        if record not in self._known:
            try:
                self._known[record] = getattr(self, f"_{kind}")(name)
            except (NotFound, ValueError):
                self._known[record] = None
        return self._known[record]

    def know(self, nodes: Iterable[Node]) -> None:
        """Nodes of records that were read already, many at a time."""
        self._known |= {each["id"]: each for each in nodes}

    def nodes(self, records: Iterable[str]) -> list[Node]:
        """The nodes of records; one that is not there any more keeps its id."""
        return [self.node(each) or node(each, each.partition("/")[2][:SHOWN], gone=True) for each in records]

    def version(self, name: str) -> ModelVersion:
        """Of `MODEL/NUMBER`, deleted ones too. Raises NotFound, ValueError."""
        model, _, number = name.rpartition("/")
        return self.platform.registry.version(self.workspace, model, int(number), deleted=True)

    def made_of(self, version: ModelVersion) -> list[ModelVersion]:
        """Versions that this one is a part of."""
        if self._compositions is None:
            self._compositions = self.platform.registry.compositions(self.workspace)
        return [each for each in self._compositions if (version.model, version.number) in each.parts]

    def history(self, endpoint: str) -> list[RouteChange]:
        """Changes of an endpoint's traffic, oldest first."""
        if endpoint not in self._histories:
            self._histories[endpoint] = self.platform.endpoints.history(self.workspace, endpoint)
        return self._histories[endpoint]

    def answered(self, endpoint: str, model: str, number: int) -> Answered | None:
        """What a version answered at an endpoint, as far as it is logged."""
        if endpoint not in self._answered:
            self._answered[endpoint] = self.platform.logs.of(self.workspace).answered(endpoint)
        mine = [each for each in self._answered[endpoint] if (each.model, each.version) == (model, number)]
        return mine[0] if mine else None

    def deployments(self, version: ModelVersion) -> list[str]:
        """Ids of the deployments of a version: one for each endpoint that ever gave it traffic."""
        return [
            f"deployment/{endpoint}/{version.model}/{version.number}"
            for endpoint in self.platform.endpoints.endpoints_of(self.workspace, version.model)
            if any(_share(change, version.model, version.number) is not None for change in self.history(endpoint))
        ]

    # -- one kind each -------------------------------------------------------------------------------------------

    def _source(self, name: str) -> Node:
        return node(f"source/{name}", name)

    def _code(self, name: str) -> Node:
        return node(f"code/{name}", f"code {name[:SHOWN]}")

    def _package(self, name: str) -> Node | None:
        found = self.platform.registry.versions_of_content(self.workspace, name)
        return node(f"package/{name}", f"package {name[:SHOWN]}", size_bytes=found[0].size_bytes) if found else None

    def _snapshot(self, name: str) -> Node:
        return snapshot_node(self.platform.data.snapshot(self.workspace, name))

    def _dataset(self, name: str) -> Node:
        return dataset_node(name, self.platform.run_lineage.dataset(self.workspace, name))

    def _run(self, name: str) -> Node:
        return run_node(self.platform.tracking.run(self.workspace, name))

    def _logged_model(self, name: str) -> Node:
        found = self.platform.logged_models.model(self.workspace, name)
        detail = {"name": found.name, "status": found.status, "created_by": found.created_by}
        return node(f"logged_model/{name}", found.name or f"logged model {name[:SHOWN]}", time=found.created, **detail)

    def _version(self, name: str) -> Node:
        return version_node(self.version(name))

    def _alias(self, name: str) -> Node | None:
        model, _, alias = name.rpartition("/")
        return self._pointing("alias", model, alias)

    def _stage(self, name: str) -> Node | None:
        model, _, stage = name.rpartition("/")
        return self._pointing("stage", model, stage)

    def _pointing(self, kind: str, model: str, name: str) -> Node | None:
        found = self.platform.registry.pointing_at(self.workspace, model, name)
        mine = [each for each in found if (each.kind, each.name) == (kind, name)]
        if not mine:
            return None
        newest = max(mine, key=lambda each: each.since)
        said: dict[str, Any] = {"set_by": newest.actor, "reason": newest.reason}
        return node(f"{kind}/{model}/{name}", name, time=newest.since, **said)

    def _endpoint(self, name: str) -> Node:
        found = self.platform.endpoints.endpoint(self.workspace, name)
        history = self.history(name)
        made = history[0].time if history else None
        return node(f"endpoint/{name}", name, time=made, epoch=found.epoch)

    def _deployment(self, name: str) -> Node | None:
        endpoint, model, number = name.split("/")
        changes = self.history(endpoint)
        shares = [_share(change, model, int(number)) for change in changes]
        serving = [place for place, share in enumerate(shares) if share is not None]
        if not serving:
            return None
        last, now = serving[-1], shares[-1]
        ended = changes[last + 1].time if last + 1 < len(changes) else None
        told = {"share": 0.0 if now is None else now / BASIS_POINTS, "changes": len(serving), "ended": ended}
        return node(f"deployment/{name}", f"{model} {number} on {endpoint}", time=changes[serving[0]].time, **told)

    def _predictions(self, name: str) -> Node | None:
        endpoint, model, number = name.split("/")
        try:
            found = self.answered(endpoint, model, int(number))
        except BailiwickError as error:
            if isinstance(error, NotFound):
                raise
            return node(f"predictions/{name}", "predictions, not readable just now", unreadable=True)
        if found is None:
            return None
        told = {"count": found.count, "failed": found.failed, "first": found.first, "last": found.last}
        return node(f"predictions/{name}", f"{found.count:,} predictions", time=found.last, **told)


def version_node(version: ModelVersion) -> Node:
    """A version, deleted ones too."""
    detail: dict[str, Any] = {
        "created_by": version.created_by,
        "stage": version.stage if version.stage != Stage.NONE else "",
        "aliases": list(version.aliases),
        "digest": version.digest,
        "deleted": version.deleted,
        "purged": version.purged,
    }
    told = {name: value for name, value in detail.items() if value not in ("", None, [])}
    name = f"version/{version.model}/{version.number}"
    return node(name, f"{version.model} version {version.number}", time=version.created, **told)


def run_node(run: Run) -> Node:
    """A training run, or whatever else was tracked."""
    detail = {"experiment": run.experiment, "status": run.status, "ended": run.ended, "lifecycle": run.lifecycle}
    return node(f"run/{run.id}", run.name or f"run {run.id[:SHOWN]}", time=run.started, **detail)


def snapshot_node(snapshot: Snapshot) -> Node:
    """Rows of a dataset, kept."""
    detail = {"dataset": snapshot.dataset, "rows": snapshot.rows, "digest": snapshot.digest}
    detail |= {"from": snapshot.time_from, "to": snapshot.time_to}
    return node(
        f"snapshot/{snapshot.id}", f"{snapshot.dataset}, {snapshot.rows:,} rows", time=snapshot.created, **detail
    )


def dataset_node(dataset_id: str, dataset: Dataset) -> Node:
    """A dataset as a run described it."""
    detail: dict[str, Any] = {
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source[:500],
    }
    return node(f"dataset/{dataset_id}", dataset.name, **detail)


def part(nodes: list[Node], edges: list[Edge]) -> Lineage:
    """What one step finds."""
    return {"nodes": nodes, "edges": edges}


def linked(tracer: Tracer, pairs: Iterable[tuple[str, str, str]]) -> Lineage:
    """Edges (from, to, label) with the nodes at both ends."""
    edges = [edge(start, end, label) for start, end, label in pairs]
    ends = dict.fromkeys(end for each in edges for end in (each["from"], each["to"]))
    return part(tracer.nodes(ends), edges)


def _share(change: RouteChange, model: str, number: int) -> int | None:
    """Basis points of the traffic; None where the version is not among the variants."""
    mine = [each.weight for each in change.variants if (each.model, each.version) == (model, number)]
    return sum(mine) if mine else None
