"""Starting and ending confined programs."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import bailiwick
from bailiwick.confinement.model import NOBODY, InForce, Program
from bailiwick.core.errors import Unavailable

START_SECONDS = 30.0
_SAID_BYTES = 8_192
_SOURCE = Path(bailiwick.__file__).resolve().parents[1]
_LAUNCH = "import sys; sys.path.insert(0, {source!r}); from bailiwick.confinement.launcher import main; main()"


class CannotConfine(Unavailable):
    """The kernel does not let a program be kept from what it must not read, so it was not started."""

    code = "cannot_confine"


class ConfinedProcess:
    """A running program: `channel` is a stream socket to it, `in_force` what keeps it in, `pid` its number here.

    It ends when it is closed, and also when this process does, however that dies.
    """

    def __init__(
        self, launcher: subprocess.Popen[bytes], channel: socket.socket, lifeline: int, pid: int, in_force: InForce
    ) -> None:
        self.channel = channel
        self.in_force = in_force
        self.pid = pid
        self._launcher = launcher
        self._lifeline = lifeline
        self._said = bytearray()
        self._reader = threading.Thread(target=self._listen, name=f"confined-{pid}", daemon=True)
        self._reader.start()

    @property
    def resident_bytes(self) -> int:
        """Memory that it holds now; 0 when it is gone."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        except (OSError, IndexError):
            return 0

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._launcher.poll() is None

    def last_words(self) -> str:
        """The end of what it printed."""
        self._reader.join(0.5 if not self.alive else 0.0)
        return self._said.decode(errors="replace").strip()

    def ending(self, wait_seconds: float = 1.0) -> str:
        """How it ended, in words; empty while it runs."""
        try:
            status = self._launcher.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            return ""
        if status > 128:
            with suppress(ValueError):
                return f"killed by {signal.Signals(status - 128).name}"
        return f"exit status {status}"

    def close(self) -> None:
        """Kill it, if it runs, and wait until it is gone. May be called again."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        self.channel.close()
        try:
            self._launcher.wait(5)
        except subprocess.TimeoutExpired:
            self._launcher.kill()
            self._launcher.wait()
        self._reader.join(1)

    def _listen(self) -> None:
        """What it prints is read for as long as it prints, so that it never waits; only the end is kept."""
        stream = self._launcher.stdout
        assert stream is not None
        with stream:
            while data := os.read(stream.fileno(), 4096):
                self._said += data
                del self._said[:-_SAID_BYTES]


def start(program: Program) -> ConfinedProcess:
    """Start a program confined. Raises CannotConfine, saying what cannot be kept from it; Unavailable."""
    ours, theirs = socket.socketpair()
    report, told = os.pipe()
    held, lifeline = os.pipe()
    launcher: subprocess.Popen[bytes] | None = None
    try:
        with _given_away(theirs, told, held):
            launcher = _launch(program, theirs.fileno(), told, held)
        pid, in_force = _confined(report)
    except BaseException as error:
        ours.close()
        os.close(lifeline)
        if launcher is not None:
            launcher.kill()
            launcher.communicate()
        if isinstance(error, OSError):
            raise Unavailable(f"No process can be started for a model: {error}.") from error
        raise
    finally:
        os.close(report)
    return ConfinedProcess(launcher, ours, lifeline, pid, in_force)


@contextmanager
def _given_away(channel: socket.socket, *descriptors: int) -> Iterator[None]:
    """What the other side has is closed on this one, so that each hears when the other is gone."""
    try:
        yield
    finally:
        channel.close()
        for descriptor in descriptors:
            os.close(descriptor)


def examine(protected: Path) -> InForce:
    """What confinement there would be on this machine. Raises CannotConfine, Unavailable."""
    with tempfile.TemporaryDirectory(prefix="bailiwick-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        readable = [path for path in (Path("/usr/bin"), Path("/bin")) if path.exists()]
        program = Program(["/bin/true"], folder, readable, [], [protected] if protected.exists() else [])
        started = start(program)
        started.close()
    return started.in_force


def _launch(program: Program, channel: int, report: int, lifeline: int) -> subprocess.Popen[bytes]:
    limits = {name: value for name, value in asdict(program.limits).items() if value is not None}
    wanted = {
        "command": [part.replace("{channel}", str(channel)) for part in program.command],
        "environment": dict(program.environment),
        "cwd": str(program.cwd),
        "readable": [str(path) for path in program.readable],
        "writable": [str(path) for path in program.writable],
        "protected": [str(path) for path in program.protected],
        "limits": limits,
        "user": NOBODY,
        "unconfined": program.unconfined,
        "channel": channel,
        "report": report,
        "lifeline": lifeline,
    }
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LAUNCH.format(source=str(_SOURCE)), json.dumps(wanted)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(channel, report, lifeline),
        env={},
        cwd="/",
        start_new_session=True,
    )


def _confined(report: int) -> tuple[int, InForce]:
    """Read the launcher's report to its end, which is when the program has been started."""
    heard, deadline = b"", time.monotonic() + START_SECONDS
    while select.select([report], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(report, 65_536)
        if not data:
            break
        heard += data
    said: dict[str, object] = {}
    for line in heard.splitlines():
        said |= json.loads(line)
    if "error" in said:
        raise CannotConfine(
            f"A model cannot be confined on this machine: {said['error']}.",
            hint="See docs/decisions/0011; `models_unconfined` accepts the risk.",
        )
    found = said.get("in_force")
    if not isinstance(found, dict) or not isinstance(said.get("pid"), int):
        raise Unavailable("The process that confines a model ended before it began.")
    return int(str(said["pid"])), InForce(
        files=bool(found["protected"]),
        network=bool(found["network"]),
        system_calls=bool(found["system_calls"]),
        namespaces=bool(found["namespaces"]),
        landlock=int(found["landlock"]),
        user=int(found["user"]),
    )
