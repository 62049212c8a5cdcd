"""Approval requests: who asks for what on which evidence, and who said what."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.server.ui.page import Context, Visit
from bailiwick.server.ui.views.models import evidence_pairs


def listing(visit: Visit) -> Context:
    """Waiting requests first, then the rest, newest first."""
    requests = visit.platform.governance.requests(visit.workspace)
    newest = sorted(requests, key=lambda request: request.created, reverse=True)
    return {
        "pending": [request for request in newest if request.status == "PENDING"],
        "decided": [request for request in newest if request.status != "PENDING"],
        "may_approve": visit.may(Permission.MODELS_APPROVE),
        "evidence_of": evidence_pairs,
    }
