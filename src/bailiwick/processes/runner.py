"""Pipeline runs are executed in a process of their own: a crash or a leak in user code cannot take the duties along."""

from __future__ import annotations

import os
import subprocess
import sys

from bailiwick.core.settings import Settings
from bailiwick.processes.environment import as_environment
from bailiwick.processes.parent import PARENT_PIPE

STOP_SECONDS = 10


class RunRunner:
    """Starts `bailiwick run --execute ID` for runs that wait, one at a time. The child ends when this process does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipe = os.pipe()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is being executed now."""
        return self._process is not None and self._process.poll() is None

    def execute(self, run_id: str) -> None:
        """Start executing the run, unless one is being executed."""
        if self.busy:
            return
        folder = self._settings.home.resolve() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        reading = self._pipe[0]
        with (folder / "runs.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bailiwick", "run", "--execute", run_id],
                env={**as_environment(self._settings), PARENT_PIPE: str(reading)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(reading,),
            )

    def stop(self) -> None:
        """End the run in progress; its unfinished step is taken up again by the next worker."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for end in self._pipe:
            os.close(end)
