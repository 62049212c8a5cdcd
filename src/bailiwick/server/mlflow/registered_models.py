"""Registered models: create, rename, describe, tag, delete, find."""

from __future__ import annotations

from typing import Any

import msgspec

from bailiwick.core.actor import Permission
from bailiwick.core.errors import AlreadyExists
from bailiwick.core.filters import parse_filter, parse_ordering
from bailiwick.registry.model import Model, Stage, parse_stage
from bailiwick.registry.search import ATTRIBUTE, ENTITIES
from bailiwick.registry.sources import is_prompt
from bailiwick.server.mlflow.errors import EXISTS, MlflowError
from bailiwick.server.mlflow.message import Int64, Message
from bailiwick.server.mlflow.registry_shapes import (
    Tag,
    known_model,
    model_version,
    name_in,
    page_size,
    registered_model,
    tags_of,
)
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute

READ, WRITE = Permission.READ, Permission.MODELS_WRITE
PAGE, LARGEST_PAGE = 100, 1_000


class CreateModel(Message):
    """A new model."""

    required = ("name",)
    name: str | None = None
    tags: list[Tag] | None = None
    description: str | None = None


class NamedModel(Message):
    """One model."""

    required = ("name",)
    name: str | None = None


class RenameModel(Message):
    """One model and its new name."""

    required = ("name", "new_name")
    name: str | None = None
    new_name: str | None = None


class DescribeModel(Message):
    """One model and what is said of it."""

    required = ("name",)
    name: str | None = None
    description: str | None = None


class SearchModels(Message):
    """A page of models."""

    filter: str | None = None
    max_results: Int64 | None = None
    order_by: list[str] | None = None
    page_token: str | None = None


class LatestVersions(Message):
    """The newest version at each of these stages, or at all of them."""

    required = ("name",)
    name: str | None = None
    stages: list[str] | None = None


class TagModel(Message):
    """One tag of a model."""

    required = ("name", "key")
    name: str | None = None
    key: str | None = None
    value: str | None = None


def create(call: MlflowCall[CreateModel]) -> dict[str, Any]:
    """Make a model without versions."""
    asked = call.message
    name, tags = name_in(asked.name), tags_of(asked.tags)
    try:
        made = call.platform.registry.create_model(call.actor, name, description=asked.description or "", tags=tags)
    except AlreadyExists:
        raise _taken(name, call.platform.registry.model(call.workspace, name), prompt=is_prompt(tags)) from None
    return {"registered_model": registered_model(made, [])}


def _taken(name: str, existing: Model, *, prompt: bool) -> MlflowError:
    """A model and a prompt share one set of names; a client tells by these words what it has met."""
    kinds = {True: "Prompt", False: "Registered Model"}
    old, new = kinds[is_prompt(existing.tags)], kinds[prompt]
    if old == new:
        return MlflowError(EXISTS, f"{new} (name={name}) already exists.")
    return MlflowError(EXISTS, f"The {new.lower()} {name!r} cannot be made: a {old.lower()} has that name already.")


def get(call: MlflowCall[NamedModel]) -> dict[str, Any]:
    """One model with its newest versions."""
    return {"registered_model": _shown(call, name_in(call.message.name))}


def rename(call: MlflowCall[RenameModel]) -> dict[str, Any]:
    """Give a model another name."""
    name, new_name = name_in(call.message.name), name_in(call.message.new_name, "new_name")
    with known_model(name):
        try:
            call.platform.registry.rename_model(call.actor, name, new_name)
        except AlreadyExists as error:
            raise MlflowError(EXISTS, f"Registered Model (name={new_name}) already exists. {error}") from None
    return {"registered_model": _shown(call, new_name)}


def update(call: MlflowCall[DescribeModel]) -> dict[str, Any]:
    """Say what a model is for."""
    name = name_in(call.message.name)
    if call.message.description is not None:
        with known_model(name):
            call.platform.registry.describe_model(call.actor, name, call.message.description)
    return {"registered_model": _shown(call, name)}


def delete(call: MlflowCall[NamedModel]) -> dict[str, Any]:
    """Hide a model and its versions; Bailiwick keeps what they were until somebody purges them."""
    name = name_in(call.message.name)
    with known_model(name):
        call.platform.registry.delete_model(call.actor, name)
    return {}


def search(call: MlflowCall[SearchModels]) -> bytes:
    """A page of models with their newest versions."""
    asked, registry = call.message, call.platform.registry
    found = registry.search_models(
        call.workspace,
        parse_filter(asked.filter or "", entities=ENTITIES, default=ATTRIBUTE),
        [parse_ordering(text, entities=ENTITIES, default=ATTRIBUTE) for text in asked.order_by or ()],
        limit=page_size(asked.max_results, default=PAGE, most=LARGEST_PAGE),
        token=asked.page_token or "",
    )
    latest = registry.latest_versions(call.workspace, [model.name for model in found.items])
    shown: dict[str, Any] = {}
    if found.items:
        shown["registered_models"] = [registered_model(model, latest[model.name]) for model in found.items]
    if found.token:
        shown["next_page_token"] = found.token
    return msgspec.json.encode(shown)


def latest_versions(call: MlflowCall[LatestVersions]) -> dict[str, Any]:
    """The newest version at each stage."""
    name = name_in(call.message.name)
    stages = {parse_stage(text) for text in call.message.stages or Stage}
    with known_model(name):
        call.platform.registry.model(call.workspace, name)
    latest = call.platform.registry.latest_versions(call.workspace, [name])[name]
    shown = [model_version(version) for version in latest if version.stage in stages]
    return {"model_versions": shown or None}


def set_tag(call: MlflowCall[TagModel]) -> dict[str, Any]:
    """Set a tag of a model."""
    name = name_in(call.message.name)
    with known_model(name):
        call.platform.registry.tag_model(call.actor, name, call.message.key or "", call.message.value or "")
    return {}


def delete_tag(call: MlflowCall[TagModel]) -> dict[str, Any]:
    """Remove a tag of a model; one that is not there is no error."""
    name = name_in(call.message.name)
    with known_model(name):
        call.platform.registry.untag_model(call.actor, name, call.message.key or "")
    return {}


def _shown(call: MlflowCall[Any], name: str) -> dict[str, Any]:
    with known_model(name):
        found = call.platform.registry.model(call.workspace, name)
    return registered_model(found, call.platform.registry.latest_versions(call.workspace, [name])[name])


_BASE = "/mlflow/registered-models"
ROUTES = (
    MlflowRoute("POST", f"{_BASE}/create", CreateModel, WRITE, create),
    MlflowRoute("POST", f"{_BASE}/rename", RenameModel, WRITE, rename),
    MlflowRoute("PATCH", f"{_BASE}/update", DescribeModel, WRITE, update),
    MlflowRoute("DELETE", f"{_BASE}/delete", NamedModel, WRITE, delete),
    MlflowRoute("GET", f"{_BASE}/get", NamedModel, READ, get),
    MlflowRoute("GET", f"{_BASE}/search", SearchModels, READ, search),
    MlflowRoute("POST", f"{_BASE}/get-latest-versions", LatestVersions, READ, latest_versions),
    MlflowRoute("GET", f"{_BASE}/get-latest-versions", LatestVersions, READ, latest_versions),
    MlflowRoute("POST", f"{_BASE}/set-tag", TagModel, WRITE, set_tag),
    MlflowRoute("DELETE", f"{_BASE}/delete-tag", TagModel, WRITE, delete_tag),
)
