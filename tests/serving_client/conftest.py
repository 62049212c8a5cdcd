"""Unmodified clients of inference, in an environment of their own, against one worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_support.serving_client import Server, interpreter


@pytest.fixture(scope="session")
def clients() -> Path:
    """The Python that has the clients."""
    return interpreter()


@pytest.fixture(scope="session")
def server(clients: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker with the models of Triton's sample programs and some more."""
    running = Server(tmp_path_factory.mktemp("worker"), repository_control=True, server_name="triton")
    yield running
    running.stop()
