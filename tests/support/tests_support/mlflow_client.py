"""Real MLflow clients as processes of their own, and the control plane they talk to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests_support import postgres
from tests_support.server import answers, free_port, until

ROOT = Path(__file__).resolve().parents[3]
STORIES = ROOT / "tests" / "mlflow_client" / "stories"

Story = Callable[..., Any]


def interpreter(major: str) -> Path:
    """The Python of the environment that has MLflow 2 or 3. Skips, or fails where MLflow is required, without one."""
    python = ROOT / ".mlflow" / major / "bin" / "python"
    if not python.exists():
        if postgres.required("mlflow"):
            pytest.fail(f"The MLflow {major} client is required here: run tools/mlflow_clients.py")
        pytest.skip(f"The MLflow {major} client is not installed: run tools/mlflow_clients.py")
    return python


class Control:
    """`bailiwick control` on a port of its own, until `stop`."""

    def __init__(self, folder: Path, *options: str, database: str = "sqlite", port: int | None = None) -> None:
        self.home = folder / "home"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = dict(os.environ)
        if database == "postgresql":
            self.environment["BAILIWICK_DATABASE_URL"] = postgres.fresh_database()
        self._command = [sys.executable, "-m", "bailiwick", "--home", str(self.home), "control"]
        self._command += ["--port", str(self.port), *options]
        self._log = (folder / "control.log").open("ab")
        self.start()

    def start(self) -> None:
        """Start, and wait until it is healthy."""
        self.process = subprocess.Popen(self._command, env=self.environment, stdout=self._log, stderr=self._log)
        until(lambda: self.process.poll() is not None or answers(f"{self.url}/health"), "the control plane")
        assert self.process.poll() is None, Path(self._log.name).read_text()

    def stop(self) -> None:
        """SIGTERM; it must end by itself."""
        self.process.terminate()
        assert self.process.wait(20) == 0
        self._log.close()


class Reached(Protocol):
    """A server that a client can be pointed at; the folder above `home` is there to work in."""

    home: Path
    url: str


def tell(python: Path, name: str, server: Reached, *arguments: str) -> Any:
    """Run a story; what it prints last is JSON."""
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "PYTHONWARNINGS": "ignore",
    }
    environment.pop("PYTHONPATH", None)
    line = [str(python), str(STORIES / f"{name}.py"), *arguments]
    ended = subprocess.run(
        line, env=environment, cwd=server.home.parent, capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-6000:]
    return json.loads(ended.stdout.strip().splitlines()[-1])
