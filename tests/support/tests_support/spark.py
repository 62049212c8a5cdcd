"""A Spark session for the tests: pyspark of `.spark` (or installed), local, with Java of the machine."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests_support.postgres import required
from tests_support.source import ROOT

SITE = ROOT / ".spark" / "site"
OLDEST = ROOT / ".spark" / "3.5" / "site"
JARS = ROOT / ".spark" / "jars"


def delta_settings() -> str:
    """Behind the URL of an engine, what lets Spark read and write Delta. Skips the test, or fails it where Spark is required."""
    lacking = missing() or (
        "" if list(JARS.glob("delta-spark*.jar")) else "Delta is not there: run tools/spark_packages.py"
    )
    if lacking:
        (pytest.fail if required("spark") else pytest.skip)(lacking)
    return "?spark.jars=" + ",".join(map(str, sorted(JARS.glob("*.jar"))))


def session() -> Any:
    """The session of this process, started once. Skips the test, or fails it where Spark is required, without one."""
    lacking = missing()
    if lacking:
        if required("spark"):
            pytest.fail(f"Spark is required here: {lacking}")
        pytest.skip(lacking)
    return _session()


@functools.cache
def missing() -> str:
    """What Spark lacks here, in words; empty when it can be started."""
    if SITE.is_dir() and str(SITE) not in sys.path:
        sys.path.append(str(SITE))  # last: what the platform has comes first
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed: run tools/spark_packages.py"
    java = shutil.which("java") or os.path.join(os.environ.get("JAVA_HOME", ""), "bin", "java")  # noqa: PTH118
    try:
        subprocess.run([java, "-version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "Java is not installed: Spark needs version 17 or later"
    return ""


def home() -> Path:
    """Where Spark's own scripts and jars are."""
    found = importlib.util.find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


@functools.cache
def _session() -> Any:
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2]").appName("tests")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(ROOT / ".spark" / "warehouse"),
        "spark.sql.session.timeZone": "America/Anchorage",  # answers must not hang on it
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    with pytest.MonkeyPatch.context() as patch:  # the JVM keeps it for its workers
        patch.setenv("PYTHONPATH", str(ROOT / "src"), prepend=os.pathsep)
        started = builder.getOrCreate()
    atexit.register(started.stop)
    return started
