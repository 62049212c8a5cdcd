"""What points at versions: aliases and stages, moved within an open change, and their history replayed to any moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from bailiwick.core.errors import Conflict, NotFound
from bailiwick.registry.model import AliasAction, AliasChange, ModelVersion, Stage, StageChange, versions_before
from bailiwick.registry.rows import load_aliases, load_history, load_stage_history, require_model
from bailiwick.registry.tables import alias_changes, aliases, models, stage_changes, versions
from bailiwick.store.records import Change


@dataclass(frozen=True, slots=True)
class Pointing:
    """That an alias (or a stage) meant a version, since when, set by whom, why. `kind` is `alias` or `stage`."""

    kind: str
    name: str
    number: int
    since: int
    action: str
    reason: str
    identity: str
    actor: str


def touch_model(change: Change, model: str, **values: object) -> int:
    """Update the model's row and return its newest version number."""
    here = (models.c.workspace == change.workspace, models.c.name == model)
    statement = update(models).where(*here).values(updated=change.time, **values).returning(models.c.newest)
    newest: int = change.execute(statement).scalar_one()
    return newest


def touch_version(change: Change, model: str, number: int, **values: object) -> None:
    """Update one version's row."""
    here = (versions.c.workspace == change.workspace, versions.c.model == model, versions.c.number == number)
    change.execute(update(versions).where(*here).values(updated=change.time, **values))


def move_alias(
    change: Change, model: str, alias: str, number: int | None, *, action: AliasAction, reason: str
) -> AliasChange:
    """Point the alias and write the history line; the caller holds the model's lock and journals."""
    previous = load_aliases(change.connection, change.workspace, model).get(alias)
    here = (aliases.c.workspace == change.workspace, aliases.c.model == model, aliases.c.alias == alias)
    change.execute(delete(aliases).where(*here))
    if number is not None:
        row = {"workspace": change.workspace, "model": model, "alias": alias, "number": number}
        change.execute(insert(aliases).values(row))
    moved = AliasChange(
        model=model,
        alias=alias,
        action=action,
        previous=previous,
        number=number,
        reason=reason,
        time=change.time,
        identity=change.actor.identity,
        actor=change.actor.name,
    )
    line = {name: getattr(moved, name) for name in AliasChange.__slots__}
    change.execute(insert(alias_changes).values(workspace=change.workspace, **line))
    touch_model(change, model)
    return moved


def move_stage(change: Change, version: ModelVersion, stage: Stage, *, action: AliasAction, reason: str) -> StageChange:
    """Put a version at a stage and write the history line; the caller holds the model's lock and journals."""
    moved = StageChange(
        model=version.model,
        number=version.number,
        action=action,
        previous=version.stage,
        stage=stage,
        reason=reason,
        time=change.time,
        identity=change.actor.identity,
        actor=change.actor.name,
    )
    line = {name: getattr(moved, name) for name in StageChange.__slots__}
    change.execute(insert(stage_changes).values(workspace=change.workspace, **line))
    touch_version(change, version.model, version.number, stage=stage)
    touch_model(change, version.model)
    return moved


def alias_rollback_target(change: Change, model: str, alias: str) -> int:
    """The version an alias goes back to. Raises NotFound for one that never was, Conflict when nothing is left."""
    history = load_history(change.connection, change.workspace, model, alias)
    if not history:
        require_model(change.connection, change.workspace, model)
        raise NotFound.of("Alias", alias, load_aliases(change.connection, change.workspace, model))
    usable = _live(change, model) - {history[-1].number}
    candidates = [number for number in versions_before(history) if number in usable]
    if not candidates:
        raise Conflict(f"Alias {alias!r} of model {model!r} has no earlier version to go back to.")
    return candidates[-1]


def stage_rollback(change: Change, model: str, stage: Stage) -> tuple[int | None, int]:
    """The version that leaves the stage (None where it is empty) and the one that is to be there in its place.

    Raises Conflict when no version was at the stage before.
    """
    entered, there = entrants(load_stage_history(change.connection, change.workspace, model), stage)
    present = [place for place, number in enumerate(entered) if number in there]
    leaving = entered[present[-1]] if present else None
    earlier = entered[: present[-1]] if present else entered
    usable = _live(change, model) - {leaving}
    candidates = [number for number in earlier if number in usable]
    if not candidates:
        raise Conflict(f"Stage {stage} of model {model!r} has no earlier version to go back to.")
    return leaving, candidates[-1]


def entrants(history: Iterable[StageChange], stage: Stage) -> tuple[list[int], set[int]]:
    """Versions in the order in which they reached a stage, less what was rolled back, and those that are there now."""
    entered: list[int] = []
    there: set[int] = set()
    for change in history:
        if change.previous == stage:
            there.discard(change.number)
            if change.action == AliasAction.ROLLED_BACK:
                entered = [number for number in entered if number != change.number]
        if change.stage == stage:
            there.add(change.number)
            if change.action != AliasAction.ROLLED_BACK:
                entered = [*(number for number in entered if number != change.number), change.number]
    return entered, there


def aliases_at(history: Iterable[AliasChange], time: int) -> list[Pointing]:
    """What aliases meant just after `time`, by name."""
    newest = {change.alias: change for change in history if change.time <= time}
    return [
        Pointing("alias", name, change.number, change.time, change.action, change.reason, change.identity, change.actor)
        for name, change in sorted(newest.items())
        if change.number is not None
    ]


def stages_at(history: Iterable[StageChange], time: int) -> list[Pointing]:
    """Which versions were at which stage (other than None) just after `time`, by number."""
    newest = {change.number: change for change in history if change.time <= time}
    return [
        Pointing(
            "stage", change.stage, number, change.time, change.action, change.reason, change.identity, change.actor
        )
        for number, change in sorted(newest.items())
        if change.stage != Stage.NONE
    ]


def named(found: Sequence[Pointing], name: str) -> list[Pointing]:
    """Those of one alias, exactly, or one stage, in any case."""
    return [each for each in found if each.name == name or (each.kind == "stage" and each.name.lower() == name.lower())]


def _live(change: Change, model: str) -> set[int]:
    living = (versions.c.workspace == change.workspace, versions.c.model == model, versions.c.deleted.is_(None))
    return set(change.execute(select(versions.c.number).where(*living)).scalars())
