"""A training run of the project file on Spark: the features of the same rows read here, and the same verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.testing.clock import FakeClock
from tests_support import spark
from tests_support.fraud_project import CODE, PROJECT, rows
from tests_support.rows_there import outputs, run_steps

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(600),
]

PLAIN = "features:\n  amount: number\n  country: {category: {min_count: 5}}\n"
FEATURES = "features:\n  amount: {scale: standard}\n  country: {one_hot: {min_count: 5}}\n"


@pytest.fixture
def platform(tmp_path: Path, sqlite_template: Path, clock: FakeClock) -> Iterator[Platform]:
    settings = Settings(home=tmp_path / "home")
    settings.home.mkdir(parents=True)
    (settings.home / "bailiwick.db").write_bytes(sqlite_template.read_bytes())
    opened = open_platform(settings, clock)
    yield opened
    opened.close()


def test_a_run_on_spark_is_that_of_the_rows_read_here(platform: Platform, admin: Actor, tmp_path: Path) -> None:
    spark.session()  # which `engine: spark` finds, and leaves open
    data = tmp_path / "data"
    data.mkdir()
    pq.write_table(rows(), data / "first.parquet")
    (tmp_path / "fraud.py").write_text(CODE, encoding="utf-8")
    text = PROJECT.replace(PLAIN, FEATURES).replace("trials: 2", "trials: 1")
    (tmp_path / "bailiwick.yaml").write_text(text, encoding="utf-8")
    here = run_steps(platform, admin, tmp_path)
    assert here.status == "FINISHED", here.message
    there = text.replace("source: data/*.parquet", f"source: {data / 'first.parquet'}\n  engine: spark")
    (tmp_path / "bailiwick.yaml").write_text(there, encoding="utf-8")
    run = run_steps(platform, admin, tmp_path)
    assert run.status == "FINISHED", run.message
    assert outputs(run, "features")["features"] == outputs(here, "features")["features"]
    assert outputs(run, "evaluate")["gates"] == outputs(here, "evaluate")["gates"]
    snapshot = platform.data.snapshots("default")[0]
    assert (snapshot.engine, snapshot.table) == ("spark", "")
