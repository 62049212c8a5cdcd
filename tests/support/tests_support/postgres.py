"""A private PostgreSQL for the tests: a throw-away cluster on a Unix socket, or the server of `BAILIWICK_TEST_POSTGRES`."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest


def required(name: str) -> bool:
    """Whether `BAILIWICK_TEST_REQUIRE` says that a missing `name` must fail rather than skip."""
    return name in os.environ.get("BAILIWICK_TEST_REQUIRE", "").split(",")


def fresh_database(prepare: Callable[[str], None] | None = None) -> str:
    """URL of a new database: empty, or as `prepare` (called once a session) leaves it.

    Skips the test, or fails it where PostgreSQL is required, when there is none.
    """
    server = _server()
    if server is None:
        if required("postgres"):
            pytest.fail("PostgreSQL is required here and its binaries were not found")
        pytest.skip("PostgreSQL is not installed")
    template = _template(prepare) if prepare else "template0"
    name = _create(server, template)
    return server.format(name=name)


@contextmanager
def passing_database(prepare: Callable[[str], None] | None = None) -> Iterator[str]:
    """`fresh_database`, gone when the block ends: each takes 8 MB, and many hundred tests ask for one."""
    url = fresh_database(prepare)
    yield url
    _drop(url)


def _drop(url: str) -> None:
    import psycopg

    server = _server()
    assert server is not None
    name = urlsplit(url).path.removeprefix("/")
    with psycopg.connect(server.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@functools.cache
def _template(prepare: Callable[[str], None]) -> str:
    server = _server()
    assert server is not None
    name = _create(server, "template0")
    prepare(server.format(name=name))
    return name


def _create(server: str, template: str) -> str:
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return name


@functools.cache
def _server() -> str | None:
    given = os.environ.get("BAILIWICK_TEST_POSTGRES")
    if given:
        return given
    binaries = _binaries()
    return _start_cluster(binaries) if binaries else None


def _binaries() -> Path | None:
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found = str(candidates[0]) if candidates else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _start_cluster(binaries: Path) -> str:
    folder = Path(tempfile.mkdtemp(prefix="bailiwick-pg-", dir=_quick_folder()))
    data = folder / "data"
    as_user = _unprivileged(folder)
    subprocess.run(
        [*as_user, str(binaries / "initdb"), "-D", str(data), "-U", "bailiwick", "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
    )
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=60 -c max_wal_size=256MB"
    command = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w"]
    subprocess.run([*command, "start"], check=True, capture_output=True)
    atexit.register(_stop_cluster, [*command, "-m", "immediate", "stop"], folder)
    return "postgresql://bailiwick@/{name}?host=" + str(folder)


def _quick_folder() -> str | None:
    """Memory, where there is plenty: ext4 makes files slowly for minutes after many were removed, as here."""
    memory = "/dev/shm"
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    return memory if roomy else None


def _stop_cluster(command: list[str], folder: Path) -> None:
    subprocess.run(command, check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: root hands the folder to `nobody` and drops to it."""
    if os.geteuid() != 0:
        return []
    folder.chmod(0o755)
    shutil.chown(folder, "nobody", "nogroup")
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
