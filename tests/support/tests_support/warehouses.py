"""Emulators of warehouses for the tests, each in an environment of its own that has the vendor's own client too."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests_support.postgres import required
from tests_support.source import ROOT

HOME = ROOT / ".warehouses"
STORIES = ROOT / "tests" / "adapters" / "warehouses"
_SOON_SECONDS = 120


def packages(name: str) -> Path:
    """Where the client's packages are. Skips the test, or fails it where warehouses are required, without them."""
    found = sorted((HOME / name).glob("lib/python*/site-packages"))
    if not found:
        lacking = f"The emulator of {name} is not there: run tools/warehouse_emulators.py"
        (pytest.fail if required("warehouses") else pytest.skip)(lacking)
    return found[0]


@contextmanager
def emulator(name: str, folder: Path) -> Iterator[int]:
    """The port at which an emulator answers."""
    packages(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    log = folder / f"{name}.log"
    command = [str(HOME / name / "bin" / "python"), str(STORIES / f"{name}_server.py"), str(port)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + _SOON_SECONDS
        while not _answers(port):
            told = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            assert process.poll() is None, f"{name} does not start:\n{told}"
            assert time.monotonic() < until, f"{name} does not answer:\n{told}"
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def story(name: str, *arguments: object, file: str = "") -> Any:
    """What a script tells, run by this Python with the client's packages behind its own."""
    script = STORIES / (file or f"{name}_story.py")
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests" / "support")])
    environment["BAILIWICK_TEST_PACKAGES"] = str(packages(name))
    command = [sys.executable, str(script), *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.strip().splitlines()[-1])


def as_kept(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """An answer as JSON keeps it, in an order that does not hang on which zero an engine took."""
    plain = [[int(value) if isinstance(value, Decimal) else value for value in row] for row in rows]
    return sorted(plain, key=lambda row: repr([value + 0.0 if isinstance(value, float) else value for value in row]))


def near(one: Any, other: Any) -> bool:
    """Whether answers are equal, but for the last digits of doubles, whose sums differ from run to run."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(near, one, other))
    return bool(one == other or (isinstance(one, float) and one == pytest.approx(other, rel=1e-12)))


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
