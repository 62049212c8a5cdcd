"""Renaming, hiding, bringing back and destroying, within an open change whose model is locked."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Table, delete, insert, or_, select, update

from bailiwick.core.errors import AlreadyExists, Conflict
from bailiwick.registry.model import AliasAction, ModelVersion, Stage
from bailiwick.registry.pointers import move_alias, move_stage, touch_model, touch_version
from bailiwick.registry.rows import DOCUMENTS, ensure_model, load_aliases, load_versions
from bailiwick.registry.tables import (
    alias_changes,
    aliases,
    model_tags,
    models,
    stage_changes,
    version_tags,
    versions,
)
from bailiwick.store.records import Change


def hide_version(change: Change, version: ModelVersion, reason: str) -> list[str]:
    """Mark a version as deleted and take its aliases and stage away; returns the aliases."""
    pointing = load_aliases(change.connection, change.workspace, version.model)
    lost = [alias for alias, target in pointing.items() if target == version.number]
    for alias in lost:
        move_alias(change, version.model, alias, None, action=AliasAction.VERSION_DELETED, reason=reason)
    if version.stage != Stage.NONE:
        move_stage(change, version, Stage.NONE, action=AliasAction.VERSION_DELETED, reason=reason)
    touch_version(change, version.model, version.number, deleted=change.time)
    touch_model(change, version.model)
    return lost


def hide_model(change: Change, model: str, reason: str) -> int:
    """Mark a model and its versions as deleted; returns how many versions."""
    living = (versions.c.model == model, versions.c.deleted.is_(None))
    found = load_versions(change.connection, change.workspace, *living)
    pointed = {each.number for each in found if each.aliases or each.stage != Stage.NONE}
    for version in found:
        if version.number in pointed:
            hide_version(change, version, reason)
    here = (versions.c.workspace == change.workspace, *living)
    change.execute(update(versions).where(*here).values(deleted=change.time, updated=change.time))
    touch_model(change, model, deleted=change.time)
    return len(found)


def show_model(change: Change, model: str, deleted: int) -> int:
    """Bring back a model and the versions that were deleted together with it; returns how many versions."""
    together = (versions.c.workspace == change.workspace, versions.c.model == model, versions.c.deleted == deleted)
    back = change.execute(update(versions).where(*together, versions.c.purged.is_(None)).values(deleted=None))
    touch_model(change, model, deleted=None)
    count: int = back.rowcount
    return count


def rename(change: Change, model: str, new_name: str) -> None:
    """Give everything of a model another name. Raises AlreadyExists for a name that is taken, or was and kept versions.

    The old name stays as a deleted model without versions, so that its numbers are never given to other content.
    """
    old = (models.c.workspace == change.workspace, models.c.name == model)
    row = change.execute(select(models).where(*old)).one()
    if not ensure_model(change, new_name, row.description) or _has_versions(change, new_name):
        raise AlreadyExists(
            f"Model {new_name!r} exists already, or did and its versions are kept; choose another name."
        )
    new = (models.c.workspace == change.workspace, models.c.name == new_name)
    taken = change.execute(select(models.c.newest).where(*new)).scalar_one()
    kept_facts = {"newest": max(taken, row.newest), "created": row.created, "created_by": row.created_by}
    change.execute(update(models).where(*new).values(kept_facts))
    kept = {table: _take_out(change, table, model) for table in (aliases, version_tags, model_tags)}
    moved = (versions.c.workspace == change.workspace, versions.c.model == model)
    change.execute(update(versions).where(*moved).values(model=new_name, updated=change.time))
    for table, rows in kept.items():
        if rows:
            change.execute(insert(table), [{**each, "model": new_name} for each in rows])
    for history in (alias_changes, stage_changes):
        told = (history.c.workspace == change.workspace, history.c.model == model)
        change.execute(update(history).where(*told).values(model=new_name))
    change.execute(update(models).where(*old).values(deleted=change.time, description="", updated=change.time))


def empty_version(change: Change, version: ModelVersion) -> None:
    """Destroy what a version says and leave the tombstone: number, digest, size, ids of its origin, times, author."""
    here = (version_tags.c.workspace == change.workspace, version_tags.c.model == version.model)
    change.execute(delete(version_tags).where(*here, version_tags.c.number == version.number))
    cleared = dict.fromkeys(DOCUMENTS, "{}")
    cleared |= dict.fromkeys(
        ("description", "storage", "run_link", "status_message", "package", "reference_profile"), ""
    )
    touch_version(change, version.model, version.number, purged=change.time, **cleared)


def unshared(change: Change, digests: Iterable[str], version: ModelVersion) -> list[str]:
    """Those of the blobs that no other version of any workspace holds."""
    others = or_(
        versions.c.workspace != change.workspace,
        versions.c.model != version.model,
        versions.c.number != version.number,
    )
    alone = []
    for digest in filter(None, digests):
        held = or_(versions.c.package == digest, versions.c.reference_profile == digest)
        unpurged = select(versions.c.number).where(held, others, versions.c.purged.is_(None))
        if change.execute(unpurged.limit(1)).first() is None:
            alone.append(digest)
    return alone


def require_deleted(version: ModelVersion) -> None:
    """What is destroyed was deleted before, so that nothing is destroyed by a slip. Raises Conflict."""
    if version.deleted is None:
        raise Conflict(
            f"Version {version.number} of model {version.model!r} is not deleted.",
            hint="Delete it first; only what is deleted can be purged.",
        )


def _has_versions(change: Change, model: str) -> bool:
    here = (versions.c.workspace == change.workspace, versions.c.model == model)
    return change.execute(select(versions.c.number).where(*here).limit(1)).first() is not None


def _take_out(change: Change, table: Table, model: str) -> list[dict[str, object]]:
    """The rows of a model, removed: they point at keys that are about to change."""
    here = (table.c.workspace == change.workspace, table.c.model == model)
    rows = [dict(row._mapping) for row in change.execute(select(table).where(*here))]  # noqa: SLF001
    change.execute(delete(table).where(*here))
    return rows
