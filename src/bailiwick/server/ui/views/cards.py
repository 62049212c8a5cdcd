"""The model card of a version, and the forms in which people state what nothing can measure."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.governance.cards.fields import FIELDS
from bailiwick.governance.cards.forms import FORMS
from bailiwick.governance.statements import MAX_STATEMENT_LENGTH
from bailiwick.lifecycle.evidence import model_card
from bailiwick.server.ui.page import Context, Visit

SHOWN_HISTORY = 50


def card(visit: Visit) -> Context:
    """Everything that is known of one version."""
    model, number = visit.path["model"], visit.number("number")
    return {
        "card": model_card(visit.platform, visit.workspace, model, number),
        "fields": FIELDS,
        "longest": MAX_STATEMENT_LENGTH,
        "may_state": visit.may(Permission.MODELS_WRITE),
        "history": visit.platform.statements.history(visit.workspace, model, number=number, limit=SHOWN_HISTORY),
        "downloads": [(form.name, form.label) for form in FORMS.values()],
    }
