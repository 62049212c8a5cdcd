"""Webhooks: who is told of what, and what became of each event."""

from __future__ import annotations

import json

from bailiwick.server.ui.page import Context, Visit

PAGE = 50
MOST_WEBHOOKS = 200


def listing(visit: Visit) -> Context:
    """All of the workspace, newest first."""
    return {
        "webhooks": visit.platform.webhooks.webhooks(visit.workspace, limit=MOST_WEBHOOKS),
        "formats": visit.platform.webhooks.formats,
    }


def webhook(visit: Visit) -> Context:
    """One webhook and a page of its deliveries, all or those of one state."""
    found = visit.platform.webhooks.webhook(visit.workspace, visit.path["webhook"])
    status, before = visit.query.get("status") or None, visit.query.get("before") or None
    sent = visit.platform.webhooks.deliveries(visit.workspace, found.id, limit=PAGE + 1, before=before, status=status)
    return {
        "webhook": found,
        "deliveries": sent[:PAGE],
        "status": status or "",
        "next": sent[PAGE - 1].id if len(sent) > PAGE else "",
        "later": before is not None,
    }


def delivery(visit: Visit) -> Context:
    """One delivery: its body and every attempt to bring it."""
    found, attempts = visit.platform.webhooks.delivery(visit.workspace, visit.path["delivery"])
    owner = visit.platform.webhooks.webhook(visit.workspace, found.webhook_id)
    body = json.dumps(json.loads(found.body), indent=2, ensure_ascii=False) if found.body else ""
    return {"delivery": found, "attempts": attempts, "webhook": owner, "body": body}
