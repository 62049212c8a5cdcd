"""SQL: SQLite in WAL mode or PostgreSQL, through SQLAlchemy Core. No ORM, so every query is one that was written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from bailiwick.core.errors import Corrupted, InvalidInput, MissingExtra, Unavailable
from bailiwick.store.sqlite import SqliteFile, open_sqlite

_shared: ContextVar[Connection | None] = ContextVar("shared", default=None)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every domain's `tables.py` declares its tables here; migrations are compared with it in a test."""


class Database:
    """A pool of connections with two ways in: `read` (a snapshot) and `write` (serialised, durable when it returns)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._file = SqliteFile(self.engine) if self.dialect == "sqlite" else None

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only look at committed data; never waits for a writer.

        Raises Unavailable when the database cannot be opened or reached, Corrupted when it is none.
        """
        shared = _shared.get()
        if shared is not None and shared.engine is self.engine:
            yield shared
            return
        opened = self.engine.begin() if self._file is None else self._file.reading()
        with _translated("cannot be read"), opened as connection:
            yield connection

    @contextmanager
    def read_together(self) -> Iterator[None]:
        """In this block, every `read` looks at the same moment, and opens nothing of its own.

        Not for blocks that yield to callers, whose reads would join in, nor for those that also write: a write is not seen.
        """
        with self.read() as connection:
            token = _shared.set(connection)
            try:
                yield
            finally:
                _shared.reset(token)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: everything or nothing. On SQLite the write lock is taken at once, so no upgrade can deadlock.

        Raises Unavailable when the disk is full, the database is locked past 30 s, or the server is gone; Busy on SQLite,
        for a caller who does not wait.
        """
        opened = self.engine.begin() if self._file is None else self._file.writing()
        with _translated("refused the write"), opened as connection:
            yield connection

    @contextmanager
    def write_unchecked(self) -> Iterator[Connection]:
        """As `write`, with foreign keys unchecked on SQLite, so that a table others refer to can be made anew.

        For migrations: a table that is dropped while they are checked takes with it all rows that refer to it. Another
        process that is at the same is waited for, for ten minutes.
        """
        opened = self.engine.begin() if self._file is None else self._file.rebuilding()
        with _translated("refused the write"), opened as connection:
            yield connection

    def close(self) -> None:
        """Give back every pooled connection."""
        if self._file is not None:
            self._file.close()
        self.engine.dispose()


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).strip().partition("\n")[0].rstrip(".")
        raise Unavailable(f"The database {what}: {reason}.", hint=_operational_hint(reason)) from error
    except DatabaseError as error:
        reason = str(error.orig)
        if "not a database" not in reason and "malformed" not in reason:
            raise
        raise Corrupted(f"The database {what}: {reason}.", hint="Restore a backup of it.") from error


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput(
            f"database_url {url!r} is not a URL.", hint="Use sqlite:///path/to/file.db or postgresql://user@host/name."
        ) from error
    if parsed.drivername in {"postgresql", "postgres"}:
        return _postgres(parsed.set(drivername="postgresql+psycopg"))
    if parsed.get_backend_name() == "sqlite":
        return open_sqlite(parsed)
    raise InvalidInput.choice("database_url scheme", parsed.drivername, ["sqlite", "postgresql"])


def _postgres(url: Any) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10)
    except ModuleNotFoundError as error:
        raise MissingExtra.of("postgres", "psycopg") from error


def _operational_hint(reason: str) -> str:
    if "full" in reason:
        return "The disk is full: free some space; nothing was written."
    if "disk I/O" in reason:
        return "Is the disk full, or failing? Nothing was written."
    if "readonly" in reason or "unable to open" in reason:
        return "May this user write its file and folder? Nothing was written."
    if "locked" in reason:
        return "Another process holds the write lock; nothing was written, try again."
    return "Nothing was written; try again when the database can be reached."
