"""A SQLite file: how its connections are set up, and transactions that its driver begins and ends.

To open a connection, begin and commit takes SQLAlchemy 45 µs of processor time, and SQLite 5. So connections are kept at
hand here, and SQLAlchemy learns of a transaction only when it is asked to run a statement in it: most of what happens
often is run by the driver (decision 0012).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.store.patience import Busy, is_patient, taking_turns
from bailiwick.store.prepared import in_sqlalchemys_words

BUSY_TIMEOUT_MS = 30_000
REBUILD_TIMEOUT_MS = 600_000
MAX_AT_HAND = 5
LOG_PAGES = 4_000
"""16 MB, after which SQLite copies its log into the database: the last pages of indexes are copied less often."""


class SqliteFile:
    """Transactions on one file. Connections may be taken by any thread, and are used by one at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Writers of one process take turns here: SQLite makes them wait by sleeping, for longer each time.
        self._turn = threading.Lock()
        self._at_hand: list[Connection] = []

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """What is committed at the moment of the first look."""
        with self._taken() as connection, _transaction(connection, _begin):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The write lock is taken at once. Raises Busy for a caller who does not wait."""
        with taking_turns(self._turn), self._taken() as connection, _transaction(connection, _begin_immediate):
            yield connection

    @contextmanager
    def rebuilding(self) -> Iterator[Connection]:
        """As `writing`, with foreign keys unchecked, after waiting ten minutes for another who is at the same."""
        with taking_turns(self._turn), self._taken() as connection:
            driver = driver_of(connection)
            driver.execute("PRAGMA foreign_keys=OFF")  # has no effect within a transaction
            driver.execute(f"PRAGMA busy_timeout={REBUILD_TIMEOUT_MS}")
            try:
                with _transaction(connection, _begin_immediate):
                    yield connection
            finally:
                driver.execute("PRAGMA foreign_keys=ON")
                driver.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")

    def close(self) -> None:
        """Give the connections at hand back to the engine."""
        while self._at_hand:
            self._at_hand.pop().close()

    @contextmanager
    def _taken(self) -> Iterator[Connection]:
        """The connection that was used last, whose pages and statements are still in its cache."""
        try:
            connection = self._at_hand.pop()
        except IndexError:
            connection = self._engine.connect()
        try:
            yield connection
        finally:
            if driver_of(connection).in_transaction:  # not even rolling back succeeded
                connection.invalidate()
            if len(self._at_hand) < MAX_AT_HAND and not connection.invalidated:
                self._at_hand.append(connection)
            else:
                connection.close()


def open_sqlite(url: Any) -> Engine:
    """The engine of a file, whose folder is made. Raises InvalidInput for a database in memory, Unavailable."""
    if not url.database or url.database == ":memory:":
        raise InvalidInput("A SQLite database needs a file.", hint="Use sqlite:///path/to/file.db.")
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"The folder {folder} of the database cannot be made: {error.strerror}.") from error
    # The default QueuePool keeps WAL handles warm; NullPool would reopen the file per transaction. Every connection is
    # given back after a commit or a rollback, so there is nothing left to reset.
    arguments = {"check_same_thread": False}
    engine = create_engine(url, connect_args=arguments, pool_reset_on_return=None, pool_use_lifo=True)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin_unless_begun)
    return engine


def driver_of(connection: Connection) -> Any:
    """The connection of the `sqlite3` module."""
    return connection.connection.dbapi_connection


@contextmanager
def _transaction(connection: Connection, begin: Callable[[Connection], None]) -> Iterator[None]:
    begin(connection)
    try:
        yield
        _commit(connection)
    except BaseException:
        _roll_back(connection)
        raise


def _commit(connection: Connection) -> None:
    if connection.in_transaction():
        connection.commit()
        return
    try:
        driver_of(connection).commit()
    except sqlite3.Error as error:
        raise in_sqlalchemys_words(error, "COMMIT", connection) from error


def _roll_back(connection: Connection) -> None:
    connection.rollback()  # does nothing where SQLAlchemy was asked nothing; also ends what failed to commit
    driver_of(connection).rollback()


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we emit BEGIN ourselves, see _begin
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged record survives power loss
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
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


def _begin(connection: Connection) -> None:
    try:
        driver_of(connection).execute("BEGIN")
    except sqlite3.Error as error:
        raise in_sqlalchemys_words(error, "BEGIN", connection) from error


def _begin_immediate(connection: Connection) -> None:
    driver = driver_of(connection)
    try:
        if is_patient():
            driver.execute("BEGIN IMMEDIATE")
        else:
            _begin_at_once(driver)
    except sqlite3.Error as error:
        raise in_sqlalchemys_words(error, "BEGIN IMMEDIATE", connection) from error


def _begin_unless_begun(connection: Connection) -> None:
    """SQLAlchemy begins when it is first asked to run a statement: mostly in what was begun here."""
    if not driver_of(connection).in_transaction:
        _begin(connection)


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
