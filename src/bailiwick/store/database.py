"""SQL: SQLite in WAL mode or PostgreSQL, through SQLAlchemy Core. No ORM, so every query is one that was written."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from bailiwick.core.errors import Corrupted, InvalidInput, MissingExtra, Unavailable
from bailiwick.store.patience import Busy, is_patient, taking_turns
from bailiwick.store.prepared import in_sqlalchemys_words

BUSY_TIMEOUT_MS = 30_000

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
        self._writing = self.engine.execution_options(bailiwick_write=True)  # the same pool
        # Writers of one process take turns here: SQLite makes them wait by sleeping, for longer each time.
        self._turn = threading.Lock() if self.dialect == "sqlite" else None

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
        with _translated("cannot be read"), self.engine.connect() as connection, connection.begin():
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
        with (
            taking_turns(self._turn) if self._turn else nullcontext(),
            _translated("refused the write"),
            self._writing.connect() as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Give back every pooled connection."""
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
        return _sqlite(parsed)
    raise InvalidInput.choice("database_url scheme", parsed.drivername, ["sqlite", "postgresql"])


def _postgres(url: Any) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10)
    except ModuleNotFoundError as error:
        raise MissingExtra.of("postgres", "psycopg") from error


def _sqlite(url: Any) -> Engine:
    if not url.database or url.database == ":memory:":
        raise InvalidInput("A SQLite database needs a file.", hint="Use sqlite:///path/to/file.db.")
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"The folder {folder} of the database cannot be made: {error.strerror}.") from error
    # The default QueuePool keeps WAL handles warm; NullPool would reopen the file per transaction. The connection that was
    # given back last is taken first: its pages and statements are still in its cache.
    # Every connection is given back after a commit or a rollback, so there is nothing left to reset.
    arguments = {"check_same_thread": False}
    engine = create_engine(url, connect_args=arguments, pool_reset_on_return=None, pool_use_lifo=True)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we emit BEGIN ourselves, see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged record survives power loss
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA wal_autocheckpoint=4000")  # pages, 16 MB: the last pages of indexes are copied less often
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """Needs the file for itself once in its life, and SQLite does not wait for that: it says `locked` at once."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("bailiwick_write", False)
    statement = "BEGIN IMMEDIATE" if immediate else "BEGIN"
    driver: Any = connection.connection.dbapi_connection
    try:
        if immediate and not is_patient():
            _begin_at_once(driver)
        else:
            driver.execute(statement)  # by SQLAlchemy, this would be half the cost of a small transaction
    except sqlite3.Error as error:
        raise in_sqlalchemys_words(error, statement, connection) from error


def _begin_at_once(driver: Any) -> None:
    driver.execute("PRAGMA busy_timeout=0")
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise Busy("Another process is writing to the database.") from error
        raise
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


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
