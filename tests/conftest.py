"""Fixtures that every test may use: real databases, real stores, actors of several rights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bailiwick.core.actor import Actor, Permission
from bailiwick.store.blobs import BlobStore
from bailiwick.store.database import Database
from bailiwick.store.delta import DeltaTables
from bailiwick.store.migrate import migrate
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from tests_support import postgres

# How long an example takes says how busy the machine is.
settings.register_profile("bailiwick", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bailiwick")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    return FakeClock()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file; migrating once and copying keeps the suite quick."""
    path = tmp_path_factory.mktemp("template") / "bailiwick.db"
    _migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[Database]:
    """A fresh, migrated database of each supported kind."""
    with ExitStack() as closing:
        if request.param == "sqlite":
            shutil.copy(sqlite_template, tmp_path / "bailiwick.db")
            url = f"sqlite:///{tmp_path / 'bailiwick.db'}"
        else:
            url = closing.enter_context(postgres.passing_database(_migrated))
        opened = Database(url)
        closing.callback(opened.close)
        yield opened


def _migrated(url: str) -> None:
    opened = Database(url)
    migrate(opened)
    opened.close()


@pytest.fixture
def records(database: Database, clock: FakeClock) -> Records:
    """The transaction of mutating verbs, on each supported database."""
    return Records(database, clock)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """Blobs in a folder."""
    return BlobStore((tmp_path / "blobs").as_uri())


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    """Delta tables in a folder."""
    return DeltaTables(str(tmp_path / "tables"))


@pytest.fixture
def admin() -> Actor:
    """An identity that may do everything in workspace `default`."""
    return Actor("u-admin", "admin", "default", frozenset(Permission))


@pytest.fixture
def second() -> Actor:
    """Another identity that may do everything in workspace `default`."""
    return Actor("u-second", "second", "default", frozenset(Permission))


@pytest.fixture
def viewer() -> Actor:
    """An identity that may only read."""
    return Actor("u-viewer", "viewer", "default", frozenset({Permission.READ}))


@pytest.fixture
def stranger() -> Actor:
    """An identity that may do everything, in another workspace."""
    return Actor("u-stranger", "stranger", "elsewhere", frozenset(Permission))
