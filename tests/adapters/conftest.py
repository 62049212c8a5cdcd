"""A platform of our own, and a small MLflow server with something of everything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bailiwick.adapters.mlflow.census import Report
from bailiwick.adapters.mlflow.connection import MlflowConnection
from bailiwick.adapters.mlflow.migration import Choice, Migration
from bailiwick.adapters.mlflow.remote import RemoteMlflow
from bailiwick.app import open_platform
from bailiwick.core.actor import Actor
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.store.database import Database
from bailiwick.store.migrate import migrate
from tests_support import postgres
from tests_support.fake_mlflow import FakeMlflow, serving
from tests_support.mlflow_story import a_server

Look = Callable[..., Report]


@pytest.fixture(params=["sqlite", "postgresql"])
def any_platform(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[Platform]:
    """A platform on each supported database."""
    with postgres.passing_database(_migrated) if request.param == "postgresql" else nullcontext("") as url:
        yield from _opened(tmp_path, sqlite_template, url)


@pytest.fixture
def platform(tmp_path: Path, sqlite_template: Path) -> Iterator[Platform]:
    """A platform on SQLite, where the database does not matter."""
    yield from _opened(tmp_path, sqlite_template, "")


def _opened(folder: Path, template: Path, url: str) -> Iterator[Platform]:
    home = folder / "home"
    home.mkdir()
    shutil.copy(template, home / "bailiwick.db")
    opened = open_platform(Settings(home=home, database_url=url))
    yield opened
    opened.close()


def _migrated(url: str) -> None:
    opened = Database(url)
    migrate(opened)
    opened.close()


@pytest.fixture
def actor(request: pytest.FixtureRequest) -> Actor:
    """The local administrator of the platform that the test uses."""
    name = "any_platform" if "any_platform" in request.fixturenames else "platform"
    found: Actor = request.getfixturevalue(name).identities.local_admin("default")
    return found


@pytest.fixture
def remote() -> Iterator[FakeMlflow]:
    """A server with something of everything, answering."""
    with serving(a_server()) as answering:
        yield answering


@pytest.fixture
def migration(actor: Actor, remote: FakeMlflow, request: pytest.FixtureRequest) -> Iterator[Callable[..., Migration]]:
    """A look at the server; choices are keywords."""
    name = "any_platform" if "any_platform" in request.fixturenames else "platform"
    here = request.getfixturevalue(name)

    opened: list[MlflowConnection] = []

    def look(**choice: Any) -> Migration:
        connection = MlflowConnection(remote.url, sleep=lambda _: None, timeout_seconds=5)
        opened.append(connection)
        who = choice.pop("actor", actor)
        return Migration(here, who, RemoteMlflow(connection), Choice(**choice))

    yield look
    for connection in opened:
        connection.close()


@pytest.fixture
def move(migration: Callable[..., Migration]) -> Look:
    """Bring the server here."""
    return lambda **choice: migration(**choice).move()
