"""The log of a database is made long before it is needed, and nothing else changes."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from bailiwick.store.database import Database
from bailiwick.store.log_length import PAGE_BYTES, lengthen_log
from bailiwick.store.sqlite import LOG_PAGES

FULL = LOG_PAGES * PAGE_BYTES


def _log(database: Database) -> Path:
    return Path(f"{database.engine.url.database}-wal")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestOnSQLite:
    def test_the_log_has_its_full_length_and_the_database_what_it_had(self, database: Database) -> None:
        with database.write() as connection:
            connection.execute(text("CREATE TABLE mine (a INTEGER)"))
            connection.execute(text("INSERT INTO mine VALUES (1)"))
        lengthen_log(database)
        size = _log(database).stat().st_size
        assert FULL <= size < FULL * 1.2
        with database.write() as connection:
            connection.execute(text("INSERT INTO mine VALUES (2)"))
        assert _log(database).stat().st_size == size
        with database.read() as connection:
            assert connection.scalars(text("SELECT a FROM mine")).all() == [1, 2]
            assert not inspect(connection).has_table("log_is_lengthened")

    def test_doing_it_again_writes_nothing(self, database: Database) -> None:
        lengthen_log(database)
        before = _log(database).stat()
        lengthen_log(database)
        assert _log(database).stat().st_mtime_ns == before.st_mtime_ns

    def test_what_was_committed_after_it_survives_the_death_of_the_process(
        self, database: Database, tmp_path: Path
    ) -> None:
        lengthen_log(database)
        with database.write() as connection:
            connection.execute(text("CREATE TABLE mine (a INTEGER)"))
        for suffix in ("", "-wal"):  # what a killed process leaves, without the index of the log
            shutil.copy(f"{database.engine.url.database}{suffix}", tmp_path / f"left.db{suffix}")
        left = sqlite3.connect(tmp_path / "left.db")
        assert left.execute("SELECT count(*) FROM mine").fetchone() == (0,)
        assert left.execute("SELECT count(*) FROM sqlite_master WHERE name = 'log_is_lengthened'").fetchone() == (0,)
        left.close()

    def test_it_waits_for_nobody(self, database: Database, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "bailiwick.store")
        other = sqlite3.connect(str(database.engine.url.database), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        lengthen_log(database)
        other.execute("ROLLBACK")
        other.close()
        assert "was not lengthened" in caplog.text
        assert not _log(database).exists() or _log(database).stat().st_size < FULL


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_has_no_such_log(database: Database) -> None:
    lengthen_log(database)
