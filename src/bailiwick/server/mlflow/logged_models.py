"""MLflow's logged models: `logged-models` and what is below it."""

from __future__ import annotations

from typing import Any

from bailiwick.core.actor import Permission
from bailiwick.core.errors import InvalidInput
from bailiwick.core.filters import Clause, parse_filter
from bailiwick.server.mlflow.errors import INVALID, MlflowError
from bailiwick.server.mlflow.experiments import tracking_of
from bailiwick.server.mlflow.message import Int64, Message, number
from bailiwick.server.mlflow.pairs import Pair, pairs_json, texts_of
from bailiwick.server.mlflow.route import Empty, MlflowCall, MlflowRoute
from bailiwick.tracking.logged_models.model import DatasetScope, LoggedModel, LoggedModelStatus, ModelMetric, ModelOrder
from bailiwick.tracking.logged_models.search import ATTRIBUTE, ENTITIES

PAGE = 100

STATUSES = {
    LoggedModelStatus.UNSPECIFIED: "LOGGED_MODEL_STATUS_UNSPECIFIED",
    LoggedModelStatus.PENDING: "LOGGED_MODEL_PENDING",
    LoggedModelStatus.READY: "LOGGED_MODEL_READY",
    LoggedModelStatus.FAILED: "LOGGED_MODEL_UPLOAD_FAILED",
}
"""Our words and MLflow's; the place of each is its number in the protocol."""


class CreateLoggedModel(Message):
    """`logged-models`, POST."""

    required = ("experiment_id",)
    experiment_id: str | None = None
    name: str | None = None
    model_type: str | None = None
    source_run_id: str | None = None
    params: list[Pair] | None = None
    tags: list[Pair] | None = None


class FinalizeLoggedModel(Message):
    """The status by name, or by number as proto-JSON allows."""

    required = ("status",)
    status: int | str | None = None


class GetLoggedModel(Message):
    """Only the path says which."""

    allow_deleted: bool | None = None


class LogLoggedModelParams(Message):
    """`logged-models/{model_id}/params`."""

    params: list[Pair] | None = None


class SetLoggedModelTags(Message):
    """`logged-models/{model_id}/tags`, PATCH."""

    tags: list[Pair] | None = None


class SearchedDataset(Message):
    """Measurements on this dataset only."""

    dataset_name: str | None = None
    dataset_digest: str | None = None


class SearchedOrder(Message):
    """One thing to sort by; ascending unless it is said otherwise."""

    field_name: str | None = None
    ascending: bool | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class SearchLoggedModels(Message):
    """`experiment_ids` must be said; an empty list means none."""

    required = ("experiment_ids",)
    experiment_ids: list[str] | None = None
    filter: str | None = None
    datasets: list[SearchedDataset] | None = None
    max_results: Int64 | None = None
    order_by: list[SearchedOrder] | None = None
    page_token: str | None = None


def create(call: MlflowCall[CreateLoggedModel]) -> dict[str, Any]:
    """A model that waits for its files."""
    asked = call.message
    tracking_of(call)
    model = call.platform.logged_models.create(
        call.actor,
        asked.experiment_id or "",
        name=asked.name or "",
        model_type=asked.model_type or "",
        source_run=asked.source_run_id or "",
        params=texts_of(asked.params),
        tags=texts_of(asked.tags),
    )
    return {"model": model_json(model)}


def finalize(call: MlflowCall[FinalizeLoggedModel]) -> dict[str, Any]:
    """Its files are there, or will not come."""
    status = _status(call.message.status)
    return {"model": model_json(call.platform.logged_models.finalize(call.actor, _id(call), status))}


def get(call: MlflowCall[GetLoggedModel]) -> dict[str, Any]:
    """One model, with every measurement."""
    deleted = bool(call.message.allow_deleted)
    return {"model": model_json(call.platform.logged_models.model(call.workspace, _id(call), deleted=deleted))}


def delete(call: MlflowCall[Empty]) -> dict[str, Any]:
    """Hidden from then on."""
    call.platform.logged_models.delete(call.actor, _id(call))
    return {}


def log_params(call: MlflowCall[LogLoggedModelParams]) -> dict[str, Any]:
    """Clients send those that did not fit the request that made the model."""
    call.platform.logged_models.log_params(call.actor, _id(call), texts_of(call.message.params))
    return {}


