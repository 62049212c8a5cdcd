"""Workspaces: the tenants of this installation, as far as the visitor may see them."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.security.workspaces import DEFAULT
from bailiwick.server.ui.page import Context, Visit


def listing(visit: Visit) -> Context:
    """All for who may manage them, else the one the visitor is in."""
    return {
        "workspaces": visit.platform.workspaces.visible_to(visit.actor),
        "default": DEFAULT,
        "may_manage": visit.may(Permission.WORKSPACES_MANAGE),
    }
