"""Which journal entries are told as what. The one table of names; the formats hold no others.

CloudEvents need no table: every action is told, as `dev.bailiwick.` and its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class MlflowNames:
    """MLflow's event for an action on a model, and on a prompt, which MLflow keeps as a model with a tag."""

    model: str | None
    prompt: str | None


MLFLOW: Mapping[str, MlflowNames] = MappingProxyType(
    {
        "model.created": MlflowNames("registered_model.created", "prompt.created"),
        "model.tag_set": MlflowNames(None, "prompt_tag.set"),
        "model.tag_deleted": MlflowNames(None, "prompt_tag.deleted"),
        "version.registered": MlflowNames("model_version.created", "prompt_version.created"),
        "version.tag_set": MlflowNames("model_version_tag.set", "prompt_version_tag.set"),
        "version.tag_deleted": MlflowNames("model_version_tag.deleted", "prompt_version_tag.deleted"),
        "alias.set": MlflowNames("model_version_alias.created", "prompt_alias.created"),
        "alias.rolled_back": MlflowNames("model_version_alias.created", "prompt_alias.created"),
        "alias.removed": MlflowNames("model_version_alias.deleted", "prompt_alias.deleted"),
    }
)

MLFLOW_EVENTS: tuple[str, ...] = tuple(
    dict.fromkeys(name for row in MLFLOW.values() for name in (row.model, row.prompt) if name)
)

OPENLINEAGE: Mapping[str, str] = MappingProxyType(
    {
        "run.started": "START",
        "version.registered": "OTHER",
        "pipeline_run.submitted": "START",
        "pipeline_run.resumed": "RUNNING",
        "pipeline_run.finished": "COMPLETE",
        "pipeline_run.failed": "FAIL",
        "pipeline_run.cancelled": "ABORT",
    }
)
"""OpenLineage's event type of an action; that of `run.updated` follows from the status it gives the run."""

RUN_UPDATED = "run.updated"
RUN_STATUS: Mapping[str, str] = MappingProxyType(
    {"RUNNING": "RUNNING", "FINISHED": "COMPLETE", "FAILED": "FAIL", "KILLED": "ABORT"}
)
OPENLINEAGE_EVENTS = ("START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER")
