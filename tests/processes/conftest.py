"""A running server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests_support.server import Server


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a module."""
    server = Server(tmp_path_factory.mktemp("home") / ".bailiwick")
    server.wait_up()
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def server(started: Server) -> Server:
    """The module's server, running: tests come in any order, and some of them stop it."""
    if started.process.poll() is not None:
        started.start()
        started.wait_up()
    return started
