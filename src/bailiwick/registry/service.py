"""The verbs of the registry. What was measured of a version never changes; aliases and stages move, and every move is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput, NotAllowed, NotFound
from bailiwick.registry.catalogue import Parts
from bailiwick.registry.model import (
    ACTIVE_STAGES,
    AliasAction,
    AliasChange,
    ModelVersion,
    Stage,
    StageChange,
    check_alias,
    check_text,
    parse_stage,
)
from bailiwick.registry.pointers import (
    Pointing,
    alias_rollback_target,
    aliases_at,
    move_alias,
    move_stage,
    named,
    stage_rollback,
    stages_at,
)
from bailiwick.registry.ports import (
    ArtifactCatalog,
    ModelReferences,
    NameFollowers,
    NoOrigins,
    Origins,
    PromotionGate,
    SettingFollowers,
)
from bailiwick.registry.rows import (
    find_version,
    load_aliases,
    load_history,
    load_stage_history,
    load_versions,
    lock_model,
    require_model,
)
from bailiwick.registry.serving import ServingVerbs
from bailiwick.registry.tables import models, versions
from bailiwick.store.blobs import BlobStore
from bailiwick.store.records import Records


class RegistryService(ServingVerbs):
    """Models, versions, aliases and stages of every workspace.

    With `blobs`, a package must be stored before it is registered. `origins` and `artifacts` are asked about sources,
    `references` before something is renamed or destroyed; without them nothing is known and nothing refers to anything.
    `followers` are told when a model is renamed, `served_by` when a version is to be run otherwise.
    """

    def __init__(
        self,
        records: Records,
        gate: PromotionGate,
        blobs: BlobStore | None = None,
        *,
        origins: Origins | None = None,
        artifacts: ArtifactCatalog | None = None,
        references: ModelReferences | None = None,
        followers: Sequence[NameFollowers] = (),
        served_by: Sequence[SettingFollowers] = (),
    ) -> None:
        self._records = records
        self._parts = Parts(
            records=records,
            gate=gate,
            blobs=blobs,
            origins=origins or NoOrigins(),
            artifacts=artifacts,
            references=references,
            followers=followers,
            served_by=served_by,
        )

    # -- aliases -------------------------------------------------------------------------------------------------

    def set_alias(self, actor: Actor, model: str, alias: str, number: int, *, reason: str = "") -> AliasChange:
        """Point an alias at a version, if the gate allows it; pointing it where it points already changes nothing.

        Raises NotAllowed when the gate refuses; nothing is changed then, and the refusal is journalled.
        """
        actor.require(Permission.MODELS_WRITE)
        check_alias(alias)
        check_text("A reason", reason)
        version = self.version(actor.workspace, model, number)
        if alias in version.aliases:
            return self.alias_history(actor.workspace, model, alias)[-1]
        self._ask(actor, version, [alias], f"alias/{model}/{alias}")
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            self._locked(change, model, number)  # it may have gone since the gate looked
            moved = move_alias(change, model, alias, number, action=AliasAction.SET, reason=reason)
            change.record("alias.set", f"alias/{model}/{alias}", previous=moved.previous, number=number, reason=reason)
            return moved

    def rollback_alias(self, actor: Actor, model: str, alias: str, reason: str) -> AliasChange:
        """Point an alias back at the version it pointed to before; again, and it goes one further back.

        The gate is not asked: the version has passed it for this alias. Versions deleted since are skipped. Raises
        Conflict when nothing is left to go back to, InvalidInput without a reason.
        """
        _check_reason(f"alias {alias!r}", model, reason)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            number = alias_rollback_target(change, model, alias)
            moved = move_alias(change, model, alias, number, action=AliasAction.ROLLED_BACK, reason=reason)
            detail = {"previous": moved.previous, "number": number, "reason": reason}
            change.record("alias.rolled_back", f"alias/{model}/{alias}", **detail)
            return moved

    def remove_alias(self, actor: Actor, model: str, alias: str, *, reason: str = "") -> AliasChange:
        """Let an alias point nowhere. Raises NotFound when it points nowhere already."""
        check_text("A reason", reason)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            pointing = load_aliases(change.connection, change.workspace, model)
            if alias not in pointing:
                raise NotFound.of("Alias", alias, pointing)
            moved = move_alias(change, model, alias, None, action=AliasAction.REMOVED, reason=reason)
            change.record("alias.removed", f"alias/{model}/{alias}", previous=moved.previous, reason=reason)
            return moved

    def alias(self, workspace: str, model: str, alias: str) -> ModelVersion:
        """The version an alias points to. Raises NotFound."""
        with self._records.read() as connection:
            pointing = load_aliases(connection, workspace, model)
            if alias in pointing:
                return find_version(connection, workspace, model, pointing[alias])
            require_model(connection, workspace, model)
        raise NotFound.of("Alias", alias, pointing)

    def aliases(self, workspace: str, model: str) -> dict[str, int]:
        """Version number by alias; empty for an unknown model."""
        with self._records.read() as connection:
            return load_aliases(connection, workspace, model)

    # -- stages --------------------------------------------------------------------------------------------------

    def set_stage(
        self, actor: Actor, model: str, number: int, stage: str, *, archive_existing: bool = False, reason: str = ""
    ) -> ModelVersion:
        """Put a version at a stage, if the gate allows it; where it is there already and alone, nothing changes.

        With `archive_existing`, for Staging and Production only, other versions at the stage are archived. Raises
        NotAllowed when the gate refuses; nothing is changed then, and the refusal is journalled.
        """
        actor.require(Permission.MODELS_WRITE)
        check_text("A reason", reason)
        wanted = parse_stage(stage)
        if archive_existing and wanted not in ACTIVE_STAGES:
            raise InvalidInput(
                f"Versions can make room for another at {' and '.join(ACTIVE_STAGES)}, not at {wanted}.",
                hint="Leave archive_existing_versions out.",
            )
        version = self.version(actor.workspace, model, number)
        if version.stage == wanted and not (archive_existing and self._others(version, wanted)):
            return version
        if version.stage != wanted:
            self._ask(actor, version, targets_of(wanted), f"stage/{model}/{wanted}")
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            found = self._locked(change, model, number)  # it may have gone since the gate looked
            here = (versions.c.model == model, versions.c.stage == wanted, versions.c.deleted.is_(None))
            there = load_versions(change.connection, change.workspace, *here)
            left = [each for each in there if archive_existing and each.number != number]
            for other in left:
                move_stage(change, other, Stage.ARCHIVED, action=AliasAction.SET, reason=reason)
            if found.stage != wanted:
                move_stage(change, found, wanted, action=AliasAction.SET, reason=reason)
            detail = {"number": number, "previous": found.stage, "reason": reason}
            change.record("stage.set", f"stage/{model}/{wanted}", **detail, archived=[each.number for each in left])
        return self.version(actor.workspace, model, number)

    def rollback_stage(self, actor: Actor, model: str, stage: str, reason: str) -> ModelVersion:
        """Archive the version that came to a stage last, and have the one before it there again; returns that one.

        The gate is not asked: the version has passed it for this stage. Versions deleted since are skipped. Raises
        Conflict when nothing is left to go back to, InvalidInput without a reason.
        """
        wanted = parse_stage(stage)
        _check_reason(f"stage {wanted}", model, reason)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            leaving, number = stage_rollback(change, model, wanted)
            if leaving is not None:
                gone = find_version(change.connection, change.workspace, model, leaving)
                move_stage(change, gone, Stage.ARCHIVED, action=AliasAction.ROLLED_BACK, reason=reason)
            back = find_version(change.connection, change.workspace, model, number)
            if back.stage != wanted:
                move_stage(change, back, wanted, action=AliasAction.ROLLED_BACK, reason=reason)
            detail = {"previous": leaving, "number": number, "reason": reason}
            change.record("stage.rolled_back", f"stage/{model}/{wanted}", **detail)
        return self.version(actor.workspace, model, number)

    def _others(self, version: ModelVersion, stage: Stage) -> bool:
        here = (versions.c.workspace == version.workspace, versions.c.model == version.model)
        there = (versions.c.stage == stage, versions.c.deleted.is_(None), versions.c.number != version.number)
        with self._records.read() as connection:
            return connection.execute(select(versions.c.number).where(*here, *there).limit(1)).first() is not None

    def _ask(self, actor: Actor, version: ModelVersion, targets: Iterable[str], resource: str) -> None:
        """Ask the gate for each target. A refusal is journalled and raised."""
        for target in targets:
            try:
                self._parts.gate.check(actor, version.model, version.number, target, version.created_by)
            except NotAllowed as refusal:
                with self._records.change(actor, Permission.MODELS_WRITE) as change:
                    noun = resource.partition("/")[0]
                    change.record(f"{noun}.denied", resource, number=version.number, why=refusal.message[:2_000])
                raise

    # -- what points at versions ---------------------------------------------------------------------------------

    def alias_history(self, workspace: str, model: str, alias: str | None = None) -> list[AliasChange]:
        """Every change of one alias, or of all, oldest first: who, when, why, from and to."""
        with self._records.read() as connection:
            return load_history(connection, workspace, model, alias)

    def stage_history(self, workspace: str, model: str) -> list[StageChange]:
        """Every change of stage of a model's versions, oldest first: who, when, why, from and to."""
        with self._records.read() as connection:
            return load_stage_history(connection, workspace, model)

    def pointing_at(self, workspace: str, model: str, name: str = "", time: int | None = None) -> list[Pointing]:
        """What an alias or a stage (or all of them, without a name) meant at a moment: which versions, set by whom, why.

        `time` is in UTC milliseconds and counts changes of that very millisecond; None is now. An alias is meant in its
        exact letters, a stage in any case. Answers for deleted models too. Raises NotFound for a name never heard of.
        """
        with self._records.read() as connection:
            here = (models.c.workspace == workspace, models.c.name == model)
            if connection.execute(select(models.c.name).where(*here)).first() is None:
                require_model(connection, workspace, model)
            of_aliases = load_history(connection, workspace, model)
            of_stages = load_stage_history(connection, workspace, model)
        moment = self._records.clock() if time is None else time
        found = [*aliases_at(of_aliases, moment), *stages_at(of_stages, moment)]
        if not name:
            return found
        if name not in {each.alias for each in of_aliases} and name.lower() not in {each.lower() for each in Stage}:
            raise NotFound.of("Alias or stage", name, {*(each.alias for each in of_aliases), *Stage})
        return named(found, name)


def targets_of(stage: Stage) -> list[str]:
    """What a move to a stage is asked for under: its name, and the alias of that name in lower case."""
    return [stage.value, stage.value.lower()]


def _check_reason(what: str, model: str, reason: str) -> None:
    if not reason.strip():
        raise InvalidInput(f"Rolling back {what} of model {model!r} needs a reason; say what went wrong.")
    check_text("A reason", reason)
