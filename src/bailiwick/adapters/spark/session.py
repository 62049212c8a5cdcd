"""A session of Spark: given, found, or opened by the URL of a cluster. What was opened here is stopped here."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from bailiwick.core.errors import BailiwickError, Conflict, InvalidInput, MissingExtra, Unavailable
from bailiwick.data.engines.engine import engine_name

_RAISED = re.compile(r"[A-Za-z_][\w.]*: ")  # how Python ends a traceback
_URL = re.compile(r"(spark|yarn|local|local\[.+\]|(spark|k8s|sc)://[^?]+)(\?.*)?")
_LACKING = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '([\w.]+)'")
_NO_PYTHON = re.compile(r'Cannot run program "([^"]+)"')
_ANSWERS_WITHIN_SECONDS = 5

_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_LOCAL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}


def is_spark(url: str) -> bool:
    """Whether an engine's URL is one of Spark: a master's, `sc://` of Spark Connect, or the word `spark`."""
    return _URL.fullmatch(url) is not None


def open_session(url: str) -> tuple[Any, bool]:
    """A SparkSession and whether it was started for this call: then its owner stops it.

    `spark` is the session of this process, or one as Spark's own settings say; `sc://host:port` is Spark Connect; all else
    is a master. What stands after `?` are settings of the session, as in `spark://host:7077?spark.executor.memory=2g`.
    Raises MissingExtra without pyspark, Unavailable where Spark does not start or answer, Conflict for a session of another
    master in this process.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise MissingExtra.of("spark", "pyspark") from None
    from py4j.protocol import Py4JError

    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # errors are told once, by us
    address, _, given = url.partition("?")
    active = SparkSession.getActiveSession()
    if active is not None and address == "spark":
        return active, False
    _refuse_another(active, address)
    builder = SparkSession.builder.appName("bailiwick")
    if address.startswith("sc://"):
        settings = dict(parse_qsl(given))
        builder = builder.remote(address)
    else:
        settings = _settings(address, dict(parse_qsl(given)))
        if address != "spark":
            builder = builder.master(address)
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        if active is None:
            _look_for(address)
        with _python_of(address):
            return builder.getOrCreate(), active is None
    except (PySparkException, Py4JError, OSError, RuntimeError) as error:
        raise Unavailable(f"Spark at {engine_name(address)} does not start: {first_line(error)}.",
                          hint="Spark 4 needs Java 17 or later; set JAVA_HOME if it is not found.") from error  # fmt: skip


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """Spark's errors as ours: InvalidInput for what the question or the data did wrong, Unavailable for a lost server or for
    executors that lack Python or its packages.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import AnalysisException, ParseException, PySparkException

    try:
        yield
    except (AnalysisException, ParseException) as error:
        raise InvalidInput(f"{name} on spark: {first_line(error)}.", hint=_hint(str(error))) from error
    except (PySparkException, Py4JError) as error:
        raise _of_executors(name, str(error)) or _told(name, error) from error


def first_line(error: BaseException) -> str:
    """What an error of Spark says, without its stack and plan; of one in an executor's Python, what was raised there."""
    text = str(error).strip()
    if text.startswith("An error occurred while calling"):  # of the JVM, whose error is on the next line
        text = text.partition("\n")[2].removeprefix(": ") or text
    raised = [line for line in text.splitlines() if _RAISED.match(line)] if "Python worker" in text else []
    return ((raised[-1] if raised else text.partition("\n")[0]) or type(error).__name__).rstrip(".")


def _told(name: str, error: BaseException) -> BailiwickError:
    lost = type(error).__name__ == "SparkConnectGrpcException" and "UNAVAILABLE" in str(error)
    return (Unavailable if lost else InvalidInput)(f"{name} on spark: {first_line(error)}.", hint=_hint(str(error)))


def _of_executors(name: str, text: str) -> BailiwickError | None:
    """What executors lack, and what they should have."""
    lacking, no_python = _LACKING.search(text), _NO_PYTHON.search(text)
    if no_python:
        told = f"its executors have no {no_python[1]!r}"
    elif "PYTHON_VERSION_MISMATCH" in text or "Python in worker has different version" in text:
        told = "the Python of its executors is of another version than this one"
    elif lacking:
        told = f"the Python of its executors has no {lacking[1]!r}"
    else:
        return None
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Unavailable(
        f"{name} on spark: {told}.",
        hint=f"Executors need Python {python} with numpy, pyarrow, msgspec and onnxruntime: install them there, or send "
        "them with spark.archives; PYSPARK_PYTHON says where that Python is on the executors. Bailiwick itself is sent.",
    )


def _hint(text: str) -> str:
    if "Failed to find the data source: delta" in text or ("DATA_SOURCE_NOT_FOUND" in text and "delta" in text):
        return "Spark reads Delta by a package: ?spark.jars.packages=io.delta:delta-spark_4.1_2.13:4.1.0 behind the engine's URL."
    return ""


def _refuse_another(active: Any, address: str) -> None:
    """Spark would answer with the session that there is, whatever master is asked for."""
    if active is None or address == "spark":
        return
    connected = type(active).__module__.startswith("pyspark.sql.connect")
    if connected != address.startswith("sc://") or (not connected and active.sparkContext.master != address):
        there = "Spark Connect" if connected else active.sparkContext.master
        raise Conflict(f"This process has a session of {there}, and can have none of {engine_name(address)}.",
                       hint="Name it `spark`, or stop it.")  # fmt: skip


def _settings(address: str, given: dict[str, str]) -> dict[str, str]:
    quiet = {"spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
    local = _LOCAL if address.startswith("local") else {}
    delta = _DELTA if _has_delta(given) else {}
    return {**quiet, **local, **delta, **given}


def _has_delta(given: dict[str, str]) -> bool:
    """Whether Delta's jar comes with Spark or with the settings: without it, these two settings break a session."""
    if any("delta-spark" in given.get(name, "") for name in ("spark.jars", "spark.jars.packages")):
        return True
    from pyspark.find_spark_home import _find_spark_home

    return any(Path(_find_spark_home(), "jars").glob("delta-spark*.jar"))


def _look_for(address: str) -> None:
    """Raises OSError where no master answers: Spark itself would try for a minute."""
    if not address.startswith("spark://"):
        return
    refused: OSError | None = None
    for place in address.removeprefix("spark://").split(","):
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN_SECONDS).close()
        except (OSError, ValueError) as error:
            refused = OSError(f"{place}: {error}")
        else:
            return
    raise refused or OSError("it names no host")


@contextmanager
def _python_of(address: str) -> Iterator[None]:
    """Where executors are of this machine and nobody says otherwise, they run the Python of this process."""
    if not address.startswith("local") or "PYSPARK_PYTHON" in os.environ:
        yield
        return
    os.environ["PYSPARK_PYTHON"] = sys.executable
    try:
        yield
    finally:
        del os.environ["PYSPARK_PYTHON"]
