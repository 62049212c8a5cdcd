"""The home folder and the ports: made for its owner alone, and one supervisor at a time, not while children of an earlier
one are still ending.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from bailiwick.core.errors import Conflict, Unavailable

LINGER_SECONDS = 20.0


def make_home(home: Path) -> Path:
    """The folder, made if need be so that only its owner can enter. Raises Unavailable when it cannot be had."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise _unusable(home, error) from error
    return home


class HomeLock:
    """Two locks in the home: `supervisor.lock`, held by the one supervisor, in which it says where it answers, and `children.lock`, whose open file each
    child inherits, so that it is held for as long as any of them lives, whatever became of the supervisor.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.logs = home / "logs"
        self._supervisor = -1
        self._announced = False
        self.presence = -1
        """The descriptor that children must be given."""

    def take(self, report: Callable[[str], None]) -> None:
        """Raises Conflict while another supervisor has the home, Unavailable when the home cannot be used."""
        make_home(self.home)
        try:
            self._supervisor = _open(self.home / "supervisor.lock")
            self.presence = _open(self.home / "children.lock")
        except OSError as error:
            self.release()
            raise _unusable(self.home, error) from error
        if not _locked(self._supervisor):
            self.release()
            raise Conflict(
                f"Another `bailiwick up` is running on {self.home}.", hint="Stop it first, or choose another --home."
            )
        self._outwait(report)

    def _outwait(self, report: Callable[[str], None]) -> None:
        """A supervisor that was killed leaves children, which end by themselves within seconds."""
        deadline = time.monotonic() + LINGER_SECONDS
        said = False
        while not _locked(self.presence):
            if not said:
                report("Waiting for the processes of a supervisor that was killed to end.")
                said = True
            if time.monotonic() > deadline:
                self.release()
                raise Conflict(
                    f"Processes of an earlier `bailiwick up` on {self.home} do not end.",
                    hint=f"See {self.logs}, then stop them.",
                )
            time.sleep(0.05)

    def announce(self, address: str, workspace: str) -> None:
        """Say to commands on the home that a control plane of the workspace answers at this address (see `announced`)."""
        told = {"control": address, "workspace": workspace, "machine": socket.gethostname()}
        os.ftruncate(self._supervisor, 0)
        os.pwrite(self._supervisor, json.dumps(told).encode(), 0)
        self._announced = True

    def release(self) -> None:
        """Let another supervisor have the home."""
        if self._announced:
            os.ftruncate(self._supervisor, 0)
            self._announced = False
        for descriptor in (self.presence, self._supervisor):
            if descriptor >= 0:
                os.close(descriptor)
        self._supervisor = self.presence = -1


def announced(home: Path, workspace: str) -> str:
    """Where the control plane of the `bailiwick up` that has the home on this machine is said to answer; "" where none has."""
    try:
        told = json.loads((home / "supervisor.lock").read_bytes())
        presence = os.open(home / "children.lock", os.O_RDWR)
    except (OSError, ValueError):
        return ""
    try:
        if _locked(presence, fcntl.LOCK_SH):  # what is told is of one that was killed
            return ""
    finally:
        os.close(presence)
    here = {"workspace": workspace, "machine": socket.gethostname()}
    return str(told["control"]) if {key: told.get(key) for key in here} == here else ""


def require_free_port(host: str, port: int, what: str) -> None:
    """Raises Unavailable naming the port, the flag and the reason when nothing can listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unavailable(
                f"Port {port} on {host} cannot be used for {what}: {error.strerror}.",
                hint=f"Stop what uses it, or choose another with --{what}-port.",
            ) from error


def _unusable(home: Path, error: OSError) -> Unavailable:
    reason = "it is a file" if home.is_file() else error.strerror
    return Unavailable(f"{home} cannot be used as home: {reason}.", hint="Choose another with --home.")


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _locked(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
