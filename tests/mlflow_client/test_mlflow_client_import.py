"""What an MLflow server holds is moved here; the same client then reads the same from us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests_support import mlflow_client, postgres
from tests_support.command import process
from tests_support.mlflow_client import Control
from tests_support.stock_mlflow import StockServer


@pytest.fixture(scope="session")
def python() -> Path:
    return mlflow_client.interpreter("3")


@pytest.fixture(scope="session")
def stock(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StockServer]:
    """MLflow's own server, filled by its own client with something of everything."""
    server = StockServer(python, tmp_path_factory.mktemp("stock"))
    mlflow_client.tell(python, "fill_server", server)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def expected(python: Path, stock: StockServer) -> Any:
    """What the client reads from MLflow's own server."""
    return mlflow_client.tell(python, "read_everything", stock)


@contextmanager
def running(folder: Path) -> Iterator[Control]:
    """A control plane on the home that was imported into."""
    control = Control(folder)
    yield control
    control.process.kill()
    control.process.wait()
    control._log.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_client_reads_here_what_it_reads_there(
    python: Path, stock: StockServer, expected: Any, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database == "postgresql":
        monkeypatch.setenv("BAILIWICK_DATABASE_URL", postgres.fresh_database())
    arguments = ("--home", tmp_path / "home", "import", "mlflow", stock.url)
    killed = process(*arguments, folder=tmp_path, BAILIWICK_FAULT="imports.file:3")
    assert killed.code == -9
    moved = process(*arguments, folder=tmp_path)
    assert (moved.code, moved.out.splitlines()[-1]) == (0, "Both sides agree."), moved.out + moved.err
    assert process(*arguments, "--verify", folder=tmp_path).code == 0
    with running(tmp_path) as control:
        found = mlflow_client.tell(python, "read_everything", control)
    for part in expected:
        assert found[part] == expected[part], part
