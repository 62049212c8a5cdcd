"""Finding entries: those with a place by the indexes, those that wait for one by their number.

On SQLite numbers are given in the order of commits and places in the order of numbers, so what waits is what was appended
since the last entry that was placed. On PostgreSQL a transaction that took a number early may end late, so there the
indexes hold every entry, and are asked for all of them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from bailiwick.store.journal.tables import entries

PLACED = entries.c.leaf_index.is_not(None)
"""An entry has its place in the tree. A query that looks for one by its id says so, for the sake of SQLite's indexes."""


def waiting(dialect: str) -> ColumnElement[bool]:
    """An entry has no place yet."""
    without = entries.c.leaf_index.is_(None)
    if dialect != "sqlite":
        return without
    newest = select(entries.c.number).where(PLACED).order_by(entries.c.leaf_index.desc()).limit(1)
    return and_(entries.c.number > func.coalesce(newest.scalar_subquery(), 0), without)


def newest_first(connection: Connection, *conditions: ColumnElement[bool], limit: int) -> list[Row[Any]]:
    """Rows that meet the conditions, by number, descending."""
    query = select(entries).where(*conditions).order_by(entries.c.number.desc())
    if connection.dialect.name != "sqlite":
        return list(connection.execute(query.limit(limit)))
    found = list(connection.execute(query.where(waiting("sqlite")).limit(limit)))
    if len(found) < limit:
        found += connection.execute(query.where(PLACED).limit(limit - len(found)))
    return found


def row_of(connection: Connection, entry_id: str, *conditions: ColumnElement[bool]) -> Row[Any] | None:
    """The row of the entry with that id, None where there is none."""
    found = newest_first(connection, entries.c.id == entry_id, *conditions, limit=1)
    return found[0] if found else None
