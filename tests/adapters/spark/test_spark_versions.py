"""The oldest Spark that is supported tells and makes what the newest does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bailiwick.testing.engines import ROWS, conformance_table
from tests_support import spark
from tests_support.postgres import required
from tests_support.source import ROOT

pytestmark = pytest.mark.timeout(900)


def test_the_oldest_spark_tells_of_the_hard_table_what_the_newest_does(tmp_path: Path) -> None:
    lacking = spark.missing() or (
        "" if spark.OLDEST.is_dir() else "Spark 3.5 is not there: run tools/spark_packages.py"
    )
    if lacking:
        (pytest.fail if required("spark") else pytest.skip)(lacking)
    pq.write_table(conformance_table(), tmp_path / "hard.parquet", row_group_size=700)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(spark.OLDEST)])
    command = [sys.executable, str(Path(__file__).with_name("version_story.py")), str(tmp_path / "hard.parquet")]
    ended = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout.strip().splitlines()[-1])
    assert told.pop("version").startswith("3.5.")
    assert told == {"differences": [], "profile": True, "features": True, "written": ROWS, "made": True}
