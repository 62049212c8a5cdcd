"""Whole sources scored: every row once, whatever the cut, the format, and whoever is killed where."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from onnx import TensorProto, helper

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from bailiwick.core.settings import Settings
from bailiwick.data.sources import open_source
from bailiwick.lifecycle.batch.parts import STATE, cut
from bailiwick.lifecycle.batch.story import Scored, find_version, score_source
from bailiwick.lifecycle.lineage.walk import trace
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion
from tests_support.serving import package_bytes, signed

ROWS = 5_000
Score = Callable[..., Scored]


def table(rows: int = ROWS, first: int = 0) -> pa.Table:
    numbers = np.arange(first, first + rows)
    return pa.table(
        {
            "id": [f"r{number}" for number in numbers],
            "x": pa.array(numbers % 97, pa.float64()),
            "carrier": pa.array([None if n % 11 == 0 else ("AA", "UA", "other")[n % 3] for n in numbers], pa.string()),
        }
    )


def expected(rows: pa.Table) -> list[float]:
    codes = {"AA": 10.0, "UA": 20.0}
    return [
        row["x"] + codes.get(row["carrier"] or "", 0.0) + 1_000 for row in rows.select(["x", "carrier"]).to_pylist()
    ]


@pytest.fixture
def platform(tmp_path: Path, sqlite_template: Path) -> Iterator[Platform]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "bailiwick.db").write_bytes(sqlite_template.read_bytes())
    opened = open_platform(Settings(home=home))
    yield opened
    opened.close()


@pytest.fixture
def version(platform: Platform, admin: Actor) -> ModelVersion:
    return register(platform, admin, package_bytes(1))


def register(platform: Platform, actor: Actor, package: bytes) -> ModelVersion:
    return platform.registry.register(
        actor,
        "late",
        package=platform.blobs.put(package),
        run_id="",
        snapshot="",
        signature={},
        metrics={},
        slices={},
        parity={},
        environment={},
        code_version="",
        parameters={},
        description="",
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for part in range(4):
        pq.write_table(table(ROWS // 4, part * ROWS // 4), folder / f"{part}.parquet", row_group_size=300)
    return folder


@pytest.fixture
def score(platform: Platform, admin: Actor, version: ModelVersion, data: Path, tmp_path: Path) -> Score:
    def run(out: str = "out", **options: object) -> Scored:
        source = open_source(str(data / "*.parquet"), tmp_path)
        settings: dict[str, object] = {"rows_a_part": 700, "workers": 2, **options}
        return score_source(platform, admin, source, version, str(tmp_path / out), **settings)  # type: ignore[arg-type]

    return run


def read(folder: Path) -> pa.Table:
    files = sorted(folder.glob("part-*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files])


@pytest.mark.parametrize("part", [64, 700, 5_000, 100_000])
def test_every_row_is_answered_once_in_order_however_the_source_is_cut(score: Score, tmp_path: Path, part: int) -> None:
    scored = score(rows_a_part=part)
    found = read(tmp_path / "out")
    assert scored.rows == found.num_rows == ROWS
    assert found["id"].to_pylist() == table()["id"].to_pylist()
    assert found["probability"].to_pylist() == expected(table())
    assert found.schema.names == ["id", "x", "carrier", "probability"]


def test_a_delta_table_has_the_same_rows(score: Score, tmp_path: Path) -> None:
    scored = score(format="delta", keep=["id"])
    found = DeltaTable(str(tmp_path / "out")).to_pyarrow_table().sort_by("id")
    assert (scored.format, found.num_rows) == ("delta", ROWS)
    assert found["id"].to_pylist() == sorted(table()["id"].to_pylist())
    assert found.schema.names == ["id", "probability"]
    assert score(format="delta", keep=["id"]).before == ROWS
    assert DeltaTable(str(tmp_path / "out")).to_pyarrow_table().num_rows == ROWS


def test_a_finished_job_run_again_does_nothing(score: Score, tmp_path: Path) -> None:
    first = score()
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    again = score()
    assert (again.rows, again.before, again.run) == (ROWS, ROWS, first.run)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")} == written


def test_a_source_that_has_changed_is_told_and_begun_anew_on_request(score: Score, tmp_path: Path, data: Path) -> None:
    score()
    pq.write_table(table(ROWS // 4, 90_000), data / "2.parquet", row_group_size=300)
    with pytest.raises(Conflict, match="has changed since part"):
        score()
    assert score(overwrite=True).before == 0
    assert read(tmp_path / "out")["id"].to_pylist()[2_500] == "r90000"


def test_another_job_does_not_go_on_where_this_one_was(score: Score, tmp_path: Path) -> None:
    score()
    with pytest.raises(Conflict, match="another model, source or choice"):
        score(keep=["id"])
    (tmp_path / "mine").mkdir()
    pq.write_table(table(3), tmp_path / "mine" / "a.parquet")
    with pytest.raises(Conflict, match="no scoring wrote"):
        score("mine")


def test_it_is_on_record_with_its_lineage(
    score: Score, platform: Platform, admin: Actor, version: ModelVersion
) -> None:
    scored = score()
    run = platform.tracking.run("default", scored.run)
    assert (run.status, run.tags["bailiwick.scored_by"]) == ("FINISHED", "version/late/1")
    graph = trace(platform, "default", "version/late/1", "forward")
    assert f"run/{scored.run}" in {node["id"] for node in graph.nodes}
    back = {node["id"].partition("/")[0] for node in trace(platform, "default", f"run/{run.id}", "backward").nodes}
    assert {"dataset", "version"} <= back
    actions = [entry.action for entry in platform.journal.entries("default", limit=50)]
    assert "batch.scoring_began" in actions


def test_a_model_that_refuses_a_row_ends_the_job_with_the_part(
    platform: Platform, admin: Actor, version: ModelVersion, tmp_path: Path
) -> None:
    rows = table(1_000).set_column(1, "x", pa.array([-1.0 if n == 800 else 1.0 for n in range(1_000)]))
    pq.write_table(rows, tmp_path / "bad.parquet")
    source = open_source("bad.parquet", tmp_path)
    with pytest.raises(Exception, match=r"Part 4 \(200 rows\)") as failed:
        score_source(platform, admin, source, version, str(tmp_path / "out"), rows_a_part=200, workers=1)
    assert "The model failed" in str(failed.value)
    (run,) = platform.tracking.runs("default", "scoring with late")
    assert run.status == "FAILED"


def test_what_cannot_be_scored_is_said_before_anything_is_written(
    platform: Platform, admin: Actor, viewer: Actor, version: ModelVersion, score: Score, tmp_path: Path
) -> None:
    pq.write_table(table(3).drop(["carrier"]), tmp_path / "less.parquet")
    source = open_source("less.parquet", tmp_path)
    with pytest.raises(InvalidInput, match="carrier"):
        score_source(platform, admin, source, version, str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    with pytest.raises(InvalidInput, match="Column to keep"):
        score(keep=["nothing"])
    with pytest.raises(InvalidInput, match="Format"):
        score(format="csv")
    with pytest.raises(NotAllowed):
        score_source(platform, viewer, source, version, str(tmp_path / "none"))


def test_versions_are_named_by_alias_number_or_production(
    platform: Platform, admin: Actor, version: ModelVersion
) -> None:
    assert find_version(platform, "default", "late").number == 1
    register(platform, admin, package_bytes(2))
    assert find_version(platform, "default", "late").number == 2
    platform.registry.set_alias(admin, "late", "best", 1, reason="it is")
    assert find_version(platform, "default", "late@best").number == 1
    assert find_version(platform, "default", "late/2").number == 2
    with pytest.raises(NotFound):
        find_version(platform, "default", "late@worst")
    with pytest.raises(InvalidInput, match="MODEL/NUMBER"):
        find_version(platform, "default", "late/x")


def test_cuts_are_the_same_whatever_the_files_row_groups(tmp_path: Path) -> None:
    pq.write_table(table(1_000), tmp_path / "a.parquet", row_group_size=77)
    source = open_source("a.parquet", tmp_path)
    sizes = [part.num_rows for part in cut(source, rows=130)]
    assert sizes == [130] * 7 + [90]
    assert pa.concat_tables(cut(source, rows=130)).equals(table(1_000))


SCORE = textwrap.dedent("""
    import sys
    from pathlib import Path
    from bailiwick.app import open_platform
    from bailiwick.core.actor import Actor, Permission
    from bailiwick.core.settings import Settings
    from bailiwick.data.sources import open_source
    from bailiwick.lifecycle.batch.story import find_version, score_source
    platform = open_platform(Settings(home=Path(sys.argv[1])))
    actor = Actor("u-admin", "admin", "default", frozenset(Permission))
    source = open_source(sys.argv[2], Path("/"))
    version = find_version(platform, "default", "late")
    score_source(
        platform, actor, source, version, sys.argv[3], format=sys.argv[4], keep=["id"], rows_a_part=700, workers=2
    )
