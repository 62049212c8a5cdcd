"""The verbs of versions that arrive from another registry under the numbers that they had there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import case, insert, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, InvalidInput
from bailiwick.registry.catalogue import write_tags
from bailiwick.registry.measuring import unless_known
from bailiwick.registry.model import (
    MAX_ID_LENGTH,
    MAX_SOURCE_LENGTH,
    OWN_TAGS,
    READY,
    Model,
    ModelVersion,
    check_model_name,
    check_tag,
    check_text,
)
from bailiwick.registry.pointers import touch_model, touch_version
from bailiwick.registry.registration import UNKNOWN, VersionVerbs
from bailiwick.registry.rows import MAX_NUMBER, ensure_model, load_versions, lock_model
from bailiwick.registry.sources import check_source, files_of, is_local
from bailiwick.registry.tables import model_tags, models, version_tags, versions
from bailiwick.store.faults import reach
from bailiwick.store.records import Change

STATUSES = ("PENDING_REGISTRATION", "FAILED_REGISTRATION", READY)
MAX_VERSIONS = 1_000


@dataclass(frozen=True, slots=True)
class ArrivedVersion:
    """A version of another registry. `source` is what was said of it there, `storage` where its files are as seen from here."""

    number: int
    source: str
    storage: str
    run_id: str = ""
    model_id: str = ""
    run_link: str = ""
    description: str = ""
    status: str = READY
    status_message: str = ""
    created: int = 0
    updated: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)


class ArrivalVerbs(VersionVerbs):
    """What moves models here; aliases and stages are moved by the verbs that everyone uses, and so by the same gate."""

    def import_model(
        self,
        actor: Actor,
        name: str,
        *,
        origin: str,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        created: int = 0,
    ) -> Model:
        """Make a model, or give the one that is here the description and tags it has at its `origin`; may be repeated."""
        check_model_name(name)
        check_text("A description", description)
        given = dict(tags or {})
        for key, value in given.items():
            check_tag(key, value)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            new = ensure_model(change, name, description)
            if new and created:
                here = (models.c.workspace == change.workspace, models.c.name == name)
                change.execute(update(models).where(*here).values(created=created))
            lock_model(change, name)
            write_tags(change, model_tags, {"model": name}, given)
            touch_model(change, name, description=description)
            change.record("model.imported", f"model/{name}", origin=origin, tags=sorted(given)[:100], new=new)
        reach("registry.model_imported")
        return self.model(actor.workspace, name)

    def import_versions(self, actor: Actor, model: str, arrived: Sequence[ArrivedVersion], *, origin: str) -> list[int]:
        """Make versions under their own numbers, all or none, or bring those that are here up to date; returns the new ones.

        Numbers between them stay free for ever, as they are at the origin. A version that was deleted here stays so.
        What may be said later (description, tags, status) follows the origin. Raises NotFound for an unknown model,
        InvalidInput for what cannot be stored, Conflict for a number that other content has.
        """
        actor.require(Permission.MODELS_WRITE)
        if len(arrived) > MAX_VERSIONS:
            raise InvalidInput(f"At most {MAX_VERSIONS} versions are moved at once; there are {len(arrived)}.")
        checked = [_checked(each) for each in arrived]
        self.model(actor.workspace, model)
        contents = {each.number: self._content_of(actor.workspace, each) for each in checked}
        fresh: list[int] = []
        if not checked:
            return fresh
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            there = versions.c.number.in_([each.number for each in checked])
            known = {
                each.number: each
                for each in load_versions(change.connection, change.workspace, versions.c.model == model, there)
            }
            for each in checked:
                before = known.get(each.number)
                if before is None:
                    _insert(change, model, each, contents[each.number])
                    fresh.append(each.number)
                else:
                    _renew(change, before, each, contents[each.number])
                known_by = {"source": each.source, "run_id": each.run_id, "model_id": each.model_id}
                digest = contents[each.number].get("digest", "")
                detail = {"origin": origin, "digest": digest, "new": before is None, **known_by}
                change.record("version.imported", f"version/{model}/{each.number}", **detail)
            highest = max(each.number for each in checked)
            touch_model(change, model, newest=case((models.c.newest < highest, highest), else_=models.c.newest))
        reach("registry.versions_imported")
        return fresh

    def _content_of(self, workspace: str, each: ArrivedVersion) -> dict[str, object]:
        files = "" if is_local(each.storage) else files_of(each.storage, self._parts.origins, workspace)
        return self._content(workspace, files)


def _checked(version: ArrivedVersion) -> ArrivedVersion:
    if not 0 < version.number <= MAX_NUMBER:
        raise InvalidInput(f"{version.number} is not a version's number; they go from 1 to {MAX_NUMBER}.")
    check_source(version.source)
    check_text("A storage location", version.storage, MAX_SOURCE_LENGTH)
    check_text("A run id", version.run_id, MAX_ID_LENGTH)
    check_text("A logged model's id", version.model_id, MAX_ID_LENGTH)
    check_text("A run link", version.run_link, MAX_SOURCE_LENGTH)
    check_text("A description", version.description)
    check_text("A status message", version.status_message)
    if version.status not in STATUSES:
        raise InvalidInput.choice("Version status", version.status, STATUSES)
    for key, value in version.tags.items():
        check_tag(key, value)
    return version


def _insert(change: Change, model: str, arrived: ArrivedVersion, content: Mapping[str, object]) -> None:
    said = {name: getattr(arrived, name) for name in ArrivedVersion.__slots__ if name != "tags"}
    moment = {"created": arrived.created or change.time, "updated": arrived.updated or change.time}
    row = {"workspace": change.workspace, "model": model, "created_by": change.actor.identity}
    change.execute(insert(versions).values({**UNKNOWN, **content, **said, **moment, **row}))
    write_tags(change, version_tags, {"model": model, "number": arrived.number}, _foreign(arrived.tags))


def _renew(change: Change, before: ModelVersion, arrived: ArrivedVersion, content: Mapping[str, object]) -> None:
    if (before.source, before.run_id, before.model_id) != (arrived.source, arrived.run_id, arrived.model_id):
        raise Conflict(
            f"Version {arrived.number} of model {before.model!r} is here already, from {before.source or 'a package'}, "
            f"and the one that arrives is from {arrived.source}.",
            hint="Import the model under another name, with a prefix.",
        )
    if before.deleted is not None:
        return
    told = {name: getattr(arrived, name) for name in ("description", "status", "status_message")}
    found = {} if before.digest else unless_known(content, before)  # files may come after the version that they are
    touch_version(change, before.model, before.number, **told, **found)
    write_tags(change, version_tags, {"model": before.model, "number": before.number}, _foreign(arrived.tags))


def _foreign(tags: Mapping[str, str]) -> dict[str, str]:
    """Without what another installation measured on its own machines."""
    return {key: value for key, value in tags.items() if key not in OWN_TAGS}
