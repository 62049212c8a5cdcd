"""Story: models that the project file declares beside its own are registered when it is applied; unchanged ones stay."""

from __future__ import annotations

from dataclasses import replace

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.project import Project
from bailiwick.pipelines.sections import MadeModel
from bailiwick.registry.model import ModelVersion


def keep_models(platform: Platform, actor: Actor, project: Project) -> list[ModelVersion]:
    """Rules first, for compositions may be made of them. May be repeated: the same file is the same version.

    Raises InvalidInput for a file that cannot be read, or is none of that kind.
    """
    declared = sorted((project.models or {}).items(), key=lambda each: each[1].rules is None)
    return [_kept(platform, actor, project, name, each) for name, each in declared]


def _kept(platform: Platform, actor: Actor, project: Project, name: str, made: MadeModel) -> ModelVersion:
    # Imported here: ONNX is slow to load, and most projects declare no such model.
    from bailiwick.lifecycle.composing.story import compose, read_file
    from bailiwick.lifecycle.rules import register_rules
    from bailiwick.rules.signature import Declared

    path = project.folder / str(made.rules or made.compose)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"models.{name}: {path} cannot be read: {error.strerror}.") from error
    if made.rules is None:
        return compose(platform, actor, replace(read_file(data), model=name))
    declared = Declared(made.inputs, made.outputs, made.defaults)
    return register_rules(platform, actor, name, data, declared=declared)
