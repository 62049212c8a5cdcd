"""Projects that the platform acts for by itself: the last project file that somebody applied, as it was then."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sqlalchemy import BigInteger, Column, Row, String, Table, Text, insert, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import NotFound
from bailiwick.pipelines.project import Project, parse_project
from bailiwick.pipelines.project_secrets import passwords_of, require_no_new_password
from bailiwick.store.database import metadata
from bailiwick.store.records import Records

projects = Table(
    "projects",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("folder", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("applied", BigInteger, nullable=False),
)


class ProjectService:
    """Keeps one project file a name; the file in git stays the source, this is what a worker acts by."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def apply(self, actor: Actor, project: Project) -> Project:
        """Keep the project as it is now. Applying the same file from the same folder changes nothing.

        Raises InvalidInput for a password that is not kept already.
        """
        actor.require(Permission.PIPELINES_RUN)
        folder = str(project.folder.resolve())
        row = self._row(actor.workspace, project.name)
        if row is not None and (row.digest, row.folder) == (project.digest, folder):
            return _project(row)
        if passwords_of(project):
            require_no_new_password(project, _project(row) if row is not None else None)
        values = {
            "folder": folder,
            "document": canonical_json(project.document()).decode(),
            "digest": project.digest,
        }
        with self._records.change(actor, Permission.PIPELINES_RUN) as change:
            mine = (projects.c.workspace == change.workspace, projects.c.name == project.name)
            changed = change.execute(update(projects).where(*mine).values(**values, applied=change.time))
            if not changed.rowcount:
                row_values = {"workspace": change.workspace, "name": project.name, "applied": change.time, **values}
                change.execute(insert(projects).values(row_values))
            change.record("project.applied", f"project/{project.name}", digest=project.digest)
        return self.project(actor.workspace, project.name)

    def project(self, workspace: str, name: str) -> Project:
        """The project as it was last applied. Raises NotFound."""
        row = self._row(workspace, name)
        if row is None:
            raise NotFound.of("Project", name, [known.name for known in self.projects(workspace)])
        return _project(row)

    def projects(self, workspace: str) -> list[Project]:
        """Every applied project, by name."""
        query = select(projects).where(projects.c.workspace == workspace).order_by(projects.c.name)
        with self._records.read() as connection:
            return [_project(row) for row in connection.execute(query)]

    def _row(self, workspace: str, name: str) -> Row | None:  # type: ignore[type-arg]
        query = select(projects).where(projects.c.workspace == workspace, projects.c.name == name)
        with self._records.read() as connection:
            return connection.execute(query).first()


def _project(row: Row) -> Project:  # type: ignore[type-arg]
    return _parsed(row.name, row.document, row.folder)


@lru_cache(maxsize=64)
def _parsed(name: str, document: str, folder: str) -> Project:
    """Projects are frozen, and asked for many times between two changes."""
    return parse_project(document, name=f"project {name}", folder=Path(folder))
