"""`bailiwick up`: one supervisor, three kinds of child; a child that dies is started again, all stop together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Never, Self
from urllib.parse import urlsplit

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.core.settings import Settings
from bailiwick.processes.environment import as_environment
from bailiwick.processes.home import HomeLock, require_free_port
from bailiwick.processes.parent import PARENT_PIPE

READY_SECONDS = 30.0
STOP_SECONDS = 15.0
CONTROL_STOP_SECONDS = 5.0
"""So much of it is left to the control process, whatever inference takes."""
FIRST_BACKOFF_SECONDS = 0.2
LAST_BACKOFF_SECONDS = 10.0
STEADY_SECONDS = 20.0
HOPELESS_STARTS = 3
"""A child that ends this often before everything answers will not do better the next time."""

Reporter = Callable[[str], None]


@dataclass
class Child:
    """One supervised process and the history that decides how soon it is started again."""

    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    backoff: float = FIRST_BACKOFF_SECONDS
    restart_at: float = 0.0
    deaths: int = 0


class Supervisor:
    """Owns the children of one home. Use as a context manager: leaving it, also by SIGTERM or Ctrl-C, stops them all.

    Entering raises Conflict when another supervisor has the home, Unavailable for a port in use or an unusable home.
    """

    def __init__(self, settings: Settings, *, report: Reporter) -> None:
        if settings.control_port == settings.inference_port:
            raise InvalidInput(
                f"Port {settings.control_port} cannot be both the control and the inference port.",
                hint="Choose another with --control-port or --inference-port.",
            )
        if settings.grpc_inference_port in {settings.control_port, settings.inference_port}:
            raise InvalidInput(
                f"Port {settings.grpc_inference_port} is taken by another part of the server; it cannot be that of gRPC.",
                hint="Choose another with --grpc-port; 0 serves no gRPC.",
            )
        self._settings = settings
        self._report = report
        self._home = HomeLock(settings.home.resolve())
        self._pipe: tuple[int, int] | None = None
        self._stopping = False
        self._before: signal._HANDLER = signal.SIG_DFL
        workers = [Child(f"serve-{n}", ["serve", str(n)]) for n in range(settings.serve_workers)]
        self.children = [Child("control", ["control"]), *workers, Child("work", ["work"])]

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, _leave)
        try:
            self._home.take(self._report)
            for port, what in (
                (self._settings.control_port, "control"),
                (self._settings.inference_port, "inference"),
                (self._settings.grpc_inference_port, "grpc"),
            ):
                if port:
                    require_free_port(self._settings.host, port, what)
            self._pipe = os.pipe()
            for child in self.children:
                self._start(child)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_ready(self) -> float:
        """Seconds until control and inference answered. Raises Unavailable with the log's last words when they do not
        in 30 s, or when a child keeps ending.
        """
        begun = time.monotonic()
        for address, path in ((self._settings.control_address, "/ready"), (self._inference, "/v2/health/live")):
            while not _answers(address + path):
                self.tend()
                self._give_up(address, time.monotonic() - begun)
                time.sleep(0.02)
        self._home.announce(self._settings.control_address, self._settings.workspace)
        return time.monotonic() - begun

    def run(self) -> None:
        """Keep the children running until SIGTERM or SIGINT."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._stopping:
                self.tend()
                time.sleep(0.1)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def tend(self) -> None:
        """Start again what has died, waiting longer each time it dies young."""
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._note_death(child)
            if child.process is None and time.monotonic() >= child.restart_at:
                self._start(child)

    def stop(self) -> None:
        """SIGTERM to work and inference, and to control once inference has ended, so that it hears who leaves and what came of
        the last requests. SIGKILL to what has not ended after 15 s.
        """
        processes = [child.process for child in self.children if child.process is not None]
        control = [child.process for child in self.children if child.process is not None and child.name == "control"]
        serving = [each.process for each in self.children if each.process and each.name.startswith("serve")]
        try:
            for process in processes:
                if process not in control:
                    process.terminate()
            deadline = time.monotonic() + STOP_SECONDS
            for process in serving:
                _ends_by(process, deadline - CONTROL_STOP_SECONDS)
            for process in control:
                process.terminate()
            for process in processes:
                if not _ends_by(process, deadline):
                    process.kill()
                    process.wait()
        except BaseException:  # a second Ctrl-C: there is no patience left
            for process in processes:
                process.kill()
            raise
        finally:
            self._release()

    def _release(self) -> None:
        for end in self._pipe or ():
            os.close(end)
        self._pipe = None
        self._home.release()
        signal.signal(signal.SIGTERM, self._before)

    @property
    def _inference(self) -> str:
        return self._settings.inference_address

    def _start(self, child: Child) -> None:
        assert self._pipe is not None
        reading = self._pipe[0]
        environment = {**as_environment(self._settings), PARENT_PIPE: str(reading)}
        with self._log(child).open("ab") as log:
            child.process = subprocess.Popen(
                [sys.executable, "-m", "bailiwick.processes.child", *child.arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(reading, self._home.presence),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then stops the rest in order
            )
        child.started = time.monotonic()

    def _note_death(self, child: Child) -> None:
        assert child.process is not None
        child.deaths += 1
        lived = time.monotonic() - child.started
        grown = min(child.backoff * 2, LAST_BACKOFF_SECONDS)
        child.backoff = FIRST_BACKOFF_SECONDS if lived > STEADY_SECONDS else grown
        child.restart_at = time.monotonic() + child.backoff
        self._report(
            f"{child.name} {_ending(child.process.returncode)}; starting it again in {child.backoff:.1f} s"
            f" (log: {self._log(child)})"
        )
        child.process = None

    def _give_up(self, address: str, waited: float) -> None:
        for child in self.children:
            if child.deaths >= HOPELESS_STARTS:
                raise Unavailable(f"{child.name} does not start: {self._last_words(child)}", hint=self._see(child))
        if waited > READY_SECONDS:
            silent = self.children[0 if address == self._settings.control_address else 1]
            raise Unavailable(f"{address} did not answer in {READY_SECONDS:.0f} s.", hint=self._see(silent))

    def _see(self, child: Child) -> str:
        return f"Its log: {self._log(child)}"

    def _last_words(self, child: Child) -> str:
        lines = self._log(child).read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1].removeprefix("error: ") if said else "it says nothing."

    def _log(self, child: Child) -> Path:
        return self._home.logs / f"{child.name}.log"

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _leave(number: int, _frame: FrameType | None) -> Never:
    sys.exit(128 + number)


def _ending(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _answers(url: str) -> bool:
    """Whether GET is answered by 200. By hand: an HTTP client would be a third of the supervisor's memory."""
    at = urlsplit(url)
    request = f"GET {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((at.hostname, at.port or 80), timeout=1) as connection:
            connection.sendall(request.encode())
            return connection.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


def _ends_by(process: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True
