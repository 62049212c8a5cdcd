"""Aliases of registered models: three methods on one path."""

from __future__ import annotations

from typing import Any

from bailiwick.core.actor import Permission
from bailiwick.core.errors import NotFound
from bailiwick.lifecycle.promotion import promote
from bailiwick.registry.model import check_alias
from bailiwick.server.mlflow.errors import INVALID, MISSING, MlflowError
from bailiwick.server.mlflow.message import Message
from bailiwick.server.mlflow.registry_shapes import known_model, known_version, model_version, name_in, number_in
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute

PATH = "/mlflow/registered-models/alias"
NEWEST = "latest"


class SetAlias(Message):
    """Which alias is to name which version."""

    required = ("name", "alias", "version")
    name: str | None = None
    alias: str | None = None
    version: str | None = None


class NamedAlias(Message):
    """One alias."""

    required = ("name", "alias")
    name: str | None = None
    alias: str | None = None


def set_alias(call: MlflowCall[SetAlias]) -> dict[str, Any]:
    """Point an alias at a version, if its policy lets it."""
    name, number = name_in(call.message.name), number_in(call.message.version)
    with known_version(name, number):
        promote(call.platform, call.actor, name, number, call.message.alias or "")
    return {}


def delete_alias(call: MlflowCall[NamedAlias]) -> dict[str, Any]:
    """Let an alias point nowhere; one that does already is no error."""
    name, alias = name_in(call.message.name), call.message.alias or ""
    with known_model(name):
        if alias in call.platform.registry.model(call.workspace, name).aliases:
            call.platform.registry.remove_alias(call.actor, name, alias)
    return {}


def get_version(call: MlflowCall[NamedAlias]) -> dict[str, Any]:
    """The version an alias points to; `latest`, in any case, is the highest number."""
    name, alias = name_in(call.message.name), call.message.alias or ""
    registry = call.platform.registry
    with known_model(name):
        registry.model(call.workspace, name)
    if alias.lower() == NEWEST:
        latest = registry.latest_versions(call.workspace, [name])[name]
        if not latest:
            raise MlflowError(MISSING, f"Latest version not found for model {name}.")
        return {"model_version": model_version(max(latest, key=lambda version: version.number))}
    check_alias(alias)
    try:
        return {"model_version": model_version(registry.alias(call.workspace, name, alias))}
    except NotFound:
        raise MlflowError(INVALID, f"Registered model alias {alias} not found.") from None


ROUTES = (
    MlflowRoute("POST", PATH, SetAlias, Permission.MODELS_WRITE, set_alias),
    MlflowRoute("DELETE", PATH, NamedAlias, Permission.MODELS_WRITE, delete_alias),
    MlflowRoute("GET", PATH, NamedAlias, Permission.READ, get_version),
)
