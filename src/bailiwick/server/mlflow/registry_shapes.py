"""Models and versions in MLflow's JSON, and its words for those that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bailiwick.core.errors import NotFound
from bailiwick.registry.model import Model, ModelVersion, check_model_name
from bailiwick.server.mlflow.errors import INVALID, MISSING, MlflowError
from bailiwick.server.mlflow.message import Message

LARGEST_VERSION = 2**31 - 1


class Tag(Message):
    """A key and its value."""

    key: str | None = None
    value: str | None = None


def tags_of(tags: list[Tag] | None) -> dict[str, str]:
    """The last value of each key counts."""
    return {tag.key or "": tag.value or "" for tag in tags or ()}


def registered_model(model: Model, latest: list[ModelVersion]) -> dict[str, Any]:
    """A model with its newest version at each stage; what is empty is left out, as in proto-JSON."""
    shown: dict[str, Any] = {
        "name": model.name,
        "creation_timestamp": model.created,
        "last_updated_timestamp": model.updated,
    }
    if model.description:
        shown["description"] = model.description
    if latest:
        shown["latest_versions"] = [model_version(each) for each in latest]
    if model.tags:
        shown["tags"] = _tags(model.tags.items())
    if model.aliases:
        shown["aliases"] = [{"alias": alias, "version": str(number)} for alias, number in model.aliases.items()]
    return shown


def model_version(version: ModelVersion) -> dict[str, Any]:
    """A version; one that was registered as a package is at the URI that loads it."""
    shown: dict[str, Any] = {
        "name": version.model,
        "version": str(version.number),
        "creation_timestamp": version.created,
        "last_updated_timestamp": version.updated,
        "current_stage": version.stage,
        "description": version.description,
        "source": version.source or f"models:/{version.model}/{version.number}",
        "run_id": version.run_id,
        "status": version.status,
        "run_link": version.run_link,
    }
    if version.status_message:
        shown["status_message"] = version.status_message
    if version.tags:
        shown["tags"] = _tags(version.tags.items())
    if version.aliases:
        shown["aliases"] = list(version.aliases)
    if version.model_id:
        shown["model_id"] = version.model_id
    return shown


def _tags(pairs: Any) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs]


def name_in(text: str | None, parameter: str = "name") -> str:
    """A model's name. Raises MlflowError for a blank one, InvalidInput for one that none can have."""
    if text is None or not text.strip():
        raise MlflowError(INVALID, f"Missing value for required parameter '{parameter}'.")
    return check_model_name(text)


def number_in(text: str | None) -> int:
    """A version's number; one that no version can have is 0. Raises MlflowError for a text that is no number."""
    digits = (text or "").strip()
    if not digits.isascii() or not digits.removeprefix("-").isdigit():
        raise MlflowError(INVALID, f"Parameter 'version' must be an integer, got '{(text or '')[:200]}'.")
    return int(digits) if len(digits) <= 10 and 0 < int(digits) <= LARGEST_VERSION else 0


@contextmanager
def known_model(name: str) -> Iterator[None]:
    """What is missing is the model."""
    try:
        yield
    except NotFound:
        raise MlflowError(MISSING, f"Registered Model with name={name} not found") from None


@contextmanager
def known_version(name: str, number: str | int) -> Iterator[None]:
    """What is missing is the version."""
    try:
        yield
    except NotFound:
        raise MlflowError(MISSING, f"Model Version (name={name}, version={number}) not found") from None


def page_size(asked: int | None, *, default: int, most: int) -> int:
    """How many results a page has. Raises MlflowError outside 1 to `most`."""
    size = default if asked is None else asked
    if size > most:
        said = f"Invalid value {size} for parameter 'max_results' supplied. It must be at most {most}."
        raise MlflowError(INVALID, said)
    if size < 1:
        raise MlflowError(INVALID, f"Invalid value {size} for parameter 'max_results' supplied. It must be positive.")
    return size
