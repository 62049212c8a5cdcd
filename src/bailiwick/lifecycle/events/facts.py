"""What entries do not say themselves, read from the records when an event is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bailiwick.core.errors import NotFound
from bailiwick.registry.service import RegistryService
from bailiwick.store.journal.model import Entry

IS_PROMPT = "mlflow.prompt.is_prompt"
PROMPT_TEXT = "mlflow.prompt.text"
PROMPT_TYPE = "_mlflow_prompt_type"
INTERNAL = frozenset({IS_PROMPT, PROMPT_TEXT, PROMPT_TYPE})


@dataclass(frozen=True, slots=True)
class Named:
    """What an entry of the registry is about: a model, one of its versions, or one of its aliases."""

    model: str
    version: str = ""
    alias: str = ""


def named(entry: Entry) -> Named:
    """From the resource `model/NAME`, `version/NAME/NUMBER`, `alias/NAME/ALIAS` or `stage/NAME/STAGE`; names hold no slashes."""
    kind, _, rest = entry.resource.partition("/")
    model, _, last = rest.rpartition("/") if kind in {"version", "alias", "stage"} else (rest, "", "")
    number = entry.detail.get("number")
    if kind in {"alias", "stage"}:
        return Named(model, "" if number is None else str(number), last)
    return Named(model, last)


class RegistryFacts:
    """Models and versions as they are now; entries outlive them, so each may be missing."""

    def __init__(self, registry: RegistryService) -> None:
        self._registry = registry

    def model_tags(self, workspace: str, model: str) -> Mapping[str, str]:
        """Empty for a model that is gone."""
        return _tags(self._model(workspace, model))

    def is_prompt(self, workspace: str, model: str) -> bool:
        """Whether MLflow would call it a prompt."""
        return self.model_tags(workspace, model).get(IS_PROMPT, "").lower() == "true"

    def description(self, workspace: str, model: str) -> str:
        """Empty for a model that is gone."""
        found = self._model(workspace, model)
        return found.description if found is not None else ""

    def version(self, workspace: str, model: str, number: str) -> dict[str, Any]:
        """`source`, `run_id`, `description` and `tags` of a version, deleted ones too; none of them for one that is gone."""
        try:
            found = self._registry.version(workspace, model, int(number), deleted=True)
        except (NotFound, ValueError):
            return {}
        source = getattr(found, "source", "") or f"models:/{model}/{number}"
        return {"source": source, "run_id": found.run_id, "description": found.description, "tags": dict(_tags(found))}

    def _model(self, workspace: str, model: str) -> Any:
        try:
            return self._registry.model(workspace, model)
        except NotFound:
            return None


def _tags(record: object) -> Mapping[str, str]:
    return getattr(record, "tags", {})
