"""The verbs of versions: registered as a package or from a source, described, tagged, packaged, hidden, destroyed, found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, InvalidInput, NotFound
from bailiwick.core.filters import Clause, Ordering
from bailiwick.registry.catalogue import MAX_TAG_TOLD, remove_tag, write_tags
from bailiwick.registry.lineage import Lineage, version_lineage
from bailiwick.registry.measuring import ContentVerbs
from bailiwick.registry.model import (
    MAX_CODE_VERSION_LENGTH,
    MAX_ID_LENGTH,
    MAX_SOURCE_LENGTH,
    MAX_TEXT_LENGTH,
    OWN_TAGS,
    ContentState,
    ModelVersion,
    check_digest,
    check_model_name,
    check_own_tag,
    check_tag,
    check_text,
    parse_stage,
)
from bailiwick.registry.pointers import touch_model, touch_version
from bailiwick.registry.removal import empty_version, hide_version, require_deleted, unshared
from bailiwick.registry.rows import (
    DOCUMENTS,
    encode,
    ensure_model,
    find_version,
    load_aliases,
    load_versions,
    lock_model,
    require_live,
    require_model,
)
from bailiwick.registry.search import Page, find_versions
from bailiwick.registry.sources import (
    PLACEHOLDERS,
    Claim,
    Followed,
    check_source,
    follow,
    is_prompt,
    parse_model_uri,
)
from bailiwick.registry.tables import models, version_tags, versions
from bailiwick.store.records import Change

MEASURED = ("snapshot", "code_version", "reference_profile", "package", "size_bytes", "digest")
UNKNOWN: Mapping[str, object] = {
    **dict.fromkeys(DOCUMENTS, "{}"),
    **dict.fromkeys(MEASURED, ""),
    "size_bytes": 0,
    "content_state": ContentState.KNOWN,
}
"""What is known of a version of which nothing is."""


class VersionVerbs(ContentVerbs):
    """What can be done with versions; `RegistryService` is whom to ask."""

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
        blobs = self._parts.blobs
        facts: dict[str, object] = {
            "package": check_digest("Package", package),
            "digest": package,
            "size_bytes": blobs.size(package) if blobs else size_bytes,
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

    def create_version(
        self,
        actor: Actor,
        model: str,
        *,
        source: str,
        run_id: str | None = None,
        model_id: str | None = None,
        run_link: str = "",
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """The next version of a model, from files that are somewhere: see `registry.sources` for what may be said.

        A source `models:/NAME/…` gives the new version everything the version it names has. Each call makes a version.
        Raises NotFound for an unknown model, InvalidInput for a source that its run or logged model does not own.
        """
        actor.require(Permission.MODELS_WRITE)
        self.model(actor.workspace, model)
        for key, value in (tags or {}).items():
            check_own_tag(key)
            check_tag(key, value)
        facts = self._facts_of(actor.workspace, Claim(source, run_id, model_id), prompt=is_prompt(tags or {}))
        facts["run_link"] = check_text("A run link", run_link, MAX_SOURCE_LENGTH)
        facts["description"] = check_text("A description", description)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            made = _insert(change, model, facts, tags or {})
        if made.model_id:
            self._parts.origins.registered(actor, made.model_id, model, made.number)
        return made

    def register_archive(
        self,
        actor: Actor,
        model: str,
        *,
        record: Mapping[str, Any],
        origin: str,
        package: str = "",
        reference_profile: str = "",
        storage: str = "",
        described: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """The next version of a model, which is made if there is none, from the record of a version elsewhere.

        `origin` names the file it came in, and gives a model one version. What the version was elsewhere (model, number,
        run, snapshot) becomes tags `origin.…`, for those ids mean nothing here. `storage` is where its files are kept
        now, and `described` what they say of themselves (see `contents.describe_files`). Raises InvalidInput for a
        record that is none.
        """
        actor.require(Permission.MODELS_WRITE)
        check_model_name(model)
        facts, tags = _arrived(record)
        facts |= {
            "package": check_digest("Package", package) if package else "",
            "digest": package,
            "size_bytes": self._parts.blobs.size(package) if package and self._parts.blobs else 0,
            "reference_profile": reference_profile,
            "source": check_text("An origin", origin, MAX_SOURCE_LENGTH),
            "storage": storage,
            "content_state": ContentState.KNOWN,
        }
        for name, value in (described or {}).items():
            if name not in DOCUMENTS or not (package and record.get(name)):  # what packaging measured counts for more
                facts[name] = encode(name, value) if name in DOCUMENTS else value
        here = (versions.c.model == model, versions.c.source == origin, versions.c.deleted.is_(None))
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            if ensure_model(change, model):
                change.record("model.created", f"model/{model}")
            lock_model(change, model)
            known = load_versions(change.connection, change.workspace, *here)
            if known:
                change.record("version.confirmed", f"version/{model}/{known[0].number}")
                return known[0]
            made = _insert(change, model, facts, tags)
            change.record("version.imported", f"version/{model}/{made.number}", origin=origin, **tags)
            return made

    def _facts_of(self, workspace: str, claim: Claim, *, prompt: bool) -> dict[str, object]:
        facts: dict[str, object] = dict(UNKNOWN)
        if prompt:
            if claim.source not in PLACEHOLDERS:
                raise InvalidInput(f"A prompt has no files, so its source is one of {', '.join(sorted(PLACEHOLDERS))}.")
            followed = Followed(claim.source, claim.source, "", claim.run_id or "", claim.model_id or "")
        else:
            check_source(claim.source)
            referred = self._referred(workspace, claim.source)
            known = _followed(referred) if referred else None
            followed = follow(claim, self._parts.origins, workspace, known)
            facts |= _copied(referred) if referred else self._content(workspace, followed.files)
        return facts | {
            "source": followed.source,
            "storage": followed.storage,
            "run_id": followed.run_id,
            "model_id": followed.model_id,
        }

    def _referred(self, workspace: str, source: str) -> ModelVersion | None:
        """The registered version that a `models:/NAME/…` source means now. Raises NotFound."""
        if not source.startswith("models:"):
            return None
        uri = parse_model_uri(source)
        if not uri.name:
            return None
        if is_prompt(self.model(workspace, uri.name).tags):
            raise InvalidInput(f"Invalid model version source: {source!r} names a prompt, which is no model.")
        if uri.version:
            return self.version(workspace, uri.name, int(uri.version[:12]))
        with self._records.read() as connection:
            if uri.alias:
                number = load_aliases(connection, workspace, uri.name).get(uri.alias)
                conditions = [versions.c.number == number]
            else:
                conditions = [versions.c.stage == parse_stage(uri.stage)] if uri.stage else []
            here = (versions.c.model == uri.name, versions.c.deleted.is_(None), *conditions)
            found = load_versions(connection, workspace, *here)
        if not found:
            raise NotFound(f"{source!r} names no version.")
        return found[0]

    def attach_package(
        self,
        actor: Actor,
        model: str,
        number: int,
        *,
        package: str,
        signature: Mapping[str, Any],
        parity: Mapping[str, Any],
        environment: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Give a version that was registered from a source its package, once. The same package again changes nothing.

        `parity` also says which `runtime` the package is for, and the `reason`; the journal is told of both.

        Raises Conflict for a version that has another package, NotFound for a package that is not stored.
        """
        actor.require(Permission.MODELS_WRITE)
        check_digest("Package", package)
        if self._parts.blobs:
            self._parts.blobs.size(package)
        facts: dict[str, object] = {"package": package, "signature": encode("signature", signature)}
        facts["parity"] = encode("parity", parity)
        if environment is not None:
            facts["environment"] = encode("environment", environment)
        found = require_live(self.version(actor.workspace, model, number))
        if found.package == package:
            return found
        if found.package:
            raise Conflict(f"Version {number} of model {model!r} has a package already: {found.package}.")
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            if find_version(change.connection, change.workspace, model, number).package not in {"", package}:
                raise Conflict(f"Version {number} of model {model!r} was packaged by somebody else just now.")
            touch_version(change, model, number, **facts)
            told = {name: str(parity[name])[:2_000] for name in ("runtime", "reason") if name in parity}
            change.record("version.packaged", f"version/{model}/{number}", package=package, **told)
        return self.version(actor.workspace, model, number)

    def version(self, workspace: str, model: str, number: int, *, deleted: bool = False) -> ModelVersion:
        """One version, a deleted one only with `deleted`. Raises NotFound."""
        with self._records.read() as connection:
            return find_version(connection, workspace, model, number, deleted=deleted)

    def versions(self, workspace: str, model: str, *, deleted: bool = False) -> list[ModelVersion]:
        """Versions of a model, highest number first. Raises NotFound for an unknown model."""
        conditions = [] if deleted else [versions.c.deleted.is_(None)]
        with self._records.read() as connection:
            found = load_versions(connection, workspace, versions.c.model == model, *conditions)
            if not found:
                require_model(connection, workspace, model)
        return found

    def newest_version(self, workspace: str, model: str) -> ModelVersion | None:
        """The version with the highest number that is not deleted; None also for an unknown model."""
        here = (versions.c.workspace == workspace, versions.c.model == model, versions.c.deleted.is_(None))
        highest = select(func.max(versions.c.number)).where(*here).scalar_subquery()
        with self._records.read() as connection:
            found = load_versions(connection, workspace, versions.c.model == model, versions.c.number == highest)
        return found[0] if found else None

    def version_of_run(self, workspace: str, model: str, run_id: str) -> ModelVersion | None:
        """The version that a run registered as a package of a model, unless it is deleted."""
        if not run_id:
            return None
        with self._records.read() as connection:
            found = load_versions(connection, workspace, *_by_run(model, run_id))
        return found[0] if found else None

    def version_of_source(self, workspace: str, model: str, source: str) -> ModelVersion | None:
        """The version of a model that was registered from exactly this source, unless it is deleted; the newest of many."""
        here = (versions.c.model == model, versions.c.source == source, versions.c.deleted.is_(None))
        with self._records.read() as connection:
            found = load_versions(connection, workspace, *here)
        return found[0] if found else None

    def versions_from(self, workspace: str, source: str) -> list[ModelVersion]:
        """Versions of any model that were registered from exactly this source and are not purged."""
        with self._records.read() as connection:
            return load_versions(connection, workspace, versions.c.source == source, versions.c.purged.is_(None))

    def search_versions(
        self,
        workspace: str,
        clauses: Sequence[Clause] = (),
        orderings: Sequence[Ordering] = (),
        *,
        limit: int = 10_000,
        token: str = "",
    ) -> Page[ModelVersion]:
        """A page of the versions that meet all clauses, the last changed first or as ordered."""
        with self._records.read() as connection:
            return find_versions(connection, workspace, clauses, orderings, limit=limit, token=token)

    def describe_version(self, actor: Actor, model: str, number: int, description: str) -> ModelVersion:
        """Say what a version is."""
        check_text("A description", description)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            self._locked(change, model, number)
            touch_version(change, model, number, description=description)
            change.record("version.described", f"version/{model}/{number}")
        return self.version(actor.workspace, model, number)

    def tag_version(self, actor: Actor, model: str, number: int, key: str, value: str) -> None:
        """Set a tag, or replace its value."""
        check_own_tag(key)
        check_tag(key, value)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            self._locked(change, model, number)
            write_tags(change, version_tags, {"model": model, "number": number}, {key: value})
            change.record("version.tag_set", f"version/{model}/{number}", key=key, value=value[:MAX_TAG_TOLD])

    def untag_version(self, actor: Actor, model: str, number: int, key: str) -> bool:
        """Remove a tag; False where there was none, which changes nothing."""
        actor.require(Permission.MODELS_WRITE)
        check_own_tag(key)
        if key not in self.version(actor.workspace, model, number).tags:
            return False
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            self._locked(change, model, number)
            remove_tag(change, version_tags, {"model": model, "number": number}, key)
            change.record("version.tag_deleted", f"version/{model}/{number}", key=key)
        return True

    def delete_version(self, actor: Actor, model: str, number: int, *, reason: str = "") -> ModelVersion:
        """Hide a version and take its aliases and stage away. Its number is not given again; lineage and history stay."""
        check_text("A reason", reason)
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lost = hide_version(change, self._locked(change, model, number), reason)
            change.record("version.deleted", f"version/{model}/{number}", reason=reason, aliases=lost)
        return self.version(actor.workspace, model, number, deleted=True)

    def restore_version(self, actor: Actor, model: str, number: int) -> ModelVersion:
        """Show a deleted version again; its aliases and stage stay where they are. Raises Conflict when it is not deleted."""
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            found = require_live(self._locked(change, model, number, deleted=True))
            if found.deleted is None:
                raise Conflict(f"Version {number} of model {model!r} is not deleted.")
            touch_version(change, model, number, deleted=None)
            touch_model(change, model)
            change.record("version.restored", f"version/{model}/{number}")
        return self.version(actor.workspace, model, number)

    def purge_version(self, actor: Actor, model: str, number: int, *, reason: str) -> ModelVersion:
        """Destroy a deleted version's content: package, profile and files (unless another version shares them), facts, tags.

        A tombstone stays: number, digest, size, the ids it came from, who and when; so lineage, history and journal
        hold. Files that the platform keeps are removed even where a run or a logged model lists them; what lies in a
        store of others is theirs. Purging again changes nothing. Raises Conflict for a version that is not deleted or
        that an endpoint still knows.
        """
        if not reason.strip():
            raise InvalidInput(f"Purging version {number} of model {model!r} needs a reason; the journal keeps it.")
        check_text("A reason", reason)
        actor.require(Permission.MODELS_APPROVE)
        version = self.version(actor.workspace, model, number, deleted=True)
        if version.purged is not None:
            return version
        references = self._parts.references
        known = [*(references.of_version(actor.workspace, model, number) if references else ())]
        made = self.compositions(actor.workspace)
        known += [
            f"{each.model} version {each.number}, which is made of it" for each in made if (model, number) in each.parts
        ]
        if known:
            raise Conflict(f"Version {number} of model {model!r} is in use by {', '.join(known)}.")
        require_deleted(version)
        files = self._remove_files(actor, version)  # first: a killed purge is made again, and finds them gone
        with self._records.change(actor, Permission.MODELS_APPROVE) as change:
            found = find_version(change.connection, change.workspace, model, number, deleted=True)
            require_deleted(found)
            gone = unshared(change, {found.package, found.reference_profile}, found)
            empty_version(change, found)
            told = {"reason": reason, "digest": found.digest, "blobs": gone, "files": files}
            change.record("version.purged", f"version/{model}/{number}", **told)
            self._delete_blobs(gone)
        return self.version(actor.workspace, model, number, deleted=True)

    def _delete_blobs(self, digests: Sequence[str]) -> None:
        if self._parts.blobs:
            self._parts.blobs.delete(digests)

    def _locked(self, change: Change, model: str, number: int, *, deleted: bool = False) -> ModelVersion:
        lock_model(change, model)
        return find_version(change.connection, change.workspace, model, number, deleted=deleted)

    # -- lineage -------------------------------------------------------------------------------------------------

    def lineage(self, workspace: str, model: str, number: int) -> Lineage:
        """Where a version came from and what points to it, also for a deleted version. Raises NotFound."""
        return version_lineage(self.version(workspace, model, number, deleted=True))

    def versions_of_snapshot(self, workspace: str, snapshot: str) -> list[ModelVersion]:
        """Versions trained on a snapshot, deleted ones too: lineage read backwards."""
        with self._records.read() as connection:
            return load_versions(connection, workspace, versions.c.snapshot == snapshot)

    def versions_of_package(self, workspace: str, package: str) -> list[ModelVersion]:
        """Versions that have an ONNX package, deleted ones too."""
        with self._records.read() as connection:
            return load_versions(connection, workspace, versions.c.package == package)

    def versions_of_content(self, workspace: str, digest: str) -> list[ModelVersion]:
        """Versions with the same content, deleted ones too."""
        with self._records.read() as connection:
            return load_versions(connection, workspace, versions.c.digest == digest)

    def versions_of_source(self, workspace: str, *, run_id: str = "", model_id: str = "") -> list[ModelVersion]:
        """Versions that a run, or a logged model, gave, deleted ones too: lineage read backwards."""
        wanted = versions.c.model_id == model_id if model_id else versions.c.run_id == run_id
        with self._records.read() as connection:
            return load_versions(connection, workspace, wanted)


