"""Roles: named sets of permissions. An identity holds several; it may do whatever any of them allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bailiwick.core.actor import Permission
from bailiwick.core.errors import InvalidInput

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


def permissions_of(roles: Iterable[str]) -> frozenset[Permission]:
    """The union of the roles' permissions. Raises InvalidInput naming the known roles."""
    granted: frozenset[Permission] = frozenset()
    for role in roles:
        if role not in ROLES:
            raise InvalidInput.choice("role", role, ROLES)
        granted |= ROLES[role]
    return granted
