"""Registered models of an MLflow server: versions under their numbers, then aliases and stages through the same gate as ever.

What a name pointed to elsewhere is history of another system. It is set here by whoever imports, with the reason
"imported from …", and where a policy of this installation guards the name, the approval it wants is requested instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bailiwick.adapters.mlflow import answers
from bailiwick.adapters.mlflow.answers import RemoteRegistered
from bailiwick.adapters.mlflow.census import Report
from bailiwick.adapters.mlflow.connection import Record
from bailiwick.adapters.mlflow.remote import RemoteMlflow
from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.promotion import promote, promote_to_stage
from bailiwick.registry.model import check_model_name
from bailiwick.tracking.imports.model import Kind, Mark

VERSIONS_AT_ONCE = 500


class RegistryMigration:
    """The registry's part of a migration; what it finds goes into the report it is given."""

    def __init__(self, platform: Platform, actor: Actor, remote: RemoteMlflow, report: Report, prefix: str) -> None:
        self._platform, self._actor, self._remote = platform, actor, remote
        self._report, self._prefix = report, prefix
        self._workspace, self._source = actor.workspace, remote.url
        self._reason = f"imported from {remote.url}"
        self._seen: dict[str, RemoteRegistered] = {}
        self._names: dict[str, str] = {}

    def taken(self, names: Sequence[str]) -> list[str]:
        """Those of the models whose name here is another's. Raises InvalidInput where a name here would be none.

        To be asked first: what moved before keeps the name it got then, whatever the prefix is now.
        """
        marks = self._platform.imports.marks(self._workspace, self._source, Kind.MODEL)
        known = {each.name for each in self._platform.registry.models(self._workspace)}
        taken = []
        for name in names:
            local = marks[name].local if name in marks else f"{self._prefix}{name}"
            self._names[name] = check_model_name(local)
            if local in known and name not in marks:
                taken.append(name)
        return taken

    def model(self, name: str, *, write: bool) -> None:
        """Move one model, or only look at it."""
        found = self._read(name, write=write)
        there = self._report.there
        there.registered_models += 1
        there.model_versions += len(found.versions)
        there.aliases += len(found.aliases)
        there.stages += len(found.stages)
        self._seen[name] = found
        if not write:
            return
        mark = self._platform.imports.marks(self._workspace, self._source, Kind.MODEL, [name]).get(name)
        if mark is not None and mark.digest == found.digest and not self._report.new_files:
            return  # files that came just now may be those of its versions
        local = self._names[name]
        try:
            self._mark(Kind.MODEL, name, local)
            self._move(local, found)
        except (InvalidInput, LimitExceeded, Conflict) as refusal:
            self._report.note(f"registered model {name}", refusal.message)
            return
        pointed = [self._aliases(local, found), self._stages(local, found)]
        if all(pointed):
            self._mark(Kind.MODEL, name, local, found.digest)

    def count_here(self, names: Sequence[str]) -> None:
        """Count what of the models is here as it is there: versions by number, aliases and stages where they are."""
        here = self._report.here
        known = {each.name for each in self._platform.registry.models(self._workspace)}
        marks = self._platform.imports.marks(self._workspace, self._source, Kind.MODEL)
        for name in names:
            local, found = self._names[name], self._seen.get(name)
            if found is None or local not in known or name not in marks:
                continue
            versions = {each.number: each for each in self._platform.registry.versions(self._workspace, local)}
            aliases = self._platform.registry.aliases(self._workspace, local)
            here.registered_models += 1
            here.model_versions += len(versions.keys() & {each.number for each in found.versions})
            here.aliases += sum(aliases.get(alias) == number for alias, number in found.aliases.items())
            here.stages += sum(
                number in versions and versions[number].stage == stage for number, stage in found.stages.items()
            )

    def _read(self, name: str, *, write: bool) -> RemoteRegistered:
        """A model as it is to be here. A version whose files cannot be found here is left out, and noted."""
        versions, lost = self._remote.model_versions(name), 0
        kept: list[tuple[Record, tuple[str, str]]] = []
        for each in versions:
            try:
                kept.append((each, self._placed(each) if write else ("", "")))
            except Conflict as refusal:
                lost += 1
                self._report.note(f"version {answers.text_of(each, 'version')} of {name}", str(refusal))
        self._report.there.model_versions += lost
        return answers.registered(self._remote.registered_model(name), kept)

    def _move(self, local: str, found: RemoteRegistered) -> None:
        registry = self._platform.registry
        facts = {"description": found.description, "tags": found.tags, "created": found.created}
        registry.import_model(self._actor, local, origin=self._source, **facts)  # type: ignore[arg-type]
        for start in range(0, len(found.versions), VERSIONS_AT_ONCE):
            some = found.versions[start : start + VERSIONS_AT_ONCE]
            registry.import_versions(self._actor, local, some, origin=self._source)

    def _aliases(self, local: str, found: RemoteRegistered) -> bool:
        """Point aliases as they point there, unless they did when they were moved: people here may have moved them since."""
        marks = self._marks(Kind.ALIAS, [f"{found.name}@{alias}" for alias in found.aliases])
        whole = True
        for alias, number in found.aliases.items():
            key = f"{found.name}@{alias}"
            if key in marks and marks[key].local == str(number):
                continue
            try:
                promote(self._platform, self._actor, local, number, alias, reason=self._reason)
            except (NotAllowed, InvalidInput, NotFound) as refusal:
                whole = False
                self._report.note(f"alias {alias} of {local}", str(refusal))
                continue
            self._mark(Kind.ALIAS, key, str(number))
        return whole

    def _stages(self, local: str, found: RemoteRegistered) -> bool:
        """Put versions at the stages they have there, in order of their numbers; the same rule as for aliases."""
        marks = self._marks(Kind.STAGE, [f"{found.name}/{number}" for number in found.stages])
        whole = True
        for number, stage in found.stages.items():
            key = f"{found.name}/{number}"
            if key in marks and marks[key].local == stage:
                continue
            try:
                promote_to_stage(self._platform, self._actor, local, number, stage, reason=self._reason)
            except (NotAllowed, InvalidInput, NotFound) as refusal:
                whole = False
                self._report.note(f"stage {stage} of {local} version {number}", str(refusal))
                continue
            self._mark(Kind.STAGE, key, stage)
        return whole

    def _marks(self, kind: Kind, ids: Sequence[str]) -> Mapping[str, Mark]:
        return self._platform.imports.marks(self._workspace, self._source, kind, ids)

    def _mark(self, kind: Kind, key: str, local: str, digest: str = "") -> None:
        self._platform.imports.mark(self._actor, self._source, kind, [Mark(key, local, digest)])

    # -- where versions come from --------------------------------------------------------------------------------

    def _placed(self, record: Record) -> tuple[str, str]:
        """A version's source and storage as they are from here: what the server passed on has another place now.

        Raises Conflict where that place is unknown.
        """
        source = answers.text_of(record, "source")
        if not source.startswith("models:/"):
            place = self._place(source)
            return place, place
        if answers.model_of(source):
            return source, self._place(source)
        target = self._remote.download_uri(answers.text_of(record, "name"), answers.text_of(record, "version"))
        return self._renamed(source), self._place(target)

    def _renamed(self, source: str) -> str:
        rest = source.removeprefix("models:/")
        name = rest.partition("/")[0] if "/" in rest else rest.rpartition("@")[0] or rest
        return f"models:/{self._names.get(name, f'{self._prefix}{name}')}{rest[len(name) :]}"

    def _place(self, uri: str) -> str:
        if answers.model_of(uri):
            return self._storage_of_model(answers.model_of(uri)) or uri
        path = self._remote.proxied(uri)
        if path is None:
            return uri
        parts = path.split("/")
        for place in [place for place, part in enumerate(parts) if part == "artifacts" and place]:
            owner = parts[place - 1]  # a run or a logged model: its folder is named before its artifacts
            storage = self._storage_of_run(owner) or self._storage_of_model(owner)
            if storage:
                return "/".join([storage.rstrip("/"), *parts[place + 1 :]])
        raise Conflict(
            f"Its files at {uri[:300]!r} belong to no run and no logged model that was moved here.",
            hint="Move their experiment first.",
        )

    def _storage_of_run(self, run_id: str) -> str:
        try:
            return self._platform.tracking.run_info(self._workspace, run_id).artifact_uri if run_id else ""
        except NotFound:
            return ""

    def _storage_of_model(self, model_id: str) -> str:
        try:
            found = self._platform.logged_models.model(self._workspace, model_id, deleted=True) if model_id else None
        except NotFound:
            return ""
        return found.artifact_location if found else ""
