"""`bailiwick features fit|transform` of rows read here."""

from __future__ import annotations

from pathlib import Path

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.specification import parse_features
from tests_support.command import Command

ROWS = 3_000
PROJECT = """\
project: trips
data: {source: trips.parquet, time: at, key: trip, label: {column: late, positive: "yes"}}
features:
  delay: {scale: standard}
  carrier: {one_hot: {min_count: 50}}
  origin: {target: {folds: 4}}
train: {entrypoint: "trips:fit"}
evaluate: {holdout: newest 1d}
"""


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    random = np.random.default_rng(5)
    made = pa.table({
        "trip": pa.array(np.arange(ROWS)),
        "delay": pa.array(random.normal(10, 30, ROWS)),
        "carrier": pa.array([["AA", "UA", None][row % 3] for row in range(ROWS)], pa.string()),
        "origin": pa.array([["JFK", "LGA"][row % 2] for row in range(ROWS)], pa.string()),
        "late": pa.array([["yes", "no"][row] for row in random.integers(0, 2, ROWS)]),
    })  # fmt: skip
    pq.write_table(made, tmp_path / "trips.parquet")
    (tmp_path / "bailiwick.yaml").write_text(PROJECT, encoding="utf-8")
    return made


def test_features_are_fitted_to_a_file_and_made_of_it(command: Command, table: pa.Table, tmp_path: Path) -> None:
    fitted = command("features", "fit", "trips.parquet", "--out", "features.onnx", "--json")
    assert (fitted.code, fitted.err) == (0, "")
    specs = parse_features({"delay": {"scale": "standard"}, "carrier": {"one_hot": {"min_count": 50}},
                            "origin": {"target": {"folds": 4}}})  # fmt: skip
    labels = np.array([value == "yes" for value in table.column("late").to_pylist()], np.int64)
    assert fitted.json["digest"] == fit_features(specs, table, labels).digest
    expected = FeatureGraph((tmp_path / "features.onnx").read_bytes()).run(table)
    for target in ("made.parquet", "delta:made"):
        ended = command("features", "transform", "trips.parquet", "--to", target, "--keep", "trip")
        assert (ended.code, ended.err) == (0, ""), ended
        assert "3,000 rows" in ended.out
        if target.startswith("delta:"):
            made = deltalake.DeltaTable(tmp_path / "made").to_pyarrow_table().sort_by("trip")
        else:
            made = pq.read_table(tmp_path / target)
        values = made["features"].combine_chunks().flatten().to_numpy().reshape(expected.shape)
        assert np.array_equal(values, expected)
        again = command("features", "transform", "trips.parquet", "--to", target, "--keep", "trip")
        assert (again.code, "--existing" in again.err) == (1, True), again
    added = command(
        "features", "transform", "trips.parquet", "--to", "delta:made", "--keep", "trip", "--existing", "append"
    )
    assert added.code == 0
    assert deltalake.DeltaTable(tmp_path / "made").to_pyarrow_table().num_rows == 2 * ROWS
    replaced = command("features", "transform", "trips.parquet", "--to", "delta:made", "--existing", "replace")
    assert replaced.code == 0
    assert deltalake.DeltaTable(tmp_path / "made").to_pyarrow_table().column_names == ["features"]


@pytest.mark.usefixtures("table")
def test_what_cannot_be_is_told_with_the_way_out(command: Command, tmp_path: Path) -> None:
    ended = command("features", "transform", "trips.parquet", "--to", "made.parquet")
    assert (ended.code, "features fit" in ended.err) == (3, True), ended
    assert command("features", "fit", "trips.parquet", "--out", "features.onnx").code == 0
    for arguments, word in (
        (["--to", "made.csv"], "delta:PATH"),
        (["--to", "made.parquet", "--keep", "nothing"], "'nothing' is not known"),
        (["--to", "made.parquet", "--keep", "trip", "--column", "trip"], "another name"),
        (["--to", "made.parquet", "--existing", "perhaps"], "'perhaps' is not known"),
        (["--to", "made.parquet", "--existing", "append"], "not appended to"),
        (["--to", "made.parquet", "--engine", "postgresql://me@host/db"], "on Spark"),
    ):
        ended = command("features", "transform", "trips.parquet", *arguments)
        assert (ended.code, word in " ".join(ended.err.split())) == (2, True), ended
    assert not list(tmp_path.glob("*made*"))
    text = PROJECT.replace("delay: {scale: standard}", 'delay: {sklearn: {pipeline: "a:b", inputs: [delay]}}')
    (tmp_path / "bailiwick.yaml").write_text(text, encoding="utf-8")
    ended = command("features", "fit", "trips.parquet", "--out", "other.onnx")
    assert (ended.code, "bailiwick run" in ended.err) == (2, True), ended
