"""Every classic call of the client gives here what it gives on MLflow's own server, apart from what is listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_support import mlflow_client
from tests_support.mlflow_client import Control
from tests_support.stock_mlflow import StockServer

DIFFERENT = {
    "rename to a taken name": "RESOURCE_ALREADY_EXISTS says why, where stock says BAD_REQUEST; both are status 400",
    "history of a missing run": "a run that does not exist is an error, as with every other call, and not an empty list",
    "runs by ['metrics.x DESC', 'metrics.x ASC']": "a mistake of the client is answered 400, and not 500",
    "list deeper": "the size of an empty file is 0, and not unknown",
}
"""Calls whose outcome is meant to differ, by name, with the reason."""


@pytest.fixture(scope="module")
def python() -> Path:
    return mlflow_client.interpreter("3")


@pytest.fixture(scope="module")
def expected(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[list[object]]]:
    """What each call gives on MLflow's own server."""
    server = StockServer(python, tmp_path_factory.mktemp("stock"))
    yield mlflow_client.tell(python, "every_call", server)
    server.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_call_gives_what_it_gives_on_mlflows_own_server(
    python: Path, expected: list[list[object]], database: str, tmp_path: Path
) -> None:
    control = Control(tmp_path, database=database)
    found = mlflow_client.tell(python, "every_call", control)
    control.stop()
    assert [name for name, *_ in found] == [name for name, *_ in expected]
    pairs = zip(found, expected, strict=True)
    differing = {str(ours[0]): (ours[1:], theirs[1:]) for ours, theirs in pairs if ours != theirs}
    assert {name: pair for name, pair in differing.items() if name not in DIFFERENT} == {}
    assert set(DIFFERENT) <= set(differing), "a difference is gone: take it off the list"
