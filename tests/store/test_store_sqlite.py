"""Transactions that the driver begins and ends: SQLAlchemy's statements are in them too, and nothing of one is left for the next."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, bindparam, insert, select, text
from sqlalchemy.exc import IntegrityError

from bailiwick.store.database import Database
from bailiwick.store.prepared import Prepared
from bailiwick.store.sqlite import MAX_AT_HAND

things = Table("things", MetaData(), Column("a", Integer, primary_key=True))
Table("parts", things.metadata, Column("thing", Integer, ForeignKey("things.a")))
ADD = Prepared(insert(things), ("a",))
ALL = Prepared(select(things.c.a).where(things.c.a >= bindparam("least")).order_by(things.c.a))

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _made(database: Database) -> None:
    with database.write() as connection:
        things.metadata.create_all(connection)


def kept(database: Database) -> list[int]:
    with database.read() as connection:
        return [row[0] for row in ALL.rows(connection, {"least": 0})]


@pytest.mark.parametrize("order", ["driver first", "sqlalchemy first", "driver alone"])
def test_what_either_ran_is_kept_or_taken_back_together(database: Database, order: str) -> None:
    def change(first: int) -> None:
        with database.write() as connection:
            if order == "driver first":
                ADD.run(connection, {"a": first})
            if order != "driver alone":
                connection.execute(insert(things).values(a=first + 1))
            if order != "driver first":
                ADD.run(connection, {"a": first})
            if first == 10:
                raise KeyboardInterrupt

    change(0)
    with pytest.raises(KeyboardInterrupt):
        change(10)
    change(20)
    assert kept(database) == ([0, 20] if order == "driver alone" else [0, 1, 20, 21])


@pytest.mark.parametrize("by_sqlalchemy", [True, False])
def test_a_commit_that_fails_leaves_nothing(database: Database, by_sqlalchemy: bool) -> None:
    def change() -> None:
        with database.write() as connection:
            ADD.run(connection, {"a": 1})
            driver = connection.connection.dbapi_connection
            assert driver is not None
            driver.cursor().execute("PRAGMA defer_foreign_keys=ON")
            driver.cursor().execute("INSERT INTO parts VALUES (99)")
            if by_sqlalchemy:
                connection.execute(text("SELECT 1"))

    for _ in range(3):
        with pytest.raises(IntegrityError, match="FOREIGN KEY"):
            change()
    with database.write() as connection:
        ADD.run(connection, {"a": 2})
    assert kept(database) == [2]


def test_a_savepoint_is_taken_back_alone(database: Database) -> None:
    with database.write() as connection:
        ADD.run(connection, {"a": 1})
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.execute(insert(things), [{"a": 5}, {"a": 1}])
        ADD.run(connection, {"a": 2})
    assert kept(database) == [1, 2]


def test_a_look_is_at_one_moment_until_it_ends(database: Database) -> None:
    with database.read() as connection:
        assert ALL.rows(connection, {"least": 0}) == []
        with database.write() as other:
            ADD.run(other, {"a": 1})
        assert connection.execute(select(things.c.a)).all() == []
        assert ALL.rows(connection, {"least": 0}) == []
    assert kept(database) == [1]


def test_connections_go_from_thread_to_thread_and_few_are_kept(database: Database) -> None:
    together = threading.Barrier(9)

    def look(_: int) -> int:
        with database.read() as connection:
            together.wait(20)
            return id(connection.connection.dbapi_connection)

    with ThreadPoolExecutor(9) as threads:
        assert len(set(threads.map(look, range(9)))) == 9
    assert database._file is not None
    assert len(database._file._at_hand) == MAX_AT_HAND
    with database.read() as connection:
        last = connection
    with database.write() as connection:
        assert connection is last


def test_a_database_that_was_closed_opens_again(database: Database) -> None:
    with ExitStack() as looks:
        looks.enter_context(database.read())
        database.close()
    with database.write() as connection:
        ADD.run(connection, {"a": 1})
    assert kept(database) == [1]
    database.close()
