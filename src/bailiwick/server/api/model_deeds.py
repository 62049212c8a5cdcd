"""What is done with models, and with what people say of versions: made, described, tagged, renamed, hidden and shown."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from bailiwick.core.serving_setting import (
    AS_SERVED,
    LONGEST_WHY,
    MOST_ROWS,
    MOST_THREADS,
    MOST_WORKERS,
    ServingSetting,
)
from bailiwick.registry.model import AliasChange, Model, ModelVersion
from bailiwick.server.api.experiments import TagKey, Tags
from bailiwick.server.api.route import Call, Nothing
from bailiwick.server.api.versions import Because

Text = Annotated[str, Meta(max_length=5000)]
ModelName = Annotated[str, Meta(min_length=1, max_length=256)]


class NewModel(Struct, frozen=True, forbid_unknown_fields=True):
    """A name under which versions are to be registered."""

    name: ModelName
    description: Text = ""
    tags: dict[str, str] = field(default_factory=dict)


class ChangeModel(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed; a new name takes versions, aliases and history along."""

    description: Text | None = None
    name: ModelName | None = None


class DescribeVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """What a version is for."""

    description: Text


class Hidden(Struct, frozen=True):
    """How many versions were hidden with a model."""

    versions: int


class ReasonQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; the history keeps it."""

    reason: Annotated[str, Meta(max_length=2000)] = ""


class NewServingSetting(Struct, frozen=True, forbid_unknown_fields=True):
    """How a version is to be run; what is left out is as the server has it."""

    threads: Annotated[int, Meta(ge=1, le=MOST_THREADS)] = 1
    most_rows: Annotated[int, Meta(ge=0, le=MOST_ROWS)] = 0
    workers: Annotated[int, Meta(ge=0, le=MOST_WORKERS)] = 0
    why: Annotated[str, Meta(max_length=LONGEST_WHY)] = ""
    reason: Annotated[str, Meta(max_length=2000)] = ""


def create_model(call: Call[Nothing, NewModel]) -> Model:
    """A model without versions."""
    wanted = call.body
    return call.platform.registry.create_model(
        call.actor, wanted.name, description=wanted.description, tags=wanted.tags
    )


def change_model(call: Call[Nothing, ChangeModel]) -> Model:
    """Describe it, rename it."""
    registry, name = call.platform.registry, call.path["model"]
    if call.body.description is not None:
        registry.describe_model(call.actor, name, call.body.description)
    if call.body.name is not None:
        return registry.rename_model(call.actor, name, call.body.name)
    return registry.model(call.workspace, name)


def tag_model(call: Call[Nothing, Tags]) -> Model:
    """Set tags, one after the other."""
    registry, name = call.platform.registry, call.path["model"]
    for key, value in call.body.tags.items():
        registry.tag_model(call.actor, name, key, value)
    return registry.model(call.workspace, name)


def untag_model(call: Call[TagKey, Nothing]) -> Model:
    """Remove a tag; one that is not there is no error."""
    call.platform.registry.untag_model(call.actor, call.path["model"], call.query.key)
    return call.platform.registry.model(call.workspace, call.path["model"])


def delete_model(call: Call[Nothing, Because]) -> Hidden:
    """Hide it with its versions."""
    reason = call.body.reason
    return Hidden(call.platform.registry.delete_model(call.actor, call.path["model"], reason=reason))


def restore_model(call: Call[Nothing, Nothing]) -> Model:
    """Show it again."""
    return call.platform.registry.restore_model(call.actor, call.path["model"])


def remove_alias(call: Call[ReasonQuery, Nothing]) -> AliasChange:
    """Let an alias point nowhere."""
    reason = call.query.reason
    return call.platform.registry.remove_alias(call.actor, call.path["model"], call.path["alias"], reason=reason)


def describe_version(call: Call[Nothing, DescribeVersion]) -> ModelVersion:
    """Say what it is for."""
    number = call.number("number")
    return call.platform.registry.describe_version(call.actor, call.path["model"], number, call.body.description)


def tag_version(call: Call[Nothing, Tags]) -> ModelVersion:
    """Set tags, one after the other."""
    registry, name, number = call.platform.registry, call.path["model"], call.number("number")
    for key, value in call.body.tags.items():
        registry.tag_version(call.actor, name, number, key, value)
    return registry.version(call.workspace, name, number)


def untag_version(call: Call[TagKey, Nothing]) -> ModelVersion:
    """Remove a tag; one that is not there is no error."""
    registry, name, number = call.platform.registry, call.path["model"], call.number("number")
    registry.untag_version(call.actor, name, number, call.query.key)
    return registry.version(call.workspace, name, number)


def serving_setting(call: Call[Nothing, Nothing]) -> ServingSetting:
    """That of the server where nothing is set."""
    return call.platform.registry.version(call.workspace, call.path["model"], call.number("number")).serving


def set_serving(call: Call[Nothing, NewServingSetting]) -> ServingSetting:
    """Whole: what is left out is as the server has it."""
    said = call.body
    wanted = ServingSetting(said.threads, said.most_rows, said.workers, said.why)
    name, number = call.path["model"], call.number("number")
    return call.platform.registry.set_serving(call.actor, name, number, wanted, reason=said.reason).serving


def reset_serving(call: Call[ReasonQuery, Nothing]) -> ServingSetting:
    """May be repeated."""
    name, number = call.path["model"], call.number("number")
    return call.platform.registry.set_serving(call.actor, name, number, AS_SERVED, reason=call.query.reason).serving
