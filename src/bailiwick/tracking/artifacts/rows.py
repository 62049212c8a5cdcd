"""Rows of artifacts, read and written. All that lies below a folder is one range of the primary key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from bailiwick.core.errors import Conflict
from bailiwick.store.records import Change
from bailiwick.tracking.artifacts.model import Artifact, Entry
from bailiwick.tracking.artifacts.tables import artifacts

_AFTER_SLASH = "0"
"""The letter after `/`: `a0` is the first text past everything that begins with `a/`."""


def save(change: Change, place: str, artifact: Artifact) -> None:
    """Write the row, in place of one for the same path."""
    folder, name = split(artifact.path)
    key = {"workspace": change.workspace, "place": place, "folder": folder, "name": name}
    facts = {
        "digest": artifact.digest,
        "size_bytes": artifact.size_bytes,
        "mark": artifact.mark,
        "time": artifact.time,
        "created_by": artifact.created_by,
    }
    insert = sqlite.insert if change.connection.dialect.name == "sqlite" else postgresql.insert
    change.execute(insert(artifacts).values(**key, **facts).on_conflict_do_update(index_elements=list(key), set_=facts))


def load(connection: Connection, workspace: str, place: str, path: str) -> Artifact | None:
    """The row of one path."""
    row = connection.execute(select(artifacts).where(*_here(workspace, place), _is(path))).first()
    return _artifact(row) if row else None


def load_below(connection: Connection, workspace: str, place: str, folder: str) -> list[Artifact]:
    """Rows of every file below a folder, by path; paths are whole."""
    rows = connection.execute(select(artifacts).where(*_here(workspace, place), *_below(folder)))
    return sorted(map(_artifact, rows), key=lambda artifact: artifact.path)


def erase(change: Change, place: str, path: str) -> list[Artifact]:
    """Delete the row of a file, or those of every file below a folder, and return them, by path."""
    gone = or_(_is(path), and_(*_below(path)))
    statement = delete(artifacts).where(*_here(change.workspace, place), gone).returning(artifacts)
    return sorted(map(_artifact, change.execute(statement)), key=lambda artifact: artifact.path)


def entries(connection: Connection, workspace: str, place: str, folder: str) -> list[Entry]:
    """Files and folders right below a folder, by path."""
    prefix = f"{folder}/" if folder else ""
    columns = select(artifacts.c.name, artifacts.c.size_bytes)
    rows = connection.execute(columns.where(*_here(workspace, place), artifacts.c.folder == prefix))
    found = [Entry(row.name, is_folder=False, size_bytes=row.size_bytes) for row in rows]
    found += [Entry(name, is_folder=True) for name in _folders(connection, workspace, place, folder)]
    return sorted(found, key=lambda entry: entry.path)


def check_free(change: Change, place: str, path: str) -> None:
    """Raises Conflict when the path is a folder, or a part of it is a file: no file system could hold both."""
    below = select(artifacts.c.name).where(*_here(change.workspace, place), *_below(path)).limit(1)
    if change.execute(below).first():
        raise Conflict(f"Artifact path {path!r} is a folder.", hint="Choose another name, or delete the folder first.")
    parts = path.split("/")
    parents = ["/".join(parts[:count]) for count in range(1, len(parts))]
    if not parents:
        return
    query = select(artifacts).where(*_here(change.workspace, place), or_(*map(_is, parents))).limit(1)
    found = change.execute(query).first()
    if found:
        raise Conflict(
            f"Artifact path {path!r} leads through {found.folder + found.name!r}, which is a file.",
            hint="Choose another name, or delete the file first.",
        )


def unread(connection: Connection, workspace: str, place: str, limit: int) -> list[Artifact]:
    """Rows of files whose digest is not known yet, oldest first."""
    query = select(artifacts).where(*_here(workspace, place), artifacts.c.digest == "")
    return [_artifact(row) for row in connection.execute(query.order_by(artifacts.c.time).limit(limit))]


def note_digest(change: Change, place: str, artifact: Artifact, digest: str) -> bool:
    """Note the digest of a file that has still the mark it was read with; whether it has."""
    here = (*_here(change.workspace, place), _is(artifact.path))
    unchanged = (artifacts.c.mark == artifact.mark, artifacts.c.digest == "")
    return bool(change.execute(update(artifacts).where(*here, *unchanged).values(digest=digest)).rowcount)


def forget(change: Change, place: str, artifact: Artifact) -> None:
    """Delete the row of a file that is not what the row says any more."""
    here = (*_here(change.workspace, place), _is(artifact.path))
    change.execute(delete(artifacts).where(*here, artifacts.c.mark == artifact.mark))


def referenced(connection: Connection, place: str, digests: Iterable[str]) -> set[str]:
    """Those of the digests that an artifact of any workspace has."""
    query = select(artifacts.c.digest).where(artifacts.c.place == place, artifacts.c.digest.in_(list(digests)))
    return set(connection.scalars(query.distinct()))


def lock_digests(change: Change, digests: Iterable[str]) -> None:
    """Until the transaction ends, no other may begin to refer to these blobs, or remove them. SQLite has one writer anyway."""
    if change.connection.dialect.name == "postgresql":
        for digest in sorted(digests):
            change.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(digest[:15], 16)})


def split(path: str) -> tuple[str, str]:
    """`a/b/c` as `a/b/` and `c`."""
    folder, slash, name = path.rpartition("/")
    return folder + slash, name


def _here(workspace: str, place: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return artifacts.c.workspace == workspace, artifacts.c.place == place


def _is(path: str) -> ColumnElement[bool]:
    folder, name = split(path)
    return and_(artifacts.c.folder == folder, artifacts.c.name == name)


def _below(folder: str) -> tuple[ColumnElement[bool], ...]:
    if not folder:
        return ()
    return artifacts.c.folder >= f"{folder}/", artifacts.c.folder < f"{folder}{_AFTER_SLASH}"


def _folders(connection: Connection, workspace: str, place: str, folder: str) -> list[str]:
    """Names of the folders right below one, skipping from each to the next in the index, however much they hold."""
    prefix = f"{folder}/" if folder else ""
    length = len(prefix)
    position = func.instr if connection.dialect.name == "sqlite" else func.strpos

    def first(*conditions: ColumnElement[bool]) -> Select[Any]:
        query = select(artifacts.c.folder).where(*_here(workspace, place), *_below(folder), *conditions)
        return query.order_by(artifacts.c.folder).limit(1)

    found = select(first(artifacts.c.folder > prefix).scalar_subquery().label("folder")).cte("found", recursive=True)
    rest = func.substr(found.c.folder, length + 1)
    past = func.substr(found.c.folder, 1, length + position(rest, "/") - 1) + _AFTER_SLASH
    following = first(artifacts.c.folder >= past).correlate(found).scalar_subquery()
    found = found.union_all(select(following).where(found.c.folder.is_not(None)))
    query = select(found.c.folder).where(found.c.folder.is_not(None))
    return [value[length:].partition("/")[0] for value in connection.scalars(query)]


def _artifact(row: Row[Any]) -> Artifact:
    return Artifact(row.folder + row.name, row.size_bytes, row.digest, row.time, row.created_by, row.mark)
