"""The figures of every worker of a machine in one answer, whichever of them is asked.

Workers share a port, so whoever scrapes it meets one of them by chance. The one that is met asks the others, over Unix
sockets that threads answer, so that a worker whose event loop is busy is heard too. Each series has a label `worker`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from bailiwick.serving.balance import process_is_alive

ANSWER_SECONDS = 1.0
"""What is waited for all the others together."""

_UP = "bailiwick_worker_up"
_log = logging.getLogger(__name__)


class _Place(NamedTuple):
    """Where a worker is asked: its number, its process, and since when it is there."""

    worker: str
    process: int
    since: int
    name: str


class Figures:
    """One worker's place among those that share `port` and `folder`. Any thread may call `of_all`."""

    def __init__(self, folder: Path, port: int, worker: int, exposition: Callable[[], bytes]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._exposition = exposition
        self._prefix = f"figures-{port}-"
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._name = f"{self._prefix}{worker}-{os.getpid()}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._answer_on, name="figures", daemon=True)
        self._closing = False

    def start(self) -> None:
        """Be there for the others from now on."""
        _remove(self._path(self._name))
        self._socket.bind(self._path(self._name))
        self._socket.listen(16)
        self._thread.start()

    def close(self) -> None:
        """Be gone."""
        self._closing = True
        _remove(self._path(self._name))
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join()
        self._socket.close()
        os.close(self._folder)

    def of_all(self) -> bytes:
        """Prometheus text format of all that answer within a second, and who they are."""
        until = time.monotonic() + ANSWER_SECONDS
        told, up = [], {}
        for place in self._places():
            said = self._exposition() if place.name == self._name else self._asked(place, until)
            up[place.worker] = said is not None
            told += [said] if said is not None else []
        known = b"".join(b'%b{worker="%b"} %d.0\n' % (_UP.encode(), name.encode(), up[name]) for name in sorted(up))
        head = f"# HELP {_UP} Whether a worker of this machine told its figures\n# TYPE {_UP} gauge\n"
        return joined([*told, head.encode() + known])

    def _places(self) -> list[_Place]:
        """Of each worker the process that began last: one that is being replaced goes on for a while."""
        found: list[_Place] = []
        for name in os.listdir(self._folder):  # noqa: PTH208 - an open folder has no path
            worker, _, process = name.removeprefix(self._prefix).partition("-")
            if not name.startswith(self._prefix) or not process.isdigit():
                continue
            with suppress(FileNotFoundError):
                since = os.stat(name, dir_fd=self._folder).st_ctime_ns
                found.append(_Place(worker, int(process), since, name))
        gone = [place for place in found if not process_is_alive(place.process)]
        for place in gone:
            _remove(self._path(place.name))
        left = sorted((place for place in found if place not in gone), key=lambda place: place.since)
        return sorted({place.worker: place for place in left}.values())

    def _asked(self, place: _Place, until: float) -> bytes | None:
        parts: list[bytes] = []
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as asking:
            try:
                asking.settimeout(max(0.05, until - time.monotonic()))
                asking.connect(self._path(place.name))
                while part := asking.recv(1 << 16):
                    parts.append(part)
                    asking.settimeout(max(0.05, until - time.monotonic()))
            except OSError:
                return None
        return b"".join(parts)

    def _answer_on(self) -> None:
        while not self._closing:
            try:
                asking, _ = self._socket.accept()
                with closing(asking):
                    asking.settimeout(ANSWER_SECONDS)
                    asking.sendall(self._exposition())
            except Exception:  # noqa: BLE001 - the edge of a thread: one that asks and goes away ends nothing
                if not self._closing:
                    _log.warning("another worker could not be told the figures of this one", exc_info=True)
                    time.sleep(0.1)

    def _path(self, name: str) -> str:
        """By way of the open folder, because a socket's path may have no more than 107 characters."""
        return f"/proc/self/fd/{self._folder}/{name}"


def joined(expositions: Iterable[bytes]) -> bytes:
    """Several texts as one: each family once, with the series of all."""
    heads: dict[bytes, list[bytes]] = {}
    series: dict[bytes, list[bytes]] = {}
    for exposition in expositions:
        family, known = b"", False
        for line in exposition.splitlines(keepends=True):
            if line.startswith(b"# HELP "):
                family = line.split(b" ", 3)[2]
                known = family in heads
            if not line.startswith(b"#"):
                series.setdefault(family, []).append(line)
            elif not known:
                heads.setdefault(family, []).append(line)
    return b"".join(line for family, head in heads.items() for line in (*head, *series.get(family, ())))


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a path of /proc, which is no place of a file
