"""Roles: named sets of permissions. An identity holds several; it may do whatever any of them allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput, NotAllowed

VIEWER = frozenset({Permission.READ})
EDITOR = VIEWER | {
    Permission.DATA_WRITE,
    Permission.TRACKING_WRITE,
    Permission.MODELS_WRITE,
    Permission.PIPELINES_RUN,
    Permission.PREDICTIONS_WRITE,
    Permission.PREDICTIONS_READ,
    Permission.MONITORS_WRITE,
}
APPROVER = VIEWER | {Permission.MODELS_APPROVE, Permission.PREDICTIONS_READ}
OPERATOR = VIEWER | {
    Permission.PIPELINES_RUN,
    Permission.ENDPOINTS_DEPLOY,
    Permission.PREDICTIONS_WRITE,
    Permission.PREDICTIONS_READ,
    Permission.MONITORS_WRITE,
}
ADMIN = frozenset(Permission)
AUDITOR = VIEWER | {Permission.JOURNAL_READ, Permission.PREDICTIONS_READ}
SERVICE = VIEWER | {Permission.PREDICTIONS_WRITE}

ROLES: Mapping[str, frozenset[Permission]] = MappingProxyType(
    {
        "viewer": VIEWER,
        "editor": EDITOR,
        "approver": APPROVER,
        "operator": OPERATOR,
        "admin": ADMIN,
        "auditor": AUDITOR,
        "service": SERVICE,
    }
)


def require_all(actor: Actor, *needed: Permission, to: str) -> None:
    """Raises NotAllowed naming everything that the actor lacks `to` do something, and the roles that have it."""
    lacking = [each.value for each in needed if each not in actor.permissions]
    if lacking:
        roles = [name for name, granted in ROLES.items() if granted.issuperset(needed)]
        raise NotAllowed(
            f"{actor.name} may not {to} in workspace {actor.workspace!r}: it needs the "
            f"{'permissions' if len(needed) > 1 else 'permission'} {' and '.join(needed)}, and lacks {' and '.join(lacking)}.",
            hint=f"Roles that have all of it: {', '.join(sorted(roles))}. Who may manage identities (an administrator) makes "
            "an identity with one of them: `bailiwick users create NAME --role ROLE`.",
        )


def permissions_of(roles: Iterable[str]) -> frozenset[Permission]:
    """The union of the roles' permissions. Raises InvalidInput naming the known roles."""
    granted: frozenset[Permission] = frozenset()
    for role in roles:
        if role not in ROLES:
            raise InvalidInput.choice("role", role, ROLES)
        granted |= ROLES[role]
    return granted
