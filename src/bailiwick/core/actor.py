"""Who acts, and the words for what may be done.

An `Actor` is made once, where credentials are checked (`security`), and passed to every mutating verb. It already
carries its permissions, so that authorising costs a set lookup and no rule can forget to ask the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bailiwick.core.errors import NotAllowed


class Permission(StrEnum):
    """What a verb needs. Roles (in `security`) are sets of these."""

    READ = "read"
    DATA_WRITE = "data.write"
    TRACKING_WRITE = "tracking.write"
    MODELS_WRITE = "models.write"
    MODELS_APPROVE = "models.approve"
    PIPELINES_RUN = "pipelines.run"
    ENDPOINTS_DEPLOY = "endpoints.deploy"
    PREDICTIONS_WRITE = "predictions.write"
    PREDICTIONS_READ = "predictions.read"
    MONITORS_WRITE = "monitors.write"
    IDENTITIES_MANAGE = "identities.manage"
    JOURNAL_READ = "journal.read"
    WEBHOOKS_MANAGE = "webhooks.manage"
    WORKSPACES_MANAGE = "workspaces.manage"


@dataclass(frozen=True, slots=True)
class Actor:
    """An identity acting in one workspace. `name` is what people read; `identity` is the stable id that is journalled."""

    identity: str
    name: str
    workspace: str
    permissions: frozenset[Permission]

    def require(self, permission: Permission) -> None:
        """Raises NotAllowed unless this actor holds `permission`."""
        if permission not in self.permissions:
            raise NotAllowed(
                f"{self.name} may not do this in workspace {self.workspace!r}: it needs the permission {permission.value!r}.",
                hint="Ask an administrator for a role that has it.",
            )


def system_actor(workspace: str, part: str) -> Actor:
    """The platform itself acting through one of its duties, e.g. `system:rollout`; it may do everything a duty needs."""
    return Actor(identity=f"system:{part}", name=f"system:{part}", workspace=workspace, permissions=_OF_DUTIES)


_OF_DUTIES = frozenset(Permission) - {
    Permission.MODELS_APPROVE,
    Permission.IDENTITIES_MANAGE,
    Permission.WORKSPACES_MANAGE,
}
