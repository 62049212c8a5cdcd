"""Counts of what is there and of what is here, and everything that did not come along, with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Counts:
    """How many of each; artifact bytes beside the files. Runs and experiments that are deleted count too."""

    experiments: int = 0
    runs: int = 0
    params: int = 0
    tags: int = 0
    metric_points: int = 0
    dataset_inputs: int = 0
    logged_models: int = 0
    artifact_files: int = 0
    artifact_bytes: int = 0
    registered_models: int = 0
    model_versions: int = 0
    aliases: int = 0
    stages: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is not as it is there. `kept_there` is meant so: artifacts in a store that clients reach themselves."""

    what: str
    why: str
    kept_there: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the comparison."""

    what: str
    there: int
    here: int

    @property
    def agrees(self) -> bool:
        """Whether it is the same number."""
        return self.there == self.here


MAX_NOTES = 1_000


@dataclass(slots=True)
class Report:
    """What an import, or a look at one, found."""

    source: str
    workspace: str
    there: Counts = field(default_factory=Counts)
    here: Counts = field(default_factory=Counts)
    notes: list[Note] = field(default_factory=list)
    more_notes: int = 0
    unchanged_runs: int = 0
    moved_runs: int = 0
    new_files: int = 0

    def note(self, what: str, why: str, *, kept_there: bool = False) -> None:
        """Keep a note; of many, the first thousand are kept and the others counted."""
        if len(self.notes) < MAX_NOTES:
            self.notes.append(Note(what[:300], why[:1_000], kept_there))
        else:
            self.more_notes += 1

    @property
    def comparison(self) -> list[Difference]:
        """Line by line."""
        names = [each.name for each in fields(Counts)]
        return [Difference(name, getattr(self.there, name), getattr(self.here, name)) for name in names]

    @property
    def agrees(self) -> bool:
        """Whether all numbers are the same."""
        return all(line.agrees for line in self.comparison)
