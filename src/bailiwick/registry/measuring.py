"""What is known of a version's files: found out when it is made where that is quick, else by whoever keeps the duties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import or_, select, tuple_

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.core.errors import BailiwickError, CheckFailed
from bailiwick.registry.catalogue import ModelVerbs
from bailiwick.registry.contents import content_digest, describe_files
from bailiwick.registry.model import ContentState, ModelVersion
from bailiwick.registry.pointers import touch_version
from bailiwick.registry.ports import Reach, StoredFile
from bailiwick.registry.rows import encode, find_version, load_versions, lock_model
from bailiwick.registry.sources import files_of
from bailiwick.registry.tables import versions

ARCHIVE = "archive:"
"""What the source of a version begins with that came as a file from elsewhere."""
GIVE_UP_MS = MILLISECONDS_PER_DAY
"""Files may come after the version that they are; so much later they are taken to be missing."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A version whose files nobody has looked at yet. `created` comes first in the order in which they are read."""

    created: int
    workspace: str
    model: str
    number: int


class ContentVerbs(ModelVerbs):
    """What is done with the files of versions; `RegistryService` is whom to ask."""

    def unread(self, *, after: Unread | None = None, limit: int = 100) -> list[Unread]:
        """Versions of every workspace whose files are still to be read, the first made first; pass the last for more."""
        order = tuple(versions.c[name] for name in Unread.__slots__)
        here = [versions.c.content_state == ContentState.PENDING, versions.c.purged.is_(None)]
        if after is not None:
            here.append(tuple_(*order) > tuple_(*(getattr(after, name) for name in Unread.__slots__)))
        query = select(*order).where(*here).order_by(*order).limit(limit)
        with self._records.read() as connection:
            return [Unread(**row) for row in connection.execute(query).mappings()]

    def measure(self, actor: Actor, model: str, number: int) -> ModelVersion:
        """Read a version's files and note what they are: digest, size, flavours, signature, environment.

        It takes as long as reading them does, and holds nothing meanwhile. What is known already stays; files that are
        not there are looked for again until the version is a day old. Raises NotFound.
        """
        actor.require(Permission.MODELS_WRITE)
        version = self._version(actor.workspace, model, number)
        if version.content_state != ContentState.PENDING or version.purged is not None:
            return version
        facts = self._read(actor.workspace, self._folder_of(version))
        late = self._records.clock() - version.created > GIVE_UP_MS
        if facts["content_state"] == ContentState.PENDING:
            if not late:
                return version
            facts = {"content_state": ContentState.MISSING}
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            lock_model(change, model)
            now = find_version(change.connection, change.workspace, model, number, deleted=True)
            if now.content_state == ContentState.PENDING and now.purged is None:
                touch_version(change, model, number, **unless_known(facts, now))
            told = {name: facts[name] for name in ("digest", "size_bytes", "content_state") if name in facts}
            change.record("version.measured", f"version/{model}/{number}", **told)
        return self._version(actor.workspace, model, number)

    def check_content(self, version: ModelVersion) -> None:
        """Raises CheckFailed when the files of a version are no longer those that were registered."""
        catalog, folder = self._parts.artifacts, self._folder_of(version)
        files = catalog.files(version.workspace, folder) if catalog and folder else None
        now = content_digest(files) if files else ""
        if now != version.digest:
            raise CheckFailed(f"The files are not those that were registered: their digest is {now or 'none'} now.")

    def files(self, version: ModelVersion) -> list[StoredFile]:
        """The files of a version that was registered from a source, by path; none where they are out of reach."""
        catalog, uri = self._parts.artifacts, self._folder_of(version)
        return list(catalog.files(version.workspace, uri) or ()) if catalog and uri else []

    def content(self, version: ModelVersion) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The files of a version that was registered from a source, where the platform itself keeps them: path and bytes."""
        catalog = self._parts.artifacts
        uri = self._folder_of(version)
        if catalog and uri:
            for file in catalog.files(version.workspace, uri) or ():
                yield file.path, catalog.read(version.workspace, uri, file.path)

    def _remove_files(self, actor: Actor, version: ModelVersion) -> int:
        """Remove the files of a version that no other version has, and say how many."""
        catalog, folder = self._parts.artifacts, self._folder_of(version)
        if catalog is None or not folder or catalog.reach(version.workspace, folder) is Reach.NONE:
            return 0
        same = [versions.c[name] == getattr(version, name) for name in ("run_id", "model_id", "digest", "storage")]
        said = [each for each in same if each.right.value]
        with self._records.read() as connection:
            near = load_versions(connection, version.workspace, or_(*said), versions.c.purged.is_(None))
        others = [each for each in near if (each.model, each.number) != (version.model, version.number)]
        shared = any(each.digest == version.digest != "" or _overlap(self._folder_of(each), folder) for each in others)
        if version.source.startswith(ARCHIVE):  # what came along with the files goes with them
            folder = folder.rpartition("/")[0]
        return 0 if shared else catalog.remove(actor, folder)

    def _version(self, workspace: str, model: str, number: int) -> ModelVersion:
        with self._records.read() as connection:
            return find_version(connection, workspace, model, number, deleted=True)

    def _folder_of(self, version: ModelVersion) -> str:
        return files_of(version.storage, self._parts.origins, version.workspace) if version.storage else ""

    def _content(self, workspace: str, folder: str) -> dict[str, object]:
        """What can be told of files at once; PENDING where they have to be read first, or are still to come."""
        catalog = self._parts.artifacts
        reach = catalog.reach(workspace, folder) if catalog and folder else Reach.NONE
        if reach is Reach.READ:
            return {"content_state": ContentState.PENDING}
        return self._read(workspace, folder)

    def _read(self, workspace: str, folder: str) -> dict[str, object]:
        catalog = self._parts.artifacts
        if catalog is None or not folder or catalog.reach(workspace, folder) is Reach.NONE:
            return {"content_state": ContentState.ELSEWHERE}
        try:
            files = catalog.files(workspace, folder)
            if not files:
                return {"content_state": ContentState.PENDING}
            described = describe_files(files, partial(catalog.read, workspace, folder))
        except BailiwickError:  # they change just now, or a store does not answer: the duty looks again
            return {"content_state": ContentState.PENDING}
        documents = {name: encode(name, described.pop(name)) for name in ("content", "signature", "environment")}
        return {**described, **documents, "content_state": ContentState.KNOWN}


def _overlap(one: str, other: str) -> bool:
    """Whether one folder is the other, or lies in it."""
    first, second = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return bool(one) and (first.startswith(second) or second.startswith(first))


def unless_known(facts: Mapping[str, Any], version: ModelVersion) -> dict[str, Any]:
    """What was measured at packaging or training is not overwritten by what a file says."""
    known = {name for name in ("signature", "environment") if getattr(version, name)}
    return {name: value for name, value in facts.items() if name not in known}
