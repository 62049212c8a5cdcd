"""Models, versions, aliases, lineage."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from bailiwick.lifecycle.lineage.walk import Direction, trace
from bailiwick.lifecycle.lineage.walk import LineageGraph as Traced
from bailiwick.lifecycle.promotion import promote
from bailiwick.registry.model import AliasChange, Model, ModelVersion
from bailiwick.server.api.route import Call, Nothing


class Models(Struct, frozen=True):
    """Models by name."""

    items: list[Model]


class Versions(Struct, frozen=True):
    """Versions of a model, the highest number first."""

    items: list[ModelVersion]


class AliasHistory(Struct, frozen=True):
    """Every change of a model's aliases, oldest first."""

    items: list[AliasChange]


class SetAlias(Struct, frozen=True, forbid_unknown_fields=True):
    """Where an alias is to point, and why."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    reason: Annotated[str, Meta(max_length=2000)] = ""


class LineageNode(Struct, frozen=True):
    """A record; `id` is `kind/name` as in the journal."""

    id: str
    kind: str
    label: str
    time: int | None
    detail: dict[str, Any]


class LineageEdge(Struct, frozen=True):
    """How one record came from another."""

    source: str = field(name="from")
    target: str = field(name="to")
    label: str = ""


class LineageGraph(Struct, frozen=True):
    """What a record came from and what came of it; `truncated` where there is more than is shown."""

    start: str
    nodes: list[LineageNode]
    edges: list[LineageEdge]
    truncated: bool


class LineageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A record as `kind/name`, e.g. `version/flights/3`; and `backward`, `forward` or `both`."""

    record: Annotated[str, Meta(min_length=3, max_length=2500)]
    direction: Direction = Direction.BOTH


def models(call: Call[Nothing, Nothing]) -> Models:
    """All models with their aliases."""
    return Models(call.platform.registry.models(call.workspace))


def model(call: Call[Nothing, Nothing]) -> Model:
    """One model with its aliases."""
    return call.platform.registry.model(call.workspace, call.path["model"])


def versions(call: Call[Nothing, Nothing]) -> Versions:
    """Versions of a model."""
    return Versions(call.platform.registry.versions(call.workspace, call.path["model"]))


def version(call: Call[Nothing, Nothing]) -> ModelVersion:
    """One version with everything that was measured about it."""
    return call.platform.registry.version(call.workspace, call.path["model"], call.number("number"))


def version_lineage(call: Call[Nothing, Nothing]) -> LineageGraph:
    """The graph of records around one version, from its source to what it predicted."""
    model, number = call.path["model"], call.number("number")
    call.platform.registry.version(call.workspace, model, number, deleted=True)
    return graph_view(trace(call.platform, call.workspace, f"version/{model}/{number}"))


def lineage(call: Call[LineageQuery, Nothing]) -> LineageGraph:
    """The graph of records around any record."""
    return graph_view(trace(call.platform, call.workspace, call.query.record, call.query.direction))


def graph_view(found: Traced) -> LineageGraph:
    """As it goes over the wire."""
    return LineageGraph(
        found.start,
        [LineageNode(**node) for node in found.nodes],
        [LineageEdge(edge["from"], edge["to"], edge["label"]) for edge in found.edges],
        found.truncated,
    )


def alias_history(call: Call[Nothing, Nothing]) -> AliasHistory:
    """Who moved which alias where, when and why. Raises NotFound for an unknown model."""
    call.platform.registry.model(call.workspace, call.path["model"])
    return AliasHistory(call.platform.registry.alias_history(call.workspace, call.path["model"]))


def alias(call: Call[Nothing, Nothing]) -> ModelVersion:
    """The version an alias points to."""
    return call.platform.registry.alias(call.workspace, call.path["model"], call.path["alias"])


def set_alias(call: Call[Nothing, SetAlias]) -> AliasChange:
    """Point an alias at a version, if the promotion gate lets it."""
    wanted = call.body
    return promote(
        call.platform, call.actor, call.path["model"], wanted.version, call.path["alias"], reason=wanted.reason
    )
