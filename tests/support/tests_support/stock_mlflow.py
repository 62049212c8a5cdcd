"""MLflow's own server as a process of its own, on SQLite, passing artifacts on."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests_support.server import answers, free_port, until


class StockServer:
    """`mlflow server` in the environment of a client, until `stop`; it takes half a minute to start."""

    def __init__(self, python: Path, folder: Path) -> None:
        port = free_port()
        self.home, self.url = folder / "home", f"http://127.0.0.1:{port}"
        command = [str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{folder}/m.db", "--artifacts-destination", str(folder / "files")]
        environment = {
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PATH": f"{python.parent}:{os.environ['PATH']}",
        }
        environment.pop("PYTHONPATH", None)
        self.log = (folder / "stock.log").open("ab")
        self.process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=self.log, stderr=self.log, start_new_session=True
        )
        until(lambda: self.process.poll() is not None or answers(f"{self.url}/health"), "MLflow's server", 240)
        assert self.process.poll() is None, Path(self.log.name).read_text()

    def stop(self) -> None:
        """End it with its workers."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)
        self.log.close()
