"""MLflow's own words for what its clients and their users look for in a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bailiwick.core.errors import BailiwickError
from bailiwick.tracking.errors import (
    ExperimentDeleted,
    ExperimentNotFound,
    ParamChanged,
    RunDeleted,
    RunNotFound,
    TagNotFound,
)

_INACTIVE = "must be in the 'active' state. Current state is deleted."


def in_mlflow_words(error: BailiwickError) -> str:
    """The message as MLflow's server gives it; empty for an error that has no fixed wording."""
    worded = _WORDS.get(type(error))
    return worded(error) if worded else ""


def _params_changed(error: ParamChanged) -> str:
    told = [{"key": key, "old_value": old, "new_value": new} for key, (old, new) in error.changed.items()]
    return f"Changing param values is not allowed. Params were already logged='{told}' for run ID='{error.run_id}'."


_WORDS: Mapping[type[BailiwickError], Callable[[Any], str]] = {
    RunNotFound: lambda error: f"Run with id={error.run_id} not found",
    RunDeleted: lambda error: f"The run {error.run_id} {_INACTIVE}",
    ExperimentNotFound: lambda error: f"No Experiment with id={error.experiment_id} exists",
    ExperimentDeleted: lambda error: f"The experiment {error.experiment_id} {_INACTIVE}",
    TagNotFound: lambda error: f"No tag with name: {error.key} in {error.kind} with id {error.identifier}",
    ParamChanged: _params_changed,
}
