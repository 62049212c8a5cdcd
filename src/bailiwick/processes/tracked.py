"""Any command as a run: started with what MLflow's client needs to log into the run, watched, and recorded to its end."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

from bailiwick.adapters.mlflow.recording import RecordedRun, RunRecorder
from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.tracking.model import MAX_TAG_LENGTH, RunStatus
from bailiwick.tracking.provenance.code import describe_code
from bailiwick.tracking.provenance.host import describe_host
from bailiwick.tracking.provenance.lock import Lock, lock_of
from bailiwick.tracking.provenance.meters import Meters
from bailiwick.tracking.provenance.sampler import Sampler
from bailiwick.tracking.provenance.surroundings import Surroundings

COMMAND_TAG = "bailiwick.command"
EXIT_TAG = "bailiwick.exit"
LOG_FILE = "logs/output.log"
_LONGEST_LINE = 1 << 16
KEPT_BYTES = 4 << 20
"""Of the output: this much of its beginning, and as much of its end."""
NOT_EXECUTABLE_STATUS = 126
"""As a shell tells it."""
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

OF_ANOTHER_SERVER = frozenset(
    {
        "MLFLOW_EXPERIMENT_ID",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_WORKSPACE",
    }
)
"""What the command's environment may say of the server that it would have logged to."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, and how to record it. `system_metrics_seconds` 0 samples nothing; without `links`, the server ends with the
    command, so that MLflow's client is to print none.
    """

    command: tuple[str, ...]
    experiment: str
    name: str
    token: str
    workspace: str
    keep_changes: bool
    system_metrics_seconds: int
    links: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: `exit_status` as a shell tells it, `troubles` what could not be recorded."""

    run: str
    experiment_id: str
    status: str
    exit_status: int
    seconds: float
    troubles: tuple[str, ...]


def track(order: Order, recorder: RunRecorder, *, out: IO[bytes], err: IO[bytes], report: Report) -> Outcome:
    """Run the command here, its output passed on and kept. Raises only before it begins; then nothing stops it but signals.

    A status of 0 is FINISHED, any other FAILED; a command that was told to end, by Ctrl-C or a signal to this process, is KILLED.
    """
    _require_program(order.command[0])
    around = _surroundings(order)
    source = {
        "mlflow.source.name": _shown(order.command),
        "mlflow.source.type": "LOCAL",
        COMMAND_TAG: _shown(order.command),
    }
    run = recorder.start(order.experiment, name=order.name, user=_user(), tags={**source, **around.tags()})
    report(f"Run {run.id} in experiment {order.experiment!r}")
    return _Tracked(order, recorder, run, report).execute(around, out=out, err=err)


