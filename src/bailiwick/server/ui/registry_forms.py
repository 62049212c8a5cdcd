"""What can be done with models and versions from their pages: the same stories that every other door comes in by."""

from __future__ import annotations

from collections.abc import Mapping

from bailiwick.core.actor import Permission
from bailiwick.lifecycle.promotion import promote, promote_to_stage, request_approval
from bailiwick.server.ui import links
from bailiwick.server.ui.fields import text
from bailiwick.server.ui.page import Form, Visit

WRITE = Permission.MODELS_WRITE
_WHY = "Say why; the history of the model keeps it."


def set_alias(visit: Visit, fields: Mapping[str, str]) -> str:
    """Point an alias at a version, or ask those who must agree."""
    model, number = visit.path["model"], visit.number("number")
    alias = text(fields, "alias", required="Name the alias that is to mean this version.")
    promote(visit.platform, visit.actor, model, number, alias, reason=text(fields, "reason"))
    return f"{links.version(model, number)}?done=pointed"


def set_stage(visit: Visit, fields: Mapping[str, str]) -> str:
    """Put a version at a stage, or ask those who must agree."""
    model, number = visit.path["model"], visit.number("number")
    promote_to_stage(
        visit.platform,
        visit.actor,
        model,
        number,
        text(fields, "stage"),
        archive_existing=fields.get("archive") == "1",
        reason=text(fields, "reason"),
    )
    return f"{links.version(model, number)}?done=pointed"


def ask_approval(visit: Visit, fields: Mapping[str, str]) -> str:
    """Ask the approvers of an alias or stage."""
    model, number = visit.path["model"], visit.number("number")
    target = text(fields, "target", required="Name the alias or stage that it is to become.")
    request_approval(visit.platform, visit.actor, model, number, target)
    return f"{links.version(model, number)}?done=asked#approval"


def delete_version(visit: Visit, fields: Mapping[str, str]) -> str:
    """Hide a version."""
    model, number = visit.path["model"], visit.number("number")
    visit.platform.registry.delete_version(visit.actor, model, number, reason=text(fields, "reason", required=_WHY))
    return f"{links.version(model, number)}?done=deleted"


def restore_version(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Show a version again."""
    model, number = visit.path["model"], visit.number("number")
    visit.platform.registry.restore_version(visit.actor, model, number)
    return f"{links.version(model, number)}?done=restored"


def purge_version(visit: Visit, fields: Mapping[str, str]) -> str:
    """Destroy what a deleted version holds."""
    model, number = visit.path["model"], visit.number("number")
    visit.platform.registry.purge_version(visit.actor, model, number, reason=text(fields, "reason", required=_WHY))
    return f"{links.version(model, number)}?done=purged"


def roll_back_alias(visit: Visit, fields: Mapping[str, str]) -> str:
    """Point an alias at what it meant before."""
    model = visit.path["model"]
    reason = text(fields, "reason", required=_WHY)
    visit.platform.registry.rollback_alias(visit.actor, model, visit.path["alias"], reason)
    return f"{links.model(model)}?done=rolled-back#pointing"


def remove_alias(visit: Visit, fields: Mapping[str, str]) -> str:
    """Let an alias point nowhere."""
    model = visit.path["model"]
    visit.platform.registry.remove_alias(visit.actor, model, visit.path["alias"], reason=text(fields, "reason"))
    return f"{links.model(model)}?done=removed#pointing"


def roll_back_stage(visit: Visit, fields: Mapping[str, str]) -> str:
    """Have the version before at a stage again."""
    model = visit.path["model"]
    reason = text(fields, "reason", required=_WHY)
    visit.platform.registry.rollback_stage(visit.actor, model, visit.path["stage"], reason)
    return f"{links.model(model)}?done=rolled-back#pointing"


def delete_model(visit: Visit, fields: Mapping[str, str]) -> str:
    """Hide a model with its versions."""
    model = visit.path["model"]
    visit.platform.registry.delete_model(visit.actor, model, reason=text(fields, "reason", required=_WHY))
    return f"/models?{links.query({'deleted': model})}"


def restore_model(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Show a model again."""
    return f"{links.model(visit.platform.registry.restore_model(visit.actor, visit.path['model']).name)}?done=restored"


_VERSION = "/models/{model}/versions/{number}"
FORMS = (
    Form("/models/{model}/delete", WRITE, delete_model),
    Form("/models/{model}/restore", WRITE, restore_model),
    Form("/models/{model}/aliases/{alias}/roll-back", WRITE, roll_back_alias),
    Form("/models/{model}/aliases/{alias}/remove", WRITE, remove_alias),
    Form("/models/{model}/stages/{stage}/roll-back", WRITE, roll_back_stage),
    Form(f"{_VERSION}/alias", WRITE, set_alias),
    Form(f"{_VERSION}/stage", WRITE, set_stage),
    Form(f"{_VERSION}/request", WRITE, ask_approval),
    Form(f"{_VERSION}/delete", WRITE, delete_version),
    Form(f"{_VERSION}/restore", WRITE, restore_version),
    Form(f"{_VERSION}/purge", Permission.MODELS_APPROVE, purge_version),
)
