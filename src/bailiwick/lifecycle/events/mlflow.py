"""MLflow's webhooks, as MLflow 3.18 sends them: `entity`, `action`, `timestamp`, `workspace`, `data`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.events.facts import INTERNAL, PROMPT_TEXT, Named, RegistryFacts, named
from bailiwick.lifecycle.events.signing import mlflow_headers
from bailiwick.lifecycle.events.table import MLFLOW, MLFLOW_EVENTS
from bailiwick.store.journal.model import Entry
from bailiwick.webhooks.ports import Announcement

CUT_SHORT = 10_000
"""Characters of a tag's value that the journal tells."""

_EXAMPLES: dict[str, dict[str, Any]] = {
    "created": {
        "tags": {"example_key": "example_value"},
    },
    "tag.set": {"version": "1", "key": "example_key", "value": "example_value"},
    "tag.deleted": {"version": "1", "key": "example_key"},
    "alias.created": {"alias": "example_alias", "version": "1"},
    "alias.deleted": {"alias": "example_alias"},
}


class MlflowFormat:
    """Events that MLflow has, for its own clients and receivers."""

    name = "mlflow"
    content_type = "application/json"

    def __init__(self, facts: RegistryFacts) -> None:
        self._facts = facts

    def check_subscription(self, subscription: str) -> str:
        """One of MLflow's events, `entity.action`."""
        if subscription not in MLFLOW_EVENTS:
            raise InvalidInput.choice("MLflow event", subscription, MLFLOW_EVENTS)
        return subscription

    def matches(self, subscription: str, event: str) -> bool:
        """Only itself."""
        return subscription == event

    def announce(self, entry: Entry) -> list[Announcement]:
        """None, or one."""
        names = MLFLOW.get(entry.action)
        if names is None or (names.when_new and entry.detail.get("new") is not True):
            return []
        prompt = self._facts.is_prompt(entry.workspace, named(entry).model)
        event = names.prompt if prompt else names.model
        if event is None:
            return []
        return [_announcement(event, entry.workspace, entry.time, self._data(event, entry))]

    def example(self, subscription: str, workspace: str, time: int) -> Announcement:
        """The example that MLflow documents for the event."""
        event = self.check_subscription(subscription)
        return _announcement(event, workspace, time, _example(event))

    def headers(self, *, delivery: str, time: int, body: bytes, secret: str) -> Mapping[str, str]:
        """MLflow's."""
        return mlflow_headers(delivery=delivery, time=time, body=body, secret=secret)

    def _data(self, event: str, entry: Entry) -> dict[str, Any]:
        about = named(entry)
        entity, _, action = event.partition(".")
        if entity in {"registered_model", "prompt"}:
            return self._model(entry, about.model)
        if entity in {"model_version", "prompt_version"}:
            return self._version(entry, about.model, about.version, prompt=entity == "prompt_version")
        if entity.endswith("alias"):
            version = {"version": about.version} if action == "created" else {}
            return {"name": about.model, "alias": about.alias, **version}
        version = {} if entity == "prompt_tag" else {"version": about.version}
        value = {"value": self._tag_value(entry, about)} if action == "set" else {}
        return {"name": about.model, **version, "key": entry.detail.get("key", ""), **value}

    def _tag_value(self, entry: Entry, about: Named) -> str:
        """As the entry has it; a long one, which the journal cuts short, is read where it is kept whole."""
        told, key = str(entry.detail.get("value", "")), entry.detail.get("key", "")
        if len(told) < CUT_SHORT:
            return told
        if about.version:
            tags = self._facts.version(entry.workspace, about.model, about.version).get("tags", {})
        else:
            tags = self._facts.model_tags(entry.workspace, about.model)
        whole = str(tags.get(key, ""))
        return whole if whole.startswith(told) else told

    def _model(self, entry: Entry, model: str) -> dict[str, Any]:
        said = entry.detail.get("tags")  # of a model that was imported only the keys
        tags = said if isinstance(said, dict) and said else self._facts.model_tags(entry.workspace, model)
        shown = {key: value for key, value in tags.items() if key not in INTERNAL}
        return {"name": model, "tags": shown, "description": self._facts.description(entry.workspace, model)}

    def _version(self, entry: Entry, model: str, number: str, *, prompt: bool) -> dict[str, Any]:
        found = self._facts.version(entry.workspace, model, number)
        tags = dict(found.get("tags", {}))
        template = tags.get(PROMPT_TEXT)
        if prompt:
            content: dict[str, Any] = {"template": template}
            tags = {key: value for key, value in tags.items() if key not in INTERNAL}
        else:
            content = {"source": found.get("source", ""), "run_id": found.get("run_id") or None}
        described = found.get("description") or None
        return {"name": model, "version": number, **content, "tags": tags, "description": described}


def _announcement(event: str, workspace: str, time: int, data: Mapping[str, Any]) -> Announcement:
    entity, _, action = event.partition(".")
    moment = datetime.fromtimestamp(time / 1000, tz=UTC).isoformat()
    told = {"entity": entity, "action": action, "timestamp": moment, "data": data, "workspace": workspace}
    return Announcement(event, json.dumps(told))


def _example(event: str) -> dict[str, Any]:
    entity, _, action = event.partition(".")
    prompt = entity.startswith("prompt")
    name = {"name": "example_prompt" if prompt else "example_model"}
    if entity in {"registered_model", "prompt"}:
        described = "An example prompt" if prompt else "An example registered model"
        return {**name, **_EXAMPLES["created"], "description": described}
    if entity == "prompt_version":
        told = {"version": "1", "template": "Hello {{name}}!"}
        return {**name, **told, **_EXAMPLES["created"], "description": "An example prompt version"}
    if entity == "model_version":
        told = {"version": "1", "source": "models:/123", "run_id": "abcd1234abcd5678"}
        return {**name, **told, **_EXAMPLES["created"], "description": "An example model version"}
    kind = "alias" if entity.endswith("alias") else "tag"
    told = {**name, **_EXAMPLES[f"{kind}.{action}"]}
    if entity == "prompt_tag":
        told.pop("version")
    return told
