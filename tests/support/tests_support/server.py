"""A whole server as a process of its own, on free ports, and what can be seen of processes from outside."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

PATIENCE_SECONDS = 60.0


def free_port() -> int:
    """A port that nothing uses, nor the next one, which is that of gRPC; below those that clients get."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, socket.socket() as next_probe:
            try:
                probe.bind(("127.0.0.1", port))
                next_probe.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def bailiwick(*arguments: str, home: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bailiwick", "--home", str(home), *arguments],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Server:
    """`bailiwick up` and what can be seen of it from outside."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.control, self.inference = free_port(), free_port()
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        ports = ("--control-port", str(self.control), "--inference-port", str(self.inference))
        self.process = bailiwick("up", *ports, home=self.home)
        return self.process

    def wait_up(self) -> None:
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first.startswith("Bailiwick is up"), self.process.communicate()

    def children(self) -> dict[str, int]:
        """Pid by command: control, serve, work."""
        found = {}
        for child in _children(self.process.pid):
            words = _words(child)
            if "bailiwick.processes.child" in words:
                found[words[words.index("bailiwick.processes.child") + 1]] = child
        return found

    def ready(self) -> bool:
        return answers(f"http://127.0.0.1:{self.control}/ready") and self.serves()

    def serves(self) -> bool:
        return answers(f"http://127.0.0.1:{self.inference}/v2/health/live")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
