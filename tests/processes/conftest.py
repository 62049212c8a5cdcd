"""A running server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests_support.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a module; each leaves it running and well."""
    started = Server(tmp_path_factory.mktemp("home") / ".bailiwick")
    started.wait_up()
    yield started
    if started.process.poll() is None:
        started.stop()
