"""Scoring on Spark's executors gives the answers that scoring here gives."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bailiwick.adapters.spark.scoring import score_frame, score_on_spark
from bailiwick.adapters.spark.shipping import ship
from bailiwick.app import open_platform
from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from tests_support import spark
from tests_support.serving import package_bytes

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(600),
]

ROWS = 1_000
RATES = {"AA": 10.0, "UA": 20.0}


@pytest.fixture(scope="module")
def session() -> Any:
    return spark.session()


@pytest.fixture
def platform(tmp_path: Path, sqlite_template: Path) -> Iterator[Platform]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "bailiwick.db").write_bytes(sqlite_template.read_bytes())
    opened = open_platform(Settings(home=home))
    yield opened
    opened.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = pa.table(
        {
            "the id": [f"r{number}" for number in range(ROWS)],
            "x": [float(number % 50) for number in range(ROWS)],
            "carrier": [("AA", "UA", None)[number % 3] for number in range(ROWS)],
        }
    )
    (tmp_path / "rows").mkdir()
    pq.write_table(rows, tmp_path / "rows" / "a.parquet")
    return tmp_path / "rows"


def test_executors_answer_as_this_machine_and_the_run_is_on_record(
    session: Any, platform: Platform, admin: Actor, data: Path, tmp_path: Path
) -> None:
    version = platform.registry.register(
        admin,
        "late",
        package=platform.blobs.put(package_bytes(1)),
        run_id="",
        snapshot="",
        signature={},
        metrics={},
        slices={},
        parity={},
        environment={},
        code_version="",
        parameters={},
    )
    out = str(tmp_path / "out")
    scored = score_on_spark(platform, admin, str(data), version, out, address="spark", keep=["the id"])
    assert (scored.rows, scored.version) == (ROWS, 1)
    found = {row["the id"]: row["probability"] for row in session.read.parquet(out).collect()}
    assert found == {
        f"r{number}": number % 50 + RATES.get(("AA", "UA", "")[number % 3], 0.0) + 1_000 for number in range(ROWS)
    }
    assert platform.tracking.run("default", scored.run).metrics["rows"] == ROWS


def test_children_of_a_process_that_sent_code_have_the_whole_platform(session: Any) -> None:
    ship(session)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
        assert child.submit(find_spec, "bailiwick.serving.worker").result(timeout=60) is not None


def test_columns_that_lack_or_clash_are_told_before_anything_runs(session: Any, data: Path) -> None:
    frame = session.read.parquet(str(data))
    with pytest.raises(InvalidInput, match="carrier"):
        score_frame(frame.drop("carrier"), package_bytes(1))
    with pytest.raises(InvalidInput, match="would be made"):
        score_frame(frame.withColumnRenamed("the id", "probability"), package_bytes(1))
    with pytest.raises(InvalidInput, match="Column 'nothing'"):
        score_frame(frame, package_bytes(1), keep=["nothing"])
