"""A session of Spark: given, found, or opened by the URL of a cluster. What was opened here is stopped here."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bailiwick.core.errors import InvalidInput, MissingExtra, Unavailable

_RAISED = re.compile(r"[A-Za-z_][\w.]*: ")  # how Python ends a traceback
_URL = re.compile(r"spark|yarn|local|local\[.+\]|(spark|k8s|sc)://.+")


def is_spark(url: str) -> bool:
    """Whether an engine's URL is one of Spark: a master's, `sc://` of Spark Connect, or the word `spark`."""
    return _URL.fullmatch(url) is not None


def open_session(url: str) -> tuple[Any, bool]:
    """A SparkSession and whether it was started for this call: then its owner stops it.

    `spark` is the session of this process, or one as Spark's own settings say; `sc://host:port` is Spark Connect; all else
    is a master. Raises MissingExtra without pyspark, Unavailable where Spark does not start.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise MissingExtra.of("spark", "pyspark") from None
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # errors are told once, by us
    active = SparkSession.getActiveSession()
    if active is not None and url == "spark":
        return active, False
    builder = SparkSession.builder.appName("bailiwick")
    if url.startswith("sc://"):
        builder = builder.remote(url)
    else:
        builder = builder.config("spark.ui.showConsoleProgress", "false").config("spark.log.level", "ERROR")
        if url != "spark":
            builder = builder.master(url)
        if url.startswith("local"):
            for setting in ("spark.driver.host", "spark.driver.bindAddress"):
                builder = builder.config(setting, "127.0.0.1")
            builder = builder.config("spark.ui.enabled", "false")
    try:
        return builder.getOrCreate(), active is None
    except (PySparkException, OSError, RuntimeError) as error:
        raise Unavailable(f"Spark at {url} does not start: {first_line(error)}.",
                          hint="Spark 4 needs Java 17 or later; set JAVA_HOME if it is not found.") from error  # fmt: skip


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """Spark's errors as ours: InvalidInput for what the question or the data did wrong, Unavailable for a lost server."""
    from pyspark.errors import AnalysisException, ParseException, PySparkException

    try:
        yield
    except (AnalysisException, ParseException) as error:
        raise InvalidInput(f"{name} on spark: {first_line(error)}.") from error
    except PySparkException as error:
        if type(error).__name__ == "SparkConnectGrpcException" and "UNAVAILABLE" in str(error):
            raise Unavailable(f"{name} on spark: {first_line(error)}.") from error
        raise InvalidInput(f"{name} on spark: {first_line(error)}.") from error


def first_line(error: BaseException) -> str:
    """What an error of Spark says, without its stack and plan; of one in an executor's Python, what was raised there."""
    text = str(error).strip()
    raised = [line for line in text.splitlines() if _RAISED.match(line)] if "Python worker" in text else []
    return ((raised[-1] if raised else text.partition("\n")[0]) or type(error).__name__).rstrip(".")
