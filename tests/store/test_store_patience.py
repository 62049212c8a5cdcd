"""Those who do not wait for other writers: they are told at once, nothing is changed, and others are served as before."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict
from bailiwick.store.database import Database
from bailiwick.store.journal.tables import entries
from bailiwick.store.migrate import migrate
from bailiwick.store.patience import Busy, is_patient, without_waiting
from bailiwick.store.records import Records
from bailiwick.store.sqlite import BUSY_TIMEOUT_MS
from bailiwick.store.together import Outcome, Together


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def sqlite_database(file: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{file}")
    migrate(opened)
    yield opened
    opened.close()


@contextmanager
def another_process_writes(file: Path) -> Iterator[None]:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


def write(records: Records, actor: Actor, name: str) -> None:
    with records.change(actor, Permission.DATA_WRITE) as change:
        change.record("thing.made", f"thing/{name}")


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(entries)) or 0


def test_who_does_not_wait_is_told_at_once_that_another_process_writes(
    sqlite_database: Database, file: Path, admin: Actor
) -> None:
    records = Records(sqlite_database)
    with another_process_writes(file):
        begun = time.monotonic()
        with pytest.raises(Busy), without_waiting():
            write(records, admin, "impatient")
        assert time.monotonic() - begun < BUSY_TIMEOUT_MS / 1000 / 10
    with without_waiting():
        write(records, admin, "alone")
    assert count(sqlite_database) == 1


def test_the_same_connection_waits_again_afterwards(sqlite_database: Database, file: Path, admin: Actor) -> None:
    records = Records(sqlite_database)
    with ThreadPoolExecutor(1) as executor:
        with another_process_writes(file):
            with pytest.raises(Busy), without_waiting():
                write(records, admin, "impatient")
            patient = executor.submit(write, records, admin, "patient")
            assert not patient.done()
        patient.result(20)
    assert count(sqlite_database) == 1


def test_a_writer_of_the_same_process_is_not_waited_for_either(sqlite_database: Database, admin: Actor) -> None:
    records = Records(sqlite_database)
    inside, go = threading.Event(), threading.Event()

    def hold() -> None:
        with records.change(admin, Permission.DATA_WRITE) as change:
            inside.set()
            assert go.wait(10)
            change.record("thing.made", "thing/slow")

    with ThreadPoolExecutor(1) as executor:
        slow = executor.submit(hold)
        assert inside.wait(10)
        with pytest.raises(Busy), without_waiting():
            write(records, admin, "impatient")
        go.set()
        slow.result(10)
    assert count(sqlite_database) == 1


def test_whoever_shares_a_transaction_is_not_told_of_anothers_impatience() -> None:
    inside, go = threading.Event(), threading.Event()

    def slowly(items: Sequence[int]) -> list[Outcome]:
        inside.set()
        assert go.wait(10)
        return [Conflict("odd") if item % 2 else None for item in items]

    together = Together(slowly)
    with ThreadPoolExecutor(2) as executor:
        waiting = [executor.submit(together.submit, item) for item in (2, 4)]
        assert inside.wait(10)
        with pytest.raises(Busy), without_waiting():
            together.submit(6)
        go.set()
        assert [each.result(10) for each in waiting] == [None, None]
    with pytest.raises(Conflict), without_waiting():
        together.submit(7)


def test_impatience_ends_with_its_block_and_stays_in_its_thread() -> None:
    with ThreadPoolExecutor(1) as executor, without_waiting():
        assert not is_patient()
        assert executor.submit(is_patient).result(10)
    assert is_patient()