def _followed(version: ModelVersion) -> Followed:
    """What a copy of a version points at; a version that is a package has no files elsewhere."""
    source = f"models:/{version.model}/{version.number}"
    return Followed(source, version.storage, version.storage, version.run_id, version.model_id)


def _copied(version: ModelVersion) -> dict[str, object]:
    facts: dict[str, object] = {name: encode(name, getattr(version, name)) for name in DOCUMENTS}
    return facts | {name: getattr(version, name) for name in (*MEASURED, "content_state")}


def _arrived(record: Mapping[str, Any]) -> tuple[dict[str, object], dict[str, str]]:
    """What of a record from elsewhere holds here, and what becomes tags."""
    facts: dict[str, object] = dict.fromkeys((*MEASURED, "run_id", "model_id"), "")
    for name in DOCUMENTS:
        document = record.get(name, {})
        if not isinstance(document, Mapping):
            raise InvalidInput(f"The record's {name} must be a JSON object.")
        facts[name] = encode(name, document)
    for name, limit in (("description", MAX_TEXT_LENGTH), ("code_version", MAX_CODE_VERSION_LENGTH)):
        facts[name] = check_text(f"The record's {name}", str(record.get(name, "")), limit)
    tags = {f"origin.{name}": str(record.get(name, "")) for name in ("model", "number", "run_id", "snapshot", "digest")}
    given = record.get("tags", {})
    kept = {str(key): str(value) for key, value in given.items()} if isinstance(given, Mapping) else {}
    kept = {key: value for key, value in kept.items() if key not in OWN_TAGS}  # measured on other machines
    for key, value in (kept | tags).items():
        check_tag(key, value)
    return facts, kept | {key: value for key, value in tags.items() if value}


