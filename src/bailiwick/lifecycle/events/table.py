"""Which journal entries are told as what. The one table of names; the formats hold no others.

CloudEvents need no table: every action is told, as `dev.bailiwick.` and its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class MlflowNames:
    """MLflow's event for an action on a model, and on a prompt, which MLflow keeps as a model with a tag.

    `when_new`: only where the entry's detail says that it is new, for what arrives from another server may have been here.
    """

    model: str | None
    prompt: str | None
    when_new: bool = False


MLFLOW: Mapping[str, MlflowNames] = MappingProxyType(
    {
        "model.created": MlflowNames("registered_model.created", "prompt.created"),
        "model.imported": MlflowNames("registered_model.created", "prompt.created", when_new=True),
        "model.tag_set": MlflowNames(None, "prompt_tag.set"),
        "model.tag_deleted": MlflowNames(None, "prompt_tag.deleted"),
        "version.registered": MlflowNames("model_version.created", "prompt_version.created"),
        "version.imported": MlflowNames("model_version.created", "prompt_version.created", when_new=True),
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
        "pipeline_run.submitted": "START",
        "pipeline_run.resumed": "RUNNING",
        "pipeline_run.finished": "COMPLETE",
        "pipeline_run.failed": "FAIL",
        "pipeline_run.cancelled": "ABORT",
    }
)
"""OpenLineage's event type of an action; that of `run.updated` follows from the status it gives the run."""

ABOUT_VERSIONS: Mapping[str, str] = MappingProxyType(
    {
        "version.registered": "CREATE",
        "version.imported": "CREATE",
        "version.packaged": "ALTER",
        "version.deleted": "DROP",
        "version.restored": "CREATE",
        "version.purged": "DROP",
        "alias.set": "ALTER",
        "alias.rolled_back": "ALTER",
        "alias.removed": "ALTER",
        "alias.denied": "ALTER",
        "stage.set": "ALTER",
        "stage.rolled_back": "ALTER",
        "stage.denied": "ALTER",
        "approval.requested": "ALTER",
        "approval.approved": "ALTER",
        "approval.rejected": "ALTER",
        "approval.expired": "ALTER",
    }
)
"""What an action does to a version, as OpenLineage calls the change of a dataset's life; each is told as an `OTHER` event."""

ABOUT_MODELS: Mapping[str, str] = MappingProxyType(
    {
        "model.created": "CREATE",
        "model.imported": "CREATE",
        "model.renamed": "RENAME",
        "model.deleted": "DROP",
        "model.restored": "CREATE",
    }
)

ABOUT_ENDPOINTS = frozenset({"endpoint.deployed", "endpoint.traffic_set", "endpoint.rolled_back"})

RUN_UPDATED = "run.updated"
RUN_STATUS: Mapping[str, str] = MappingProxyType(
    {"RUNNING": "RUNNING", "FINISHED": "COMPLETE", "FAILED": "FAIL", "KILLED": "ABORT"}
)
OPENLINEAGE_EVENTS = ("START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER")
