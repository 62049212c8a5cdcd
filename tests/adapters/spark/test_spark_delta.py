"""Delta between Spark and the platform: each reads what the other wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import deltalake
import pytest

from bailiwick.core.actor import Actor
from bailiwick.data.sources import open_source
from bailiwick.data.statistics import compute_statistics
from bailiwick.lifecycle.platform import Platform
from bailiwick.testing.engines import conformance_table, differences
from tests_support import spark
from tests_support.source import ROOT

pytestmark = pytest.mark.timeout(900)


def test_spark_reads_our_snapshots_and_we_read_what_spark_wrote(
    platform: Platform, actor: Actor, tmp_path: Path
) -> None:
    url = f"local[2]{spark.delta_settings()}&spark.driver.memory=1g&spark.sql.shuffle.partitions=2"
    table = conformance_table().select(["float", "whole", "text", "list", "nested", "moment", "price", "bytes", "day"])
    platform.data.ingest(actor, "hard", table.slice(0, 100), source="test")
    snapshot = platform.data.ingest(actor, "hard", table, source="test")
    location = platform.tables.location(snapshot.table)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(spark.SITE)])
    command = [sys.executable, str(Path(__file__).with_name("delta_story.py")), url]
    ended = subprocess.run(
        [*command, f"{location}@{snapshot.table_version}", str(tmp_path)], env=environment, cwd=tmp_path,
        capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout.strip().splitlines()[-1])
    assert "is there already" in told.pop("refused")
    rows = table.num_rows
    assert told == {
        "differences": [],
        "written": rows,
        "appended": 5,
        "replaced": 7,
        "versions": [rows, rows + 5, 7],
        "named": ["whole"],
    }
    written = tmp_path / "written"
    assert open_source(str(written), tmp_path).table().num_rows == 7
    first = deltalake.DeltaTable(written, version=0).to_pyarrow_table()
    assert differences(compute_statistics(first), table) == []
