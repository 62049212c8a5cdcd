"""A control plane of one's own for a while: for a command that needs a server, on a home that may have none running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from bailiwick.core.errors import Unavailable
from bailiwick.core.settings import LOOPBACK, Settings
from bailiwick.processes.environment import as_environment
from bailiwick.processes.home import announced, make_home
from bailiwick.processes.parent import PARENT_PIPE

READY_SECONDS = 30.0
STOP_SECONDS = 15.0


def control_here(settings: Settings) -> str:
    """Where the `bailiwick up` that runs on the home answers whoever is on this machine; "" where none does."""
    address = announced(settings.home.resolve(), settings.workspace)
    return address if urlsplit(address).hostname in LOOPBACK and _answers(address) else ""


@contextmanager
def lent_control(settings: Settings) -> Iterator[str]:
    """Its address, on loopback, until the block is left; it ends with this process too. Raises Unavailable if it does not come up."""
    home = make_home(settings.home.resolve())
    address = replace(settings, host="127.0.0.1", control_port=_free_port(), control_url="", insecure=False)
    reading, writing = os.pipe()
    try:
        with (home / "logs" / "control.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bailiwick.processes.child", "control"],
                env={**as_environment(address), PARENT_PIPE: str(reading)},
                pass_fds=(reading,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the command; the run is recorded after it
            )
        try:
            _wait(process, address.control_address, log.name)
            yield address.control_address
        finally:
            _stop(process)
    finally:
        os.close(reading)
        os.close(writing)


def _wait(process: subprocess.Popen[bytes], address: str, log: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unavailable("The control plane for this command does not come up.", hint=f"See {log}.")
        time.sleep(0.02)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2):  # noqa: S310 - our own child, on loopback
            return True
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