def set_tags(call: MlflowCall[SetLoggedModelTags]) -> dict[str, Any]:
    """The last value of a key that is given twice counts."""
    call.platform.logged_models.set_tags(call.actor, _id(call), texts_of(call.message.tags))
    return {}


def delete_tag(call: MlflowCall[Empty]) -> dict[str, Any]:
    """A tag that is not there is an error, so that one knows."""
    call.platform.logged_models.delete_tag(call.actor, _id(call), call.path["tag_key"])
    return {}


def search(call: MlflowCall[SearchLoggedModels]) -> dict[str, Any]:
    """One page."""
    asked = call.message
    page = call.platform.logged_models.search(
        call.workspace,
        asked.experiment_ids or [],
        clauses=_clauses(asked.filter or ""),
        datasets=[DatasetScope(each.dataset_name or "", each.dataset_digest or "") for each in asked.datasets or []],
        order_by=[
            ModelOrder(
                each.field_name or "", each.ascending is not False, each.dataset_name or "", each.dataset_digest or ""
            )
            for each in asked.order_by or []
        ],
        limit=asked.max_results or PAGE,
        token=asked.page_token or "",
    )
    return {"models": [model_json(model) for model in page.models] or None, "next_page_token": page.token or None}


def model_json(model: LoggedModel) -> dict[str, Any]:
    """A model as the protocol has it; empty lists are not sent."""
    return {
        "info": {
            "model_id": model.id,
            "experiment_id": model.experiment_id,
            "name": model.name,
            "creation_timestamp_ms": model.created,
            "last_updated_timestamp_ms": model.updated,
            "artifact_uri": model.artifact_location,
            "status": STATUSES[LoggedModelStatus(model.status)],
            "model_type": model.type,
            "source_run_id": model.source_run,
            "tags": pairs_json(model.tags) or None,
        },
        "data": {
            "params": pairs_json(model.params) or None,
            "metrics": [_metric_json(each) for each in model.metrics] or None,
        },
    }


def _metric_json(metric: ModelMetric) -> dict[str, Any]:
    return {
        "key": metric.key,
        "value": number(metric.value),
        "timestamp": metric.time,
        "step": metric.step,
        "dataset_name": metric.dataset_name or None,
        "dataset_digest": metric.dataset_digest or None,
        "model_id": metric.model_id,
        "run_id": metric.run_id,
    }


def _id(call: MlflowCall[Any]) -> str:
    return call.path["model_id"]


def _status(said: int | str | None) -> LoggedModelStatus:
    words = list(STATUSES)
    for place, word in enumerate(words):
        if said in {STATUSES[word], place, str(place)}:
            return word
    raise InvalidInput.choice("Unknown model status", said, STATUSES.values())


def _clauses(text: str) -> tuple[Clause, ...]:
    try:
        return parse_filter(text, entities=ENTITIES, default=ATTRIBUTE)
    except InvalidInput as error:
        raise MlflowError(INVALID, f"Invalid filter string: {text[:200]!r}. {error}") from None


_MODEL = "/mlflow/logged-models/{model_id}"

ROUTES = (
    MlflowRoute("POST", "/mlflow/logged-models", CreateLoggedModel, Permission.TRACKING_WRITE, create),
    MlflowRoute("POST", "/mlflow/logged-models/search", SearchLoggedModels, Permission.READ, search),
    MlflowRoute("PATCH", _MODEL, FinalizeLoggedModel, Permission.TRACKING_WRITE, finalize),
    MlflowRoute("GET", _MODEL, GetLoggedModel, Permission.READ, get),
    MlflowRoute("DELETE", _MODEL, Empty, Permission.TRACKING_WRITE, delete),
    MlflowRoute("POST", f"{_MODEL}/params", LogLoggedModelParams, Permission.TRACKING_WRITE, log_params),
    MlflowRoute("PATCH", f"{_MODEL}/tags", SetLoggedModelTags, Permission.TRACKING_WRITE, set_tags),
    MlflowRoute("DELETE", f"{_MODEL}/tags/{{tag_key:path}}", Empty, Permission.TRACKING_WRITE, delete_tag),
)