class _Tracked:
    """One command under way."""

    def __init__(self, order: Order, recorder: RunRecorder, run: RecordedRun, report: Report) -> None:
        self._order = order
        self._recorder = recorder
        self._run = run
        self._report = report
        self._stopped = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.troubles: list[str] = []

    def execute(self, around: Surroundings, *, out: IO[bytes], err: IO[bytes]) -> Outcome:
        before = {number: signal.signal(number, self._on_signal) for number in FORWARDED}
        begun = time.monotonic()
        output = _Output(KEPT_BYTES)
        try:
            self._keep_all(around.files())
            status = 128 + self._stopped if self._stopped else self._watch(output, out, err)
            seconds = time.monotonic() - begun
            ended = RunStatus.KILLED if self._stopped else RunStatus.FAILED if status else RunStatus.FINISHED
            if data := output.data():
                self._keep_all({LOG_FILE: data})
            self._attempt("its exit status", lambda: self._recorder.tag(self._run, {EXIT_TAG: _told(status)}))
            self._attempt("its end", lambda: self._recorder.finish(self._run, ended))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        run = self._run
        return Outcome(run.id, run.experiment_id, ended.value, status, round(seconds, 3), tuple(self.troubles))

    def _watch(self, output: _Output, out: IO[bytes], err: IO[bytes]) -> int:
        try:
            process = subprocess.Popen(
                self._order.command, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            self._report(f"{self._order.command[0]} cannot be run: {error.strerror}.")
            return NOT_EXECUTABLE_STATUS
        self._process = process
        if self._stopped:  # while it was being started
            process.send_signal(self._stopped)
        sampler = self._sampler(process.pid)
        assert process.stdout is not None
        assert process.stderr is not None
        pumps = [
            threading.Thread(target=_pump, args=(source, target, output), daemon=True)
            for source, target in ((process.stdout, out), (process.stderr, err))
        ]
        for pump in pumps:
            pump.start()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        if sampler is not None:
            sampler.stop()  # while the system still tells what the process has used
        status = process.wait()
        for pump in pumps:
            pump.join(5)  # what it left running in the background may hold the pipe open
        return status if status >= 0 else 128 - status

    def _sampler(self, pid: int) -> Sampler | None:
        if not self._order.system_metrics_seconds:
            return None
        sampler = Sampler(
            Meters(pid),
            lambda points: self._recorder.log(self._run, points),
            seconds=self._order.system_metrics_seconds,
        )
        sampler.start()
        return sampler

    def _environment(self) -> dict[str, str]:
        """An unmodified script that uses MLflow logs into the run; what it prints arrives as it is printed."""
        order = self._order
        found = {
            "MLFLOW_TRACKING_URI": self._recorder.url,
            "MLFLOW_RUN_ID": self._run.id,
            "MLFLOW_EXPERIMENT_NAME": order.experiment,
            "PYTHONUNBUFFERED": os.environ.get("PYTHONUNBUFFERED", "1"),
        }
        if order.token:
            found["MLFLOW_TRACKING_TOKEN"] = order.token
        if order.workspace != "default":
            found["MLFLOW_WORKSPACE"] = order.workspace
        if order.system_metrics_seconds:
            found["MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"] = "false"  # they would be logged twice
        if not order.links:
            found["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        inherited = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_SERVER}
        return {**inherited, **found}

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Ctrl-C on a terminal reaches the command by itself; every other signal is handed on. The third time, it is killed."""
        again, self._stopped = bool(self._stopped), number
        process = self._process
        if process is None or process.poll() is not None:
            return
        if number != signal.SIGINT or not _in_foreground():
            with suppress(ProcessLookupError):
                process.send_signal(number)
        if again:
            self._report("Still waiting for the command to end; it is killed now.")
            process.kill()

    def _keep_all(self, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            self._attempt(f"artifact {path}", partial(self._recorder.keep, self._run, path, data))

    def _attempt(self, what: str, record: Callable[[], None]) -> None:
        """The command counts for more than its record: what cannot be recorded is told, and the rest goes on."""
        try:
            record()
        except BailiwickError as error:
            self.troubles.append(f"{what} is not recorded: {error}")
            self._report(self.troubles[-1])


class _Output:
    """The beginning and the end of what was printed, from several threads."""

    def __init__(self, kept_bytes: int) -> None:
        self._kept = kept_bytes
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dropped = 0
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        """What came next."""
        with self._lock:
            room = self._kept - len(self._head)
            self._head += data[:room]
            rest = data[max(0, room) :]
            if rest:
                self._tail.append(rest)
                self._tail_bytes += len(rest)
            while self._tail_bytes - len(self._tail[0] if self._tail else b"") >= self._kept:
                gone = self._tail.popleft()
                self._tail_bytes -= len(gone)
                self._dropped += len(gone)

    def data(self) -> bytes:
        """All of it, or both ends with a line between that says what is left out."""
        with self._lock:
            cut = f"\n… {self._dropped} bytes left out …\n".encode() if self._dropped else b""
            return bytes(self._head) + cut + b"".join(self._tail)


def _pump(source: IO[bytes], target: IO[bytes], output: _Output) -> None:
    """What is kept is kept in whole lines, so that those of two streams do not run into one another."""
    shown, begun = True, b""
    while data := source.read1(1 << 16):  # type: ignore[attr-defined] # pipes of Popen are buffered readers
        begun += data
        end = len(begun) if len(begun) > _LONGEST_LINE else max(begun.rfind(b"\n"), begun.rfind(b"\r")) + 1
        output.add(begun[:end])
        begun = begun[end:]
        if shown:
            try:
                target.write(data)
                target.flush()
            except (OSError, ValueError):  # nobody reads any more; the run goes on
                shown = False
    output.add(begun)


def _surroundings(order: Order) -> Surroundings:
    folder = Path.cwd()
    return Surroundings(
        describe_code(folder, keep_changes=order.keep_changes), _lock(order.command, folder), describe_host()
    )


def _lock(command: Sequence[str], folder: Path) -> Lock | None:
    """Of the Python that the command starts: named in it (`uv run python …`), or by the first line of its script."""
    for at, word in enumerate(command):
        if _is_python(word):
            return lock_of(command[: at + 1], folder, os.environ)
    script = Path(shutil.which(command[0]) or command[0])
    try:
        with script.open("rb") as file:
            first = file.readline(500)
    except OSError:
        return None
    words = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    return lock_of(words, folder, os.environ) if any(map(_is_python, words)) else None


def _is_python(word: str) -> bool:
    return Path(word).name.rstrip("0123456789.") in {"python", "pypy"}


def _require_program(program: str) -> None:
    if shutil.which(program) is None:
        raise InvalidInput(
            f"{program[:200]!r} is no program that can be run from here.",
            hint="Name it after --, as in: bailiwick track -- python train.py",
        )


def _in_foreground() -> bool:
    """Whether a terminal sends its signals to the command as well as to us."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno()) == os.getpgrp() if sys.__stdin__ else False
    except (OSError, ValueError):
        return False


def _shown(command: Sequence[str]) -> str:
    text = shlex.join(command).encode("utf-8", "replace").decode()
    return text[:MAX_TAG_LENGTH]


def _told(status: int) -> str:
    if status > 128:
        with suppress(ValueError):
            return f"{status} ({signal.Signals(status - 128).name})"
    return str(status)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in many containers
        return ""
