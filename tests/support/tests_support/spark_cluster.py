"""A real standalone cluster of Spark: a master and a worker in processes of their own, whose executors have a bare Python."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests_support import spark
from tests_support.postgres import required

EXECUTORS_NEED = ("numpy", "pyarrow", "msgspec", "onnxruntime")
"""What the documentation says; `bare_python` has these, what they themselves need, and nothing else."""
_THEY_NEED = ("numpy.libs", "pyarrow.libs", "google", "flatbuffers", "packaging",
              "coloredlogs", "humanfriendly", "sympy", "mpmath", "typing_extensions.py")  # fmt: skip
_MASTER, _WORKER = "org.apache.spark.deploy.master.Master", "org.apache.spark.deploy.worker.Worker"
_STARTED = re.compile(r"Starting Spark master at (spark://\S+)")
_SOON_SECONDS = 90


@contextmanager
def cluster(folder: Path, *, cores: int = 2) -> Iterator[str]:
    """The master's URL. Skips the test, or fails it where Spark is required, without one."""
    lacking = spark.missing()
    if lacking:
        (pytest.fail if required("spark") else pytest.skip)(lacking)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        master, log = _start(folder, "master", [_MASTER, "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"])
        processes.append(master)
        url = _said(log, _STARTED, master)
        worker = [_WORKER, "--host", "127.0.0.1", "--cores", str(cores), "--memory", "1g", "--webui-port", "0"]
        process, log = _start(folder, "worker", [*worker, "--work-dir", str(folder / "work"), url])
        processes.append(process)
        _said(log, re.compile(r"(Successfully registered) with master"), process)
        yield url
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def bare_python(folder: Path, packages: tuple[str, ...] = EXECUTORS_NEED) -> Path:
    """A command that is this Python with no site-packages but these: no Bailiwick among them."""
    site = folder / "site"
    site.mkdir(parents=True)
    installed = Path(next(path for path in sys.path if path.endswith("site-packages")))
    for name in (*packages, *_THEY_NEED):
        if (installed / name).exists():
            (site / name).symlink_to(installed / name)
    command = folder / "python"
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{site}" exec "{sys.executable}" -S "$@"\n', encoding="utf-8"
    )
    command.chmod(0o755)
    return command


def _start(folder: Path, name: str, words: list[str]) -> tuple[subprocess.Popen[bytes], Path]:
    home, log = spark.home(), folder / f"{name}.log"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"SPARK_HOME": str(home), "SPARK_DAEMON_MEMORY": "256m", "SPARK_NO_DAEMONIZE": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(home / "bin" / "spark-class"), *words], stdout=out, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True, cwd=folder,
        )  # fmt: skip
    return process, log


def _said(log: Path, pattern: re.Pattern[str], process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + _SOON_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = pattern.search(log.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found[1]
        time.sleep(0.2)
    raise AssertionError(f"Spark does not start:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
