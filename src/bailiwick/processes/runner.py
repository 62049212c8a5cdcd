"""Pipeline runs are executed in a process of their own: a crash or a leak in user code cannot take the duties along."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

from bailiwick.core.settings import Settings
from bailiwick.processes.environment import as_environment
from bailiwick.processes.parent import PARENT_PIPE

STOP_SECONDS = 10


class RunRunner:
    """Hands runs that wait to one child, one at a time. The child ends when this process does, or when it is idle."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipe = os.pipe()
        self._process: subprocess.Popen[bytes] | None = None
        self._running = False

    @property
    def busy(self) -> bool:
        """Whether a run is being executed now."""
        if self._running and (self._process is None or self._process.poll() is not None or self._answered()):
            self._running = False
        return self._running

    def execute(self, run_id: str) -> None:
        """Start executing the run, unless one is being executed."""
        if self.busy:
            return
        try:
            self._send(run_id)
        except BrokenPipeError:  # it went idle and ended at this very moment
            self._process = None
            self._send(run_id)
        self._running = True

    def stop(self) -> None:
        """End the run in progress; its unfinished step is taken up again by the next worker."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._close(self._process)
        for end in self._pipe:
            os.close(end)

    def _send(self, run_id: str) -> None:
        if self._process is None or self._process.poll() is not None:
            if self._process is not None:
                self._close(self._process)
            self._process = self._start()
        assert self._process.stdin is not None
        self._process.stdin.write(f"{run_id}\n".encode())
        self._process.stdin.flush()

    def _start(self) -> subprocess.Popen[bytes]:
        folder = self._settings.home.resolve() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        reading = self._pipe[0]
        # OpenMP threads that wait by spinning starve everything else on a busy machine.
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **as_environment(self._settings), PARENT_PIPE: str(reading)}
        with (folder / "runs.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "bailiwick.processes.child", "execute"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                pass_fds=(reading,),
            )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        return process

    def _answered(self) -> bool:
        assert self._process is not None
        assert self._process.stdout is not None
        return bool(self._process.stdout.read())

    @staticmethod
    def _close(process: subprocess.Popen[bytes]) -> None:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
