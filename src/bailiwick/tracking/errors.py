"""What can go wrong with a run, each carrying the facts that an adapter may need to say it in its protocol's words."""

from __future__ import annotations

from bailiwick.core.errors import Conflict, NotFound


class RunNotFound(NotFound):
    """No such run in the workspace."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Run {run_id!r} does not exist.")
        self.run_id = run_id


class ExperimentNotFound(NotFound):
    """No experiment with this id in the workspace."""

    def __init__(self, experiment_id: str) -> None:
        super().__init__(f"Experiment {experiment_id!r} does not exist.")
        self.experiment_id = experiment_id


class TagNotFound(NotFound):
    """The run or experiment has no such tag."""

    def __init__(self, key: str, kind: str, identifier: str) -> None:
        super().__init__(f"Tag {key!r} does not exist on {kind} {identifier}.")
        self.key = key
        self.kind = kind
        self.identifier = identifier


class RunDeleted(Conflict):
    """A deleted run is read-only."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Run {run_id} is deleted.", hint="Restore it before writing to it.")
        self.run_id = run_id


class ExperimentDeleted(Conflict):
    """A deleted experiment is read-only."""

    def __init__(self, experiment_id: str, name: str) -> None:
        super().__init__(f"Experiment {name!r} is deleted.", hint="Restore it, or choose another name.")
        self.experiment_id = experiment_id


class ParamChanged(Conflict):
    """Params are written once. `changed` is every key with the value it has and the one that was refused."""

    def __init__(self, run_id: str, changed: dict[str, tuple[str, str]]) -> None:
        key, (before, after) = next(iter(changed.items()))
        super().__init__(
            f"Param {key!r} of run {run_id} is {before!r} and cannot become {after!r}.",
            hint="Params are written once; log a changing value as a metric or a tag, or start another run.",
        )
        self.run_id = run_id
        self.changed = changed
