"""Reading the journal: the feed of one workspace, single entries, the latest checkpoint."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, func, select

from bailiwick.core.canonical import from_canonical
from bailiwick.core.errors import Corrupted, NotFound
from bailiwick.store.database import Database
from bailiwick.store.journal.finding import newest_first, row_of, waiting
from bailiwick.store.journal.model import Checkpoint, Entry
from bailiwick.store.journal.tables import checkpoints, entries

MAX_PAGE = 1000


class JournalReader:
    """Reads only; who may read is decided where it is called."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(
        self,
        workspace: str,
        *,
        limit: int = 50,
        before: int | None = None,
        resource: str | None = None,
        action: str | None = None,
        identity: str | None = None,
    ) -> list[Entry]:
        """Newest first, at most 1000; pass the last `number` as `before` for the next page. Filters match whole values."""
        wanted = {"resource": resource, "action": action, "identity": identity}
        here = [entries.c.workspace == workspace]
        here += [entries.c[column] == value for column, value in wanted.items() if value is not None]
        if before is not None:
            here.append(entries.c.number < before)
        with self._database.read() as connection:
            found = newest_first(connection, *here, limit=max(0, min(limit, MAX_PAGE)))
        return [entry_of(row) for row in found]

    def entry(self, workspace: str, entry_id: str) -> Entry:
        """Raises NotFound."""
        with self._database.read() as connection:
            row = row_of(connection, entry_id, entries.c.workspace == workspace)
        if row is None:
            raise NotFound.of("Journal entry", entry_id)
        return entry_of(row)

    def head(self) -> int:
        """Number of the newest entry of any workspace, 0 for an empty journal: it moves exactly when something changed."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(entries.c.number))) or 0

    def is_waiting(self, count: int = 1) -> bool:
        """Whether so many entries have no place in the tree yet."""
        query = select(entries.c.id).where(waiting(self._database.dialect)).offset(count - 1).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint, or None before the first entries were integrated."""
        with self._database.read() as connection:
            row = connection.execute(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).one_or_none()
        return None if row is None else Checkpoint(row.size, row.root, row.time, row.note)


def entry_of(row: Row[Any]) -> Entry:
    """The entry of a whole row. Raises Corrupted when `detail` is no longer a JSON object."""
    try:
        detail = from_canonical(row.detail)
    except ValueError:
        detail = None
    if not isinstance(detail, dict):
        raise Corrupted(f"The detail of journal entry {row.number} ({row.id}) is not a JSON object.")
    return Entry(
        number=row.number,
        id=row.id,
        workspace=row.workspace,
        time=row.time,
        identity=row.identity,
        actor=row.actor,
        action=row.action,
        resource=row.resource,
        detail=detail,
        salt=bytes(row.salt),
        leaf_index=row.leaf_index,
    )
