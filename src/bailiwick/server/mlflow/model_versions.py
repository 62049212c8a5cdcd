"""Model versions: create from a source, describe, tag, move between stages, delete, find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bailiwick.core.actor import Permission
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.core.filters import Clause, parse_filter, parse_ordering
from bailiwick.lifecycle.promotion import promote_to_stage
from bailiwick.registry.search import ATTRIBUTE, ENTITIES
from bailiwick.registry.sources import is_on_another_host
from bailiwick.server.mlflow.errors import INTERNAL, MISSING, MlflowError
from bailiwick.server.mlflow.message import Int64, Message
from bailiwick.server.mlflow.packages import package_uri
from bailiwick.server.mlflow.registry_shapes import (
    Tag,
    known_model,
    known_version,
    model_version,
    name_in,
    number_in,
    page_size,
    tags_of,
)
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute

READ, WRITE = Permission.READ, Permission.MODELS_WRITE
LARGEST_PAGE = 200_000
RUNS_PER_QUERY = 500


class CreateVersion(Message):
    """A new version, and where its files are."""

    required = ("name", "source")
    name: str | None = None
    source: str | None = None
    run_id: str | None = None
    tags: list[Tag] | None = None
    run_link: str | None = None
    description: str | None = None
    model_id: str | None = None


class NamedVersion(Message):
    """One version."""

    required = ("name", "version")
    name: str | None = None
    version: str | None = None


class DescribeVersion(Message):
    """One version and what is said of it."""

    required = ("name", "version")
    name: str | None = None
    version: str | None = None
    description: str | None = None


class TransitionStage(Message):
    """One version and the stage it is to reach."""

    required = ("name", "version", "stage")
    name: str | None = None
    version: str | None = None
    stage: str | None = None
    archive_existing_versions: bool | None = None


class TagVersion(Message):
    """One tag of a version."""

    required = ("name", "version", "key")
    name: str | None = None
    version: str | None = None
    key: str | None = None
    value: str | None = None


class SearchVersions(Message):
    """A page of versions."""

    filter: str | None = None
    max_results: Int64 | None = None
    order_by: list[str] | None = None
    page_token: str | None = None


def create(call: MlflowCall[CreateVersion]) -> dict[str, Any]:
    """Make the next version of a model."""
    asked = call.message
    name, source = name_in(asked.name), asked.source or ""
    with known_model(name):
        call.platform.registry.model(call.workspace, name)
    try:
        made = call.platform.registry.create_version(
            call.actor,
            name,
            source=source,
            run_id=asked.run_id,
            model_id=asked.model_id,
            run_link=asked.run_link or "",
            description=asked.description or "",
            tags=tags_of(asked.tags),
        )
    except NotFound as error:
        raise MlflowError(MISSING, f"Invalid model version source: {error}") from None
    except InvalidInput as error:
        if is_on_another_host(source):  # as a fault of the server is how clients know this one
            raise MlflowError(INTERNAL, str(error)) from None
        raise
    return {"model_version": model_version(made)}


def get(call: MlflowCall[NamedVersion]) -> dict[str, Any]:
    """One version."""
    name, number = _place(call.message)
    with known_version(name, number):
        return {"model_version": model_version(call.platform.registry.version(call.workspace, name, number))}


def update(call: MlflowCall[DescribeVersion]) -> dict[str, Any]:
    """Say what a version is."""
    name, number = _place(call.message)
    registry, said = call.platform.registry, call.message.description
    with known_version(name, number):
        if said is None:
            return {"model_version": model_version(registry.version(call.workspace, name, number))}
        return {"model_version": model_version(registry.describe_version(call.actor, name, number, said))}


def transition_stage(call: MlflowCall[TransitionStage]) -> dict[str, Any]:
    """Move a version to a stage, if its policies let it."""
    name, number = _place(call.message)
    archive = bool(call.message.archive_existing_versions)
    with known_version(name, number):
        moved = promote_to_stage(
            call.platform, call.actor, name, number, call.message.stage or "", archive_existing=archive
        )
    return {"model_version": model_version(moved)}


def delete(call: MlflowCall[NamedVersion]) -> dict[str, Any]:
    """Hide a version; Bailiwick keeps what it was until somebody purges it."""
    name, number = _place(call.message)
    with known_version(name, number):
        call.platform.registry.delete_version(call.actor, name, number)
    return {}


def download_uri(call: MlflowCall[NamedVersion]) -> dict[str, Any]:
    """Where the files of a version are; a package's are made when they are asked for."""
    name, number = _place(call.message)
    with known_version(name, number):
        found = call.platform.registry.version(call.workspace, name, number)
    return {"artifact_uri": found.storage or package_uri(found.package)}


