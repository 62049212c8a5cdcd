"""Whether a version may serve, asked wherever somebody has one serve."""

from __future__ import annotations

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion

PRODUCTION = "production"


def releasable(platform: Platform, actor: Actor, model: str, number: int) -> ModelVersion:
    """The version, if it may serve: what people start by hand passes the same gate. Raises NotFound, NotAllowed.

    Raises Conflict for a version without a package, which is what endpoints serve.
    """
    version = platform.registry.version(actor.workspace, model, number)
    if not version.package:
        raise Conflict(
            f"Version {number} of model {model!r} has no package, so no endpoint can serve it.",
            hint=f"It was registered from a source: `bailiwick models package {model} {number}` makes one.",
        )
    platform.governance.check(actor, model, number, PRODUCTION, version.created_by)
    return version
