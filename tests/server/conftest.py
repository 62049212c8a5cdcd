"""A control plane over a platform where nothing has happened, and over one with a history; clients with several rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from bailiwick.lifecycle.platform import Platform
from bailiwick.server.asgi import create_app
from tests_support.control import TestClient, issue_tokens, local, remote
from tests_support.populated import Story, empty, populate

ClientOf = Callable[..., TestClient]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Nothing has happened here."""
    opened = empty(tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def app(platform: Platform) -> Starlette:
    """The control plane over the empty platform."""
    return create_app(platform)


@pytest.fixture
def client(app: Starlette) -> Iterator[TestClient]:
    """The user of this machine: the local administrator."""
    with local(app) as opened:
        yield opened


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The platform with a history; tests only read it."""
    told = populate(tmp_path_factory.mktemp("story") / "home")
    yield told
    told.platform.close()


@pytest.fixture(scope="session")
def populated(story: Story) -> Iterator[TestClient]:
    """The local administrator of the platform with a history."""
    with local(create_app(story.platform)) as opened:
        yield opened


@pytest.fixture
def tokens(platform: Platform) -> dict[str, str]:
    """One token a role, in workspace `default`; `stranger` administers another workspace."""
    return issue_tokens(platform)


@pytest.fixture
def as_remote(app: Starlette) -> Iterator[ClientOf]:
    """Makes clients on another machine; all are closed afterwards."""
    opened: list[TestClient] = []

    def make(token: str = "", **headers: str) -> TestClient:
        opened.append(remote(app, token, **headers))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