def _by_run(model: str, run_id: str) -> tuple[Any, ...]:
    native = (versions.c.source == "", versions.c.deleted.is_(None))
    return versions.c.model == model, versions.c.run_id == run_id, *native


def _register(change: Change, model: str, facts: Mapping[str, object]) -> ModelVersion:
    if ensure_model(change, model):
        change.record("model.created", f"model/{model}")
    lock_model(change, model)
    if facts["run_id"]:
        registered = load_versions(change.connection, change.workspace, *_by_run(model, str(facts["run_id"])))
        if registered:  # by another thread since we looked; the entry tells that it was asked for twice
            change.record("version.confirmed", f"version/{model}/{registered[0].number}")
            return registered[0]
    return _insert(change, model, facts, {})


def _insert(change: Change, model: str, facts: Mapping[str, object], tags: Mapping[str, str]) -> ModelVersion:
    """The next number; the caller holds the model's lock."""
    number = touch_model(change, model, newest=models.c.newest + 1)
    row = {
        **facts,
        "workspace": change.workspace,
        "model": model,
        "number": number,
        "created": change.time,
        "updated": change.time,
        "created_by": change.actor.identity,
    }
    change.execute(insert(versions).values(row))
    write_tags(change, version_tags, {"model": model, "number": number}, tags)
    told = {name: facts[name] for name in ("digest", "run_id", "snapshot", "code_version")}
    told |= {name: facts[name] for name in ("source", "model_id") if facts.get(name)}
    change.record("version.registered", f"version/{model}/{number}", **told)
    return find_version(change.connection, change.workspace, model, number)
