"""Unmodified MLflow clients, each in an environment of its own, against a control plane that runs alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests_support import mlflow_client
from tests_support.mlflow_client import Control, Story


@pytest.fixture(params=["sqlite", "postgresql"])
def control(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A control plane on an empty home, artifacts among the blobs."""
    running = Control(tmp_path_factory.mktemp("control"), database=request.param)
    yield running
    running.stop()


@pytest.fixture(params=["2", "3"])
def story(request: pytest.FixtureRequest, control: Control) -> Story:
    """Runs one of `stories/` with a client of MLflow 2 or 3, and returns what it found."""
    python = mlflow_client.interpreter(request.param)

    def tell(name: str, *arguments: str) -> Any:
        return mlflow_client.tell(python, name, control, *arguments)

    return tell
