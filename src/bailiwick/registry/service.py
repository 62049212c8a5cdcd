"""The verbs of the registry. Versions are added, never edited; aliases move, and every move is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from bailiwick.registry.lineage import Lineage, version_lineage
from bailiwick.registry.model import (
    MAX_CODE_VERSION_LENGTH,
    MAX_ID_LENGTH,
    AliasAction,
    AliasChange,
    Model,
    ModelVersion,
    check_alias,
    check_digest,
    check_model_name,
    check_text,
    versions_before,
)
from bailiwick.registry.ports import PromotionGate
from bailiwick.registry.rows import (
    encode,
    ensure_model,
    find_version,
    load_aliases,
    load_history,
    load_models,
    load_versions,
    lock_model,
    require_model,
)
from bailiwick.registry.tables import alias_changes, aliases, models, versions
from bailiwick.store.blobs import BlobStore
from bailiwick.store.records import Change, Records


class RegistryService:
    """Models, versions and aliases of every workspace. With `blobs`, a package must be stored before it is registered."""

    def __init__(self, records: Records, gate: PromotionGate, blobs: BlobStore | None = None) -> None:
        self._records = records
        self._gate = gate
        self._blobs = blobs

    # -- versions ------------------------------------------------------------------------------------------------

    def register(
        self,
        actor: Actor,
        model: str,
        *,
        package: str,
        run_id: str,
        snapshot: str,
        signature: Mapping[str, Any],
        metrics: Mapping[str, float],
        slices: Mapping[str, Any],
        parity: Mapping[str, Any],
        environment: Mapping[str, Any],
        code_version: str,
        parameters: Mapping[str, Any],
        reference_profile: str = "",
        description: str = "",
        size_bytes: int = 0,
    ) -> ModelVersion:
        """The next version of a model, which is made if there is none.

        One run gives a model one version: registering again returns that version, unchanged. Raises NotFound for a
        package that is not in the blob store, InvalidInput for facts that are not JSON.
        """
        actor.require(Permission.MODELS_WRITE)
        check_model_name(model)
        facts: dict[str, object] = {
            "package": check_digest("Package", package),
            "digest": package,
            "size_bytes": self._blobs.size(package) if self._blobs else size_bytes,
            "run_id": check_text("A run id", run_id, MAX_ID_LENGTH),
            "snapshot": check_text("A snapshot id", snapshot, MAX_ID_LENGTH),
            "signature": encode("signature", signature),
            "metrics": encode("metrics", metrics),
            "slices": encode("slices", slices),
            "parity": encode("parity", parity),
            "environment": encode("environment", environment),
            "code_version": check_text("A code version", code_version, MAX_CODE_VERSION_LENGTH),
            "parameters": encode("parameters", parameters),
            "reference_profile": check_text("A reference profile", reference_profile, MAX_ID_LENGTH),
            "description": check_text("A description", description),
        }
        existing = self.version_of_run(actor.workspace, model, run_id)
        if existing:
            return existing
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            return _register(change, model, facts)

    def version(self, workspace: str, model: str, number: int, *, deleted: bool = False) -> ModelVersion:
        """One version, a deleted one only with `deleted`. Raises NotFound."""
        with self._records.read() as connection:
            return find_version(connection, workspace, model, number, deleted=deleted)

    def versions(self, workspace: str, model: str, *, deleted: bool = False) -> list[ModelVersion]:
        """Versions of a model, highest number first. Raises NotFound for an unknown model."""
        with self._records.read() as connection:
            found = load_versions(connection, workspace, versions.c.model == model)
            if not found:
                require_model(connection, workspace, model)
        return [each for each in found if deleted or each.deleted is None]

    def version_of_run(self, workspace: str, model: str, run_id: str) -> ModelVersion | None:
        """The version of a model that a run gave, unless it is deleted."""
        if not run_id:
            return None
        here = (versions.c.model == model, versions.c.run_id == run_id, versions.c.deleted.is_(None))
        with self._records.read() as connection:
            found = load_versions(connection, workspace, *here)
        return found[0] if found else None

    def models(self, workspace: str) -> list[Model]:
        """By name."""
        with self._records.read() as connection:
            return load_models(connection, workspace)

    def model(self, workspace: str, name: str) -> Model:
        """Raises NotFound with the nearest name there is."""
        with self._records.read() as connection:
            found = load_models(connection, workspace, models.c.name == name)
            if not found:
                require_model(connection, workspace, name)
        return found[0]

    def describe_model(self, actor: Actor, model: str, description: str) -> Model:
        """Say what a model is for; the one thing about a model that may be edited."""
        check_text("A description", description)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            _touch(change, model, description=description)
            change.record("model.described", f"model/{model}")
        return self.model(actor.workspace, model)

    def delete_version(self, actor: Actor, model: str, number: int, *, reason: str = "") -> ModelVersion:
        """Hide a version and take its aliases away. Its number is not given again; lineage and history stay."""
        check_text("A reason", reason)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            find_version(change.connection, change.workspace, model, number)
            pointing = load_aliases(change.connection, change.workspace, model)
            lost = [alias for alias, target in pointing.items() if target == number]
            for alias in lost:
                _move(change, model, alias, None, AliasAction.VERSION_DELETED, reason)
            _mark(change, model, number, deleted=change.time)
            change.record("version.deleted", f"version/{model}/{number}", reason=reason, aliases=lost)
        return self.version(actor.workspace, model, number, deleted=True)

    def restore_version(self, actor: Actor, model: str, number: int) -> ModelVersion:
        """Show a deleted version again; its aliases stay where they are. Raises Conflict when it is not deleted."""
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            found = find_version(change.connection, change.workspace, model, number, deleted=True)
            if found.deleted is None:
                raise Conflict(f"Version {number} of model {model!r} is not deleted.")
            _mark(change, model, number, deleted=None)
            change.record("version.restored", f"version/{model}/{number}")
        return self.version(actor.workspace, model, number)

    # -- aliases -------------------------------------------------------------------------------------------------

    def set_alias(self, actor: Actor, model: str, alias: str, number: int, *, reason: str = "") -> AliasChange:
        """Point an alias at a version, if the gate allows it; pointing it where it points already changes nothing.

        Raises NotAllowed when the gate refuses; nothing is changed then, and the refusal is journalled.
        """
        actor.require(Permission.MODELS_WRITE)
        check_alias(alias)
        check_text("A reason", reason)
        version = self.version(actor.workspace, model, number)
        if self.aliases(actor.workspace, model).get(alias) == number:
            return self.alias_history(actor.workspace, model, alias)[-1]
        try:
            self._gate.check(actor, model, number, alias, version.created_by)
        except NotAllowed as refusal:
            with self._records.change(actor, Permission.MODELS_WRITE) as change:
                change.record("alias.denied", f"alias/{model}/{alias}", number=number, why=refusal.message[:2_000])
            raise
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            find_version(change.connection, change.workspace, model, number)  # it may have gone since the gate looked
            moved = _move(change, model, alias, number, AliasAction.SET, reason)
            change.record("alias.set", f"alias/{model}/{alias}", previous=moved.previous, number=number, reason=reason)
            return moved

    def rollback_alias(self, actor: Actor, model: str, alias: str, reason: str) -> AliasChange:
        """Point an alias back at the version it pointed to before; again, and it goes one further back.

        The gate is not asked: the version has passed it for this alias. Versions deleted since are skipped. Raises
        Conflict when nothing is left to go back to, InvalidInput without a reason.
        """
        if not reason.strip():
            raise InvalidInput(f"Rolling back alias {alias!r} of model {model!r} needs a reason; say what went wrong.")
        check_text("A reason", reason)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            number = _rollback_target(change, model, alias)
            moved = _move(change, model, alias, number, AliasAction.ROLLED_BACK, reason)
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
            moved = _move(change, model, alias, None, AliasAction.REMOVED, reason)
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

    def alias_history(self, workspace: str, model: str, alias: str | None = None) -> list[AliasChange]:
        """Every change of one alias, or of all, oldest first: who, when, why, from and to."""
        with self._records.read() as connection:
            return load_history(connection, workspace, model, alias)

    # -- lineage -------------------------------------------------------------------------------------------------

    def lineage(self, workspace: str, model: str, number: int) -> Lineage:
        """Where a version came from and which aliases point to it, also for a deleted version. Raises NotFound."""
        with self._records.read() as connection:
            version = find_version(connection, workspace, model, number, deleted=True)
            pointing = load_aliases(connection, workspace, model)
        return version_lineage(version, [alias for alias, target in pointing.items() if target == number])

    def versions_of_snapshot(self, workspace: str, snapshot: str) -> list[ModelVersion]:
        """Versions trained on a snapshot, deleted ones too: lineage read backwards."""
        with self._records.read() as connection:
            return load_versions(connection, workspace, versions.c.snapshot == snapshot)


def _register(change: Change, model: str, facts: Mapping[str, object]) -> ModelVersion:
    if ensure_model(change, model):
        change.record("model.created", f"model/{model}")
    lock_model(change, model)
    if facts["run_id"]:
        same_run = (versions.c.model == model, versions.c.run_id == facts["run_id"], versions.c.deleted.is_(None))
        registered = load_versions(change.connection, change.workspace, *same_run)
        if registered:  # by another thread since we looked; the entry tells that it was asked for twice
            change.record("version.confirmed", f"version/{model}/{registered[0].number}")
            return registered[0]
    number = _touch(change, model, newest=models.c.newest + 1)
    row = {
        **facts,
        "workspace": change.workspace,
        "model": model,
        "number": number,
        "created": change.time,
        "created_by": change.actor.identity,
    }
    change.execute(insert(versions).values(row))
    told = {name: facts[name] for name in ("digest", "run_id", "snapshot", "code_version")}
    change.record("version.registered", f"version/{model}/{number}", **told)
    return find_version(change.connection, change.workspace, model, number)


def _touch(change: Change, model: str, **values: object) -> int:
    """Update the model's row and return its newest version number."""
    here = (models.c.workspace == change.workspace, models.c.name == model)
    statement = update(models).where(*here).values(updated=change.time, **values).returning(models.c.newest)
    newest: int = change.execute(statement).scalar_one()
    return newest


def _mark(change: Change, model: str, number: int, *, deleted: int | None) -> None:
    here = (versions.c.workspace == change.workspace, versions.c.model == model, versions.c.number == number)
    change.execute(update(versions).where(*here).values(deleted=deleted))
    _touch(change, model)


def _rollback_target(change: Change, model: str, alias: str) -> int:
    history = load_history(change.connection, change.workspace, model, alias)
    if not history:
        require_model(change.connection, change.workspace, model)
        raise NotFound.of("Alias", alias, load_aliases(change.connection, change.workspace, model))
    live = select(versions.c.number).where(
        versions.c.workspace == change.workspace, versions.c.model == model, versions.c.deleted.is_(None)
    )
    usable = set(change.execute(live).scalars()) - {history[-1].number}
    candidates = [number for number in versions_before(history) if number in usable]
    if not candidates:
        raise Conflict(f"Alias {alias!r} of model {model!r} has no earlier version to go back to.")
    return candidates[-1]


def _move(change: Change, model: str, alias: str, number: int | None, action: AliasAction, reason: str) -> AliasChange:
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
    _touch(change, model)
    return moved
