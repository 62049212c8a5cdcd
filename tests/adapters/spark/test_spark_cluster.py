"""The commands on a standalone cluster, whose executors have no Bailiwick and whose driver takes no rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.features.graph import FeatureGraph
from bailiwick.testing.engines import conformance_table, differences
from tests_support import spark
from tests_support.command import process
from tests_support.source import ROOT
from tests_support.spark_cluster import EXECUTORS_NEED, bare_python, cluster

pytestmark = pytest.mark.timeout(1800)
ROWS = 120_000
HARD = ["float", "whole", "text", "list", "nested", "moment"]
PROJECT = """\
project: trips
data: {source: many.parquet, time: at, key: trip, label: {column: late, positive: 1}}
features:
  delay: {scale: standard}
  distance: {bucketize: 5}
  carrier: {one_hot: {min_count: 50}}
  origin: {target: {folds: 4}}
  at: {date: [hour, weekday]}
train: {entrypoint: "trips:fit"}
evaluate: {holdout: newest 1d}
"""


def _many(*, moved: float = 0.0) -> pa.Table:
    random = np.random.default_rng(5)
    delay = random.normal(10 + moved, 30, ROWS).round(1)  # what is learnt grows with different values, not with rows
    delay[::50] = np.nan
    carriers, origins = np.array(["AA", "UA", "é", None]), np.array(["JFK", "LGA", ""])
    return pa.table({
        "trip": pa.array(np.arange(ROWS)),
        "delay": pa.array(delay, from_pandas=True),
        "distance": pa.array(random.integers(100, 3000, ROWS)),
        "carrier": pa.array(carriers[random.integers(0, 4, ROWS)].tolist(), pa.string()),
        "origin": pa.array(origins[random.integers(0, 3, ROWS)].tolist(), pa.string()),
        "at": pa.array(random.integers(0, 10**12, ROWS), pa.timestamp("ms", "UTC")),
        "late": pa.array(random.integers(0, 2, ROWS)),
    })  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cluster")
    pq.write_table(conformance_table().select(HARD), made / "hard.parquet", row_group_size=700)
    pq.write_table(_many(), made / "many.parquet", row_group_size=30_000)
    pq.write_table(_many(moved=40), made / "moved.parquet")
    (made / "bailiwick.yaml").write_text(PROJECT, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def told(folder: Path) -> Any:
    bare = bare_python(folder / "bare")
    lacking = bare_python(folder / "lacking", tuple(name for name in EXECUTORS_NEED if name != "msgspec"))
    with cluster(folder) as url:
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(spark.SITE)])
        command = [sys.executable, str(Path(__file__).with_name("cluster_story.py")), str(folder), url]
        ended = subprocess.run(
            [*command, str(bare), str(lacking)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=1700,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.strip().splitlines()[-1])


def test_a_cluster_tells_what_is_told_of_the_rows_themselves(told: Any, folder: Path) -> None:
    assert told["stats"]["code"] == 0, told["stats"]
    found = statistics_pb2.DatasetFeatureStatisticsList()
    found.ParseFromString((folder / "hard.pb").read_bytes())
    assert differences(found, conformance_table().select(HARD)) == []


def test_a_schema_checks_and_a_comparison_come_from_a_cluster(told: Any) -> None:
    assert told["infer"]["code"] == 0, told["infer"]
    assert (told["validate"]["code"], "CUSTOM_VALIDATION" in told["validate"]["out"]) == (1, True), told["validate"]
    assert told["compare"]["code"] == 1, told["compare"]
    drifted = {each["feature"]: each["drifted"] for each in json.loads(told["compare"]["out"])}
    assert drifted == {name: name == "delay" for name in drifted}


def test_features_fitted_on_a_cluster_are_those_fitted_here_to_the_last_bit(told: Any, folder: Path) -> None:
    assert told["fit"]["code"] == 0, told["fit"]
    here = process("features", "fit", "many.parquet", "--out", "here.onnx", "--json", folder=folder)
    assert here.json["digest"] == json.loads(told["fit"]["out"])["digest"]
    assert (folder / "here.onnx").read_bytes() == (folder / "there.onnx").read_bytes()


def test_executors_without_bailiwick_write_what_the_graph_makes(told: Any, folder: Path) -> None:
    assert told["transform"]["code"] == 0, told["transform"]
    assert json.loads(told["transform"]["out"])["rows"] == ROWS
    made = pq.read_table(folder / "made").sort_by("trip")
    expected = FeatureGraph((folder / "there.onnx").read_bytes()).run(_many())
    values = made["features"].combine_chunks().flatten().to_numpy().reshape(expected.shape)
    assert np.array_equal(values, expected)
    assert (told["again"]["code"], "is there already" in told["again"]["err"]) == (1, True), told["again"]


def test_the_driver_takes_less_than_the_rows(told: Any) -> None:
    assert "maxResultSize" in told["collected"], told["collected"]  # the same rows, under the limit that all else kept


def test_what_executors_lack_is_named_with_what_they_need(told: Any, folder: Path) -> None:
    assert told["lacking"]["code"] == 5, told["lacking"]
    assert "the Python of its executors has no 'msgspec'" in told["lacking"]["err"]
    for package in EXECUTORS_NEED:
        assert package in told["lacking"]["err"]
    assert told["no python"]["code"] == 5, told["no python"]
    assert "'/no/such/python'" in told["no python"]["err"]
    assert not (folder / "never.onnx").exists()