""")


@pytest.mark.parametrize("format_", ["parquet", "delta"])
def test_killed_at_every_point_and_run_again_it_has_every_row_once(
    platform: Platform, version: ModelVersion, data: Path, tmp_path: Path, format_: str
) -> None:
    out = tmp_path / "out"
    home = str(platform.settings.home)
    command = [sys.executable, "-c", SCORE, home, str(data / "*.parquet"), str(out), format_]
    killed, left = 0, 1
    points = ("batch.part.written", "batch.part.renamed", "batch.part.recorded")
    if format_ == "delta":
        points = ("batch.part.committing", "batch.part.committed", "batch.part.committed:2")
    while left and killed < 6:
        point = points[killed % 3] if killed < 5 else "nothing"
        environment = os.environ | {"BAILIWICK_FAULT": point, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        left = done.returncode
        assert left in {0, -9}, done.stderr
        killed += left != 0
    if left:
        subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, check=True)
    assert killed >= 3
    found = read(out) if format_ == "parquet" else DeltaTable(str(out)).to_pyarrow_table()
    assert sorted(found["id"].to_pylist()) == sorted(table()["id"].to_pylist())
    if format_ == "parquet":
        assert not list(out.glob(".[0-9]*"))
        told = msgspec.json.decode((out / STATE / "done.json").read_bytes())
        assert told["rows"] == ROWS


def test_wide_whole_and_text_outputs_have_their_own_types(platform: Platform, admin: Actor, tmp_path: Path) -> None:
    version = register(platform, admin, wide_package())
    pq.write_table(table(50), tmp_path / "a.parquet")
    source = open_source("a.parquet", tmp_path)
    score_source(platform, admin, source, version, str(tmp_path / "out"), keep=["id"])
    found = read(tmp_path / "out")
    assert found.schema.field("probabilities").type == pa.list_(pa.float32())
    assert found.schema.field("label").type == pa.string()
    assert found["probabilities"].to_pylist()[3] == [3.0, -3.0]
    assert found["label"].to_pylist()[1] == "UA"


def wide_package() -> bytes:
    nodes = [
        helper.make_node("Neg", ["x"], ["minus"]),
        helper.make_node("Concat", ["x", "minus"], ["probabilities"], axis=1),
        helper.make_node("Identity", ["carrier"], ["label"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1]),
    ]
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        helper.make_tensor_value_info("label", TensorProto.STRING, [None, 1]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "wide", inputs, outputs), opset_imports=[helper.make_opsetid("", 15)]
    )
    model.ir_version = 8
    signed(model, ["x", "carrier"])
    told = [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "label", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    properties = {each.key: each.value for each in model.metadata_props}
    signature = msgspec.json.decode(properties["bailiwick.signature"]) | {"outputs": told}
    del model.metadata_props[:]
    helper.set_model_props(model, properties | {"bailiwick.signature": msgspec.json.encode(signature).decode()})
    assert isinstance(model, onnx.ModelProto)
    return bytes(model.SerializeToString())