def search(call: MlflowCall[SearchVersions]) -> bytes:
    """A page of versions, the last changed first."""
    return msgspec.json.encode(found(call, default=LARGEST_PAGE, most=LARGEST_PAGE))


def found(call: MlflowCall[SearchVersions], *, default: int, most: int) -> dict[str, Any]:
    """The page that is asked for, of at most `most`."""
    asked = call.message
    page = call.platform.registry.search_versions(
        call.workspace,
        parse_filter(asked.filter or "", entities=ENTITIES, default=ATTRIBUTE),
        [parse_ordering(text, entities=ENTITIES, default=ATTRIBUTE) for text in asked.order_by or ()],
        limit=min(page_size(asked.max_results, default=default, most=LARGEST_PAGE), most),
        token=asked.page_token or "",
    )
    shown: dict[str, Any] = {}
    if page.items:
        shown["model_versions"] = [model_version(version) for version in page.items]
    if page.token:
        shown["next_page_token"] = page.token
    return shown


def of_runs(call: MlflowCall[Any], run_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The versions that were made by each of these runs, the last changed first; runs without any are left out."""
    made: dict[str, list[dict[str, Any]]] = {}
    for start in range(0, len(run_ids), RUNS_PER_QUERY):
        clause = Clause(ATTRIBUTE, "run_id", "IN", tuple(run_ids[start : start + RUNS_PER_QUERY]))
        token = ""
        while True:
            page = call.platform.registry.search_versions(call.workspace, [clause], token=token)
            for each in page.items:
                made.setdefault(each.run_id or "", []).append(model_version(each))
            token = page.token
            if not token:
                break
    return made


def set_tag(call: MlflowCall[TagVersion]) -> dict[str, Any]:
    """Set a tag of a version."""
    name, number = _place(call.message)
    with known_version(name, number):
        key, value = call.message.key or "", call.message.value or ""
        call.platform.registry.tag_version(call.actor, name, number, key, value)
    return {}


def delete_tag(call: MlflowCall[TagVersion]) -> dict[str, Any]:
    """Remove a tag of a version; one that is not there is no error."""
    name, number = _place(call.message)
    with known_version(name, number):
        call.platform.registry.untag_version(call.actor, name, number, call.message.key or "")
    return {}


def _place(message: NamedVersion | DescribeVersion | TransitionStage | TagVersion) -> tuple[str, int]:
    return name_in(message.name), number_in(message.version)


_BASE = "/mlflow/model-versions"
ROUTES = (
    MlflowRoute("POST", f"{_BASE}/create", CreateVersion, WRITE, create),
    MlflowRoute("PATCH", f"{_BASE}/update", DescribeVersion, WRITE, update),
    MlflowRoute("POST", f"{_BASE}/transition-stage", TransitionStage, WRITE, transition_stage),
    MlflowRoute("DELETE", f"{_BASE}/delete", NamedVersion, WRITE, delete),
    MlflowRoute("GET", f"{_BASE}/get", NamedVersion, READ, get),
    MlflowRoute("GET", f"{_BASE}/search", SearchVersions, READ, search),
    MlflowRoute("GET", f"{_BASE}/get-download-uri", NamedVersion, READ, download_uri),
    MlflowRoute("POST", f"{_BASE}/set-tag", TagVersion, WRITE, set_tag),
    MlflowRoute("DELETE", f"{_BASE}/delete-tag", TagVersion, WRITE, delete_tag),
)
