"""Whether the inputs and outputs of which the project file's `deploy` speaks are those of the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.policies import check_answers, output_values
from bailiwick.lifecycle.scoring import signature_of
from bailiwick.pipelines.project import Project


def check_columns(platform: Platform, actor: Actor, project: Project, inputs: Collection[str]) -> None:
    """Raises InvalidInput where `deploy.recording` speaks of an input that nothing takes: it would not be withheld."""
    recording = project.deploy.recording
    if recording is None or not recording.named:
        return
    known = {*inputs, project.data.key, project.data.time, *_of_others(platform, actor, project)} - {""}
    for column in recording.named:
        if column not in known:
            raise InvalidInput.choice("deploy.recording: input", column, known)


def check_fallbacks(project: Project, signature: Mapping[str, Any]) -> None:
    """Raises InvalidInput where an answer in `deploy.policy` is none that the model could give: it would never be given."""
    declared = project.deploy.policy
    answers = [output_values(each.answer) for each in declared.fallbacks if each.answer] if declared else []
    check_answers(answers, signature, of=f"{project.name}, as this run trained it,")


def _of_others(platform: Platform, actor: Actor, project: Project) -> set[str]:
    """Inputs of the versions that the policy names, which callers may send too."""
    declared = project.deploy.policy
    found: set[str] = set()
    if declared is None:
        return found
    named = [(each.model, each.version) for each in declared.shadows]
    named += [(each.model, each.version) for each in declared.fallbacks if each.version is not None]
    for model, version in named:
        package = platform.registry.version(actor.workspace, model, version).package
        if package:
            found |= {str(spec["name"]) for spec in signature_of(platform, package)["inputs"]}
    return found
