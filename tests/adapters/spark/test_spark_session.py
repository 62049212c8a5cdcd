"""URLs of sessions, and what Spark's errors become; no Spark is started."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from bailiwick.adapters.spark.frames import read_frame, write_frame
from bailiwick.adapters.spark.session import _settings, first_line, is_spark, open_session, told_of
from bailiwick.adapters.spark.shipping import _archive
from bailiwick.core.errors import BailiwickError, InvalidInput, Unavailable
from tests_support import spark
from tests_support.postgres import required


@pytest.fixture(autouse=True)
def pyspark() -> None:
    lacking = spark.missing()
    if lacking:
        (pytest.fail if required("spark") else pytest.skip)(lacking)


def test_a_url_may_carry_settings() -> None:
    for url in (
        "spark",
        "local[2]?a=b",
        "spark://h:7077?spark.executor.memory=1g",
        "sc://h:15002/;token=x",
        "yarn?a=b",
    ):
        assert is_spark(url), url
    for url in ("sparks", "spark:/x", "localhost:7077", "postgresql://x?spark=1"):
        assert not is_spark(url), url


def test_delta_is_set_up_where_its_jar_is_and_nowhere_else() -> None:
    assert "spark.sql.extensions" not in _settings("local[2]", {})
    for name in ("spark.jars", "spark.jars.packages"):
        settings = _settings("spark://h:1", {name: "io.delta:delta-spark_4.1_2.13:4.1.0"})
        assert settings["spark.sql.catalog.spark_catalog"].endswith("DeltaCatalog")
    own = _settings("local[2]", {"spark.jars": "/x/delta-spark.jar", "spark.sql.extensions": "mine"})
    assert own["spark.sql.extensions"] == "mine"
    assert own["spark.driver.host"] == "127.0.0.1"


@pytest.mark.parametrize(("text", "kind", "words"), [
    ("Python worker failed:\n  ModuleNotFoundError: No module named 'pyarrow'", Unavailable, "has no 'pyarrow'"),
    ('Cannot run program "python9": error=2, No such file', Unavailable, "have no 'python9'"),
    ("[PYTHON_VERSION_MISMATCH] Python in worker has different version", Unavailable, "of another version"),
    ("Job aborted due to stage failure\nat x", InvalidInput, "t on spark: Job aborted due to stage failure."),
    ("[DATA_SOURCE_NOT_FOUND] Failed to find the data source: delta.", InvalidInput, "io.delta:delta-spark"),
])  # fmt: skip
def test_an_error_of_spark_is_told_as_what_it_is(text: str, kind: type[BailiwickError], words: str) -> None:
    from pyspark.errors import PySparkException

    with pytest.raises(kind) as caught, told_of("t"):
        raise PySparkException(text)
    assert words in str(caught.value)
    if kind is Unavailable:
        assert f"{sys.version_info.major}.{sys.version_info.minor} with numpy, pyarrow, msgspec" in str(caught.value)


def test_an_error_of_the_jvm_is_told_by_its_own_words() -> None:
    error = RuntimeError("An error occurred while calling o1.collect.\n: org.x.SparkException: too large\n\tat a.b")
    assert first_line(error) == "org.x.SparkException: too large"


def test_a_cluster_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.sql import SparkSession

    # Other tests of this process may have a session, beside which none of another master can be had.
    monkeypatch.setattr(SparkSession, "getActiveSession", classmethod(lambda _: None))
    for url in ("spark://127.0.0.1:1", "spark://127.0.0.1:1,127.0.0.1:2?spark.executor.memory=1g", "spark://nowhere"):
        with pytest.raises(Unavailable, match="does not start"):
            open_session(url)


def test_what_is_sent_to_executors_is_what_they_run_and_the_same_each_time() -> None:
    import zipfile

    with zipfile.ZipFile(_archive()) as archive:
        names = archive.namelist()
        assert "bailiwick/adapters/spark/executors.py" in names
        assert "bailiwick/features/graph.py" in names
        assert not [name for name in names if name.startswith(("bailiwick/store", "bailiwick/cli", "bailiwick/data"))]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert _archive() == _archive()


def test_a_target_that_holds_no_lists_or_is_no_place_is_refused() -> None:
    frame: Any = None
    for target, existing in (("csv:/x", "new"), ("/x.csv", "new"), ("SELECT 1", "new"), ("t", "perhaps")):
        with pytest.raises(InvalidInput):
            write_frame(frame, target, existing=existing)


def test_a_version_stands_behind_a_delta_table() -> None:
    asked: list[Any] = []

    class Reader:
        read = property(lambda self: self)

        def format(self, form: str) -> Reader:
            asked.append(form)
            return self

        def option(self, name: str, value: str) -> Reader:
            asked.append((name, value))
            return self

        def load(self, path: str) -> str:
            return path

    for source, path in (
        ("delta:/lake/t@3", "/lake/t"),
        ("delta:/lake/t", "/lake/t"),
        ("delta:/lake/a@b", "/lake/a@b"),
    ):
        assert read_frame(Reader(), source) == path
    assert asked == ["delta", ("versionAsOf", "3"), "delta", "delta"]
