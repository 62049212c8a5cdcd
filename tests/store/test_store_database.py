"""The two ways into a database, and what is said when it cannot be had."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select

from bailiwick.core.errors import Corrupted, InvalidInput, Unavailable
from bailiwick.store.database import Database

letters = Table("letters", MetaData(), Column("id", Integer, primary_key=True), Column("text", Text))


@pytest.fixture
def database(database: Database) -> Database:
    with database.write() as connection:
        letters.metadata.create_all(connection)
    return database


def _texts(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(select(letters.c.text).order_by(letters.c.id)))


def test_a_write_is_all_or_nothing(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as connection:
            connection.execute(insert(letters), [{"id": 1, "text": "a"}])
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write_and_fail()
    assert _texts(database) == []


def test_a_reader_sees_one_moment_and_waits_for_nobody(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(letters), [{"id": 1, "text": "a"}])
        assert _texts(database) == []
    assert _texts(database) == ["a"]


def test_what_was_written_is_there_for_another_process(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(letters), [{"id": 1, "text": "Zoë 航班"}])
    again = Database(database.url)
    assert _texts(again) == ["Zoë 航班"]
    again.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://x/y", "choose one of: postgresql, sqlite"),
        ("nonsense", "is not a URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_a_url_that_cannot_be_used_is_named(url: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Database(url)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="Not a directory"):
        Database(f"sqlite:///{tmp_path / 'file' / 'folder' / 'a.db'}")


def test_a_file_that_is_no_database_is_corrupted(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"garbage" * 1000)
    opened = Database(f"sqlite:///{path}")
    with pytest.raises(Corrupted, match="not a database"), opened.read():
        pass
    opened.close()


def test_a_server_that_cannot_be_reached_is_unavailable_without_its_password() -> None:
    pytest.importorskip("psycopg")
    opened = Database("postgresql://me:hunter2@127.0.0.1:1/nowhere")
    with pytest.raises(Unavailable, match="refused") as caught, opened.read():
        pass
    assert "hunter2" not in str(caught.value)
    opened.close()


FILL = """
import resource, signal, sys
from sqlalchemy import text
from bailiwick.core.errors import Unavailable
from bailiwick.store.database import Database
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
database = Database(sys.argv[1])
with database.write() as connection:
    connection.execute(text("CREATE TABLE t (v TEXT)"))
    connection.execute(text("INSERT INTO t VALUES ('kept')"))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    with database.write() as connection:
        for _ in range(100):
            connection.execute(text("INSERT INTO t VALUES (:v)"), {"v": "x" * 100_000})
except Unavailable as error:
    print(error)
with database.read() as connection:
    print(connection.execute(text("SELECT v FROM t")).scalars().all())
database.close()
"""


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE  # a limit on the size of files stands in for a disk that is full
    filled = subprocess.run(
        [sys.executable, "-c", FILL, f"sqlite:///{tmp_path / 'a.db'}"], capture_output=True, text=True, check=True
    )
    says, kept = filled.stdout.splitlines()
    assert says.startswith("The database refused the write: ")
    assert says.endswith("Nothing was written.")
    assert kept == "['kept']"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'a.db'}")
    yield opened
    opened.close()


def test_writers_queue_up_rather_than_fail(locked: Database) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with locked.write() as connection:
        letters.metadata.create_all(connection)

    def add(number: int) -> None:
        with locked.write() as connection:
            connection.execute(insert(letters), [{"id": number, "text": str(number)}])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert len(_texts(locked)) == 40
