"""Whether what a run made is what the newest version of the model is already, so that another number would say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion

_TELLING = ("package", "snapshot", "metrics", "slices", "parity", "parameters")
"""What it is, what it learnt from, and what was measured of it, which changes with what the project file asks to be measured."""


def same_as_newest(platform: Platform, workspace: str, model: str, made: Mapping[str, Any]) -> ModelVersion | None:
    """The newest version, where it has the same package and facts, made with the same libraries; None otherwise.

    Who ran the training, when, why and at which commit tells no version from another.
    """
    newest = platform.registry.newest_version(workspace, model)
    if newest is None or newest.environment.get("digest") != made["environment"]["digest"]:
        return None
    return newest if _facts(made) == _facts({name: getattr(newest, name) for name in _TELLING}) else None


def _facts(of: Mapping[str, Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode({name: of[name] for name in _TELLING}))  # as it is kept
