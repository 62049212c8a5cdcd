"""Versions that are made of what is sent, or of other versions.

What makes them runs models, and is imported by the first request that needs it: a control plane that is not asked stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct, field, json

from bailiwick.lifecycle.checking import held_snapshot
from bailiwick.registry.model import ModelVersion
from bailiwick.server.api.model_deeds import ModelName, Text
from bailiwick.server.api.route import Call, Nothing
from bailiwick.server.api.versions import Number

if TYPE_CHECKING:
    from bailiwick.lifecycle.assessing import Labelled

Datatype = Annotated[str, Meta(max_length=10)]


class OtherVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """A registered version."""

    model: ModelName
    version: Number


class LabelledSnapshot(Struct, frozen=True, forbid_unknown_fields=True):
    """A snapshot whose truth is in a column, and the gates that must say yes there."""

    snapshot: Annotated[str, Meta(min_length=1, max_length=500)]
    label: Annotated[str, Meta(min_length=1, max_length=500)]
    positive: int | float | str = 1
    gates: list[str] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)


class RulesVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON Decision Model, and what it does not say of its inputs and outputs itself."""

    model: ModelName
    decision: dict[str, Any]
    inputs: dict[str, Datatype] = field(default_factory=dict)
    outputs: dict[str, Datatype] = field(default_factory=dict)
    defaults: dict[str, float | int | bool | str] = field(default_factory=dict)
    like: OtherVersion | None = None
    evaluate: LabelledSnapshot | None = None
    description: Text = ""


def register_rules_version(call: Call[Nothing, RulesVersion]) -> ModelVersion:
    """The next version of a model from rules; rules that it has already give that version."""
    from bailiwick.lifecycle.rules import register_rules
    from bailiwick.rules.signature import Declared

    wanted = call.body
    return register_rules(
        call.platform,
        call.actor,
        wanted.model,
        json.encode(wanted.decision),
        declared=Declared(wanted.inputs, wanted.outputs, wanted.defaults),
        like=None if wanted.like is None else (wanted.like.model, wanted.like.version),
        labelled=None if wanted.evaluate is None else labelled(call, wanted.evaluate),
        description=wanted.description,
    )


class ComposedVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """A composition as a file declares it, and what it is to be evaluated on."""

    model: ModelName
    steps: dict[str, Any]
    combine: dict[str, Any] | None = None
    output: Annotated[str, Meta(max_length=500)] = "probability"
    evaluate: LabelledSnapshot | None = None
    description: Text = ""


def compose_version(call: Call[Nothing, ComposedVersion]) -> ModelVersion:
    """The next version of a model, made of registered versions; made of the same, it is that one."""
    from bailiwick.composing.model import read_declaration
    from bailiwick.lifecycle.composing.story import compose

    wanted = call.body
    tree = {"model": wanted.model, "steps": wanted.steps, "combine": wanted.combine, "output": wanted.output}
    return compose(
        call.platform,
        call.actor,
        read_declaration(tree),
        labelled=None if wanted.evaluate is None else labelled(call, wanted.evaluate),
        description=wanted.description,
    )


def labelled(call: Call[Any, Any], asked: LabelledSnapshot) -> Labelled:
    """Raises NotFound."""
    from bailiwick.lifecycle.assessing import Labelled

    snapshot = call.platform.data.find(call.workspace, asked.snapshot)
    held = held_snapshot(call.platform.data, snapshot)
    return Labelled(held, asked.label, asked.positive, tuple(asked.gates), tuple(asked.slices))
