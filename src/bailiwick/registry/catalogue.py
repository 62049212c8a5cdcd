"""The verbs of models: made, described, tagged, renamed, hidden, brought back, found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Table, delete, func, insert, select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import AlreadyExists, Conflict
from bailiwick.core.filters import Clause, Ordering
from bailiwick.registry.model import Model, ModelVersion, check_model_name, check_tag, check_text
from bailiwick.registry.pointers import touch_model
from bailiwick.registry.ports import (
    ArtifactCatalog,
    ModelReferences,
    NameFollowers,
    NoOrigins,
    Origins,
    PromotionGate,
    SettingFollowers,
)
from bailiwick.registry.removal import hide_model, rename, show_model
from bailiwick.registry.rows import ensure_model, load_models, load_versions, lock_model, require_model, versions_of
from bailiwick.registry.search import Page, find_models
from bailiwick.registry.tables import model_tags, models, versions
from bailiwick.store.blobs import BlobStore
from bailiwick.store.records import Change, Records

MAX_TAG_TOLD = 10_000
"""Characters of a tag's value that the journal keeps, so that its detail never outgrows an entry."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the registry's verbs work with. Without `blobs` packages are taken at their word, and so on."""

    records: Records
    gate: PromotionGate
    blobs: BlobStore | None = None
    origins: Origins = field(default_factory=NoOrigins)
    artifacts: ArtifactCatalog | None = None
    references: ModelReferences | None = None
    followers: Sequence[NameFollowers] = ()
    served_by: Sequence[SettingFollowers] = ()


class ModelVerbs:
    """What can be done with models; `RegistryService` is whom to ask."""

    _parts: Parts
    _records: Records

    def create_model(
        self, actor: Actor, name: str, *, description: str = "", tags: Mapping[str, str] | None = None
    ) -> Model:
        """A model without versions. Raises AlreadyExists for a name that is taken."""
        check_model_name(name)
        check_text("A description", description)
        for key, value in (tags or {}).items():
            check_tag(key, value)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            if not ensure_model(change, name, description):
                raise AlreadyExists(f"Model {name!r} exists already.")
            write_tags(change, model_tags, {"model": name}, tags or {})
            change.record("model.created", f"model/{name}")
        return self.model(actor.workspace, name)

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

    def search_models(
        self,
        workspace: str,
        clauses: Sequence[Clause] = (),
        orderings: Sequence[Ordering] = (),
        *,
        limit: int = 100,
        token: str = "",
    ) -> Page[Model]:
        """A page of the models that meet all clauses, by name or as ordered. Prompts only when their tag is asked for."""
        with self._records.read() as connection:
            return find_models(connection, workspace, clauses, orderings, limit=limit, token=token)

    def latest_versions(self, workspace: str, names: Sequence[str]) -> dict[str, list[ModelVersion]]:
        """The newest version at each stage of each model, the lowest number first; nothing for unknown names."""
        found: dict[str, list[ModelVersion]] = {name: [] for name in names}
        here = (versions.c.workspace == workspace, versions.c.deleted.is_(None), versions.c.model.in_(names))
        newest = (
            select(versions.c.model, versions.c.stage, func.max(versions.c.number).label("number"))
            .where(*here)
            .group_by(versions.c.model, versions.c.stage)
            .subquery()
        )
        joined = (versions.c.model == newest.c.model, versions.c.number == newest.c.number)
        query = select(versions).join(newest, joined[0] & joined[1]).where(versions.c.workspace == workspace)
        with self._records.read() as connection:
            rows = connection.execute(query.order_by(versions.c.model, versions.c.number)).all()
            for version in versions_of(connection, workspace, rows):
                found[version.model].append(version)
        return found

    def describe_model(self, actor: Actor, model: str, description: str) -> Model:
        """Say what a model is for."""
        check_text("A description", description)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            touch_model(change, model, description=description)
            change.record("model.described", f"model/{model}")
        return self.model(actor.workspace, model)

    def tag_model(self, actor: Actor, model: str, key: str, value: str) -> None:
        """Set a tag, or replace its value."""
        check_tag(key, value)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            write_tags(change, model_tags, {"model": model}, {key: value})
            change.record("model.tag_set", f"model/{model}", key=key, value=value[:MAX_TAG_TOLD])

    def untag_model(self, actor: Actor, model: str, key: str) -> bool:
        """Remove a tag; False where there was none, which changes nothing."""
        actor.require(Permission.MODELS_WRITE)
        if key not in self.model(actor.workspace, model).tags:
            return False
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            remove_tag(change, model_tags, {"model": model}, key)
            change.record("model.tag_deleted", f"model/{model}", key=key)
        return True

    def rename_model(self, actor: Actor, model: str, new_name: str) -> Model:
        """Give a model another name; versions, tags, aliases, stages and their history go with it, and in the same
        transaction whatever else follows it: its policies, requests for approval and what is stated of it.

        Raises AlreadyExists for a name that is or was taken, and Conflict while others know the model by its name and
        cannot follow: a project declares it in a file, endpoints have answered under it.
        """
        actor.require(Permission.MODELS_WRITE)
        check_model_name(new_name)
        self.model(actor.workspace, model)
        if new_name == model:
            return self.model(actor.workspace, model)
        references = self._parts.references
        held = references.of_model(actor.workspace, model) if references else ()
        made = [
            each
            for each in self.compositions(actor.workspace)
            if each.model != model and model in {part for part, _ in each.parts}
        ]
        held = [*held, *(f"{each.model} version {each.number}, which is made of it" for each in made)]
        _require_free(model, new_name, held, model)
        _require_free(model, new_name, references.of_name(actor.workspace, new_name) if references else (), new_name)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            rename(change, model, new_name)
            for each in self._parts.followers:
                each.rename(change, model, new_name)
            change.record("model.renamed", f"model/{new_name}", previous=model)
        return self.model(actor.workspace, new_name)

    def compositions(self, workspace: str) -> list[ModelVersion]:
        """Versions of any model that are made of others, deleted ones too, while they are not purged."""
        made = (versions.c.parity.like('%"parts":[%'), versions.c.purged.is_(None))
        with self._records.read() as connection:
            return [each for each in load_versions(connection, workspace, *made) if each.parts]

    def delete_model(self, actor: Actor, model: str, *, reason: str = "") -> int:
        """Hide a model and its versions, and take their aliases and stages away; returns how many versions.

        Numbers, history and lineage stay; `restore_model` brings it back.
        """
        check_text("A reason", reason)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            hidden = hide_model(change, model, reason)
            change.record("model.deleted", f"model/{model}", reason=reason, versions=hidden)
        return hidden

    def restore_model(self, actor: Actor, model: str) -> Model:
        """Show a deleted model again, with the versions that were deleted with it; aliases and stages stay where they are.

        Raises Conflict for one that is not deleted.
        """
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            here = (models.c.workspace == change.workspace, models.c.name == model)
            found = change.execute(select(models.c.deleted).where(*here).with_for_update(key_share=True)).first()
            if found is None:
                require_model(change.connection, change.workspace, model)
            elif found.deleted is None:
                raise Conflict(f"Model {model!r} is not deleted.")
            else:
                shown = show_model(change, model, found.deleted)
                change.record("model.restored", f"model/{model}", versions=shown)
        return self.model(actor.workspace, model)


def _require_free(model: str, new_name: str, known: Sequence[str], name: str) -> None:
    if known:
        raise Conflict(
            f"Model {model!r} cannot be renamed to {new_name!r}: {', '.join(known)} goes by the name {name!r}.",
            hint="Let those go first, or register the versions under the new name.",
        )


def write_tags(change: Change, table: Table, of: Mapping[str, object], tags: Mapping[str, str]) -> None:
    """Set tags of one model or version, which `of` names; the caller holds the model's lock."""
    for key in tags:
        remove_tag(change, table, of, key)
    rows = [{"workspace": change.workspace, **of, "key": key, "value": value} for key, value in tags.items()]
    if rows:
        change.execute(insert(table), rows)


def remove_tag(change: Change, table: Table, of: Mapping[str, object], key: str) -> None:
    """Remove one tag, if it is there."""
    here = [table.c[name] == value for name, value in of.items()]
    change.execute(delete(table).where(table.c.workspace == change.workspace, *here, table.c.key == key))
