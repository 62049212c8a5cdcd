"""Whole sources scored: every row once, whatever the cut, the format, and whoever is killed where."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import obstore
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from onnx import TensorProto, helper
from pyarrow import csv

from bailiwick.app import open_platform
from bailiwick.composing.model import read_declaration
from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, NotAllowed, NotFound, Unavailable
from bailiwick.core.settings import Settings
from bailiwick.data.reading.places import open_store
from bailiwick.data.sources import open_source
from bailiwick.lifecycle.batch.answerer import ProgramAnswerer, open_answerer
from bailiwick.lifecycle.batch.encodings import ENCODINGS
from bailiwick.lifecycle.batch.outputs import STATE
from bailiwick.lifecycle.batch.parts import Job, cut
from bailiwick.lifecycle.batch.story import Scored, find_version, score_source
from bailiwick.lifecycle.composing.story import compose
from bailiwick.lifecycle.lineage.walk import trace
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.rules import register_rules
from bailiwick.registry.model import ModelVersion
from bailiwick.rules.signature import Declared
from bailiwick.security.roles import permissions_of
from tests_support import composed
from tests_support.decisions import encoded, scoring
from tests_support.logged_models import python_package
from tests_support.s3 import fresh_bucket
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


PARAMS = [{"name": "factor", "type": "double", "default": 2.0}]


def test_params_are_held_to_what_the_model_declares_and_make_another_job(
    platform: Platform, admin: Actor, data: Path, tmp_path: Path
) -> None:
    model = onnx.load_model_from_string(package_bytes(2))
    metadata = {item.key: item.value for item in model.metadata_props}
    signature = msgspec.json.decode(metadata["bailiwick.signature"]) | {"params": PARAMS}
    helper.set_model_props(model, {**metadata, "bailiwick.signature": msgspec.json.encode(signature).decode()})
    version = register(platform, admin, model.SerializeToString())

    def run(**params: Any) -> Scored:
        return score_to(platform, admin, version, data, str(tmp_path / "out"), params=params)

    with pytest.raises(InvalidInput, match="Param 'facto' is not known; choose one of: factor"):
        run(facto=1)
    with pytest.raises(InvalidInput, match="'factor': Can not safely convert"):
        run(factor="x")
    scored = run(factor=3)
    assert (scored.rows, scored.before) == (ROWS, 0)
    assert run(factor=3).before == ROWS
    assert platform.tracking.run("default", scored.run).params["params"] == '{"factor":3}'
    with pytest.raises(Conflict, match="holds the answers of another"):
        run(factor=4)


def test_a_python_model_is_run_with_them(tmp_path: Path) -> None:
    class Heard:
        """A runtime that says what it was given."""

        def __init__(self, runtime: Any) -> None:
            self.signature, self.blocks = runtime.signature, runtime.blocks
            self.given: list[dict[str, Any]] = []

        def run_with(self, feed: Any, params: Any) -> Any:
            self.given.append(params)
            return [np.zeros(len(next(iter(feed.values()))), np.float32)]

        def close(self) -> None:
            """Nothing is held."""

    package = python_package(tmp_path / "package", "class Model: ...", {"x": "FP32"}, {"y": "FP32"}, params=PARAMS)
    answerer = open_answerer(Settings(home=tmp_path / "home"), package, {"factor": 3})
    assert isinstance(answerer, ProgramAnswerer)
    answerer.close()
    heard = Heard(answerer._runtime)
    answerer._runtime = heard  # type: ignore[assignment]
    answerer.answer(pa.table({"x": [1.0, 2.0]}))
    assert heard.given == [{"factor": 3.0}]


def test_rules_and_steps_of_a_composition_are_scored_like_any_model(
    platform: Platform, admin: Actor, data: Path, tmp_path: Path
) -> None:
    graph = composed.register(platform, admin, "graph", composed.logistic(0.01))
    rules = register_rules(platform, admin, "rules", encoded(scoring()), declared=Declared({"x": "FP32"}))
    steps = {"a": "graph@1", "b": "rules@1"}
    declared = read_declaration({"model": "both", "steps": steps, "combine": {"weighted": {"a": 1, "b": 3}}})
    both = compose(platform, admin, declared)
    assert (rules.runtime, both.runtime) == ("rules", "composition")
    found = {}
    for each in (graph, rules, both):
        out = tmp_path / each.model
        assert score_to(platform, admin, each, data, str(out), keep=["id"]).rows == ROWS
        found[each.model] = read(out)["probability"].to_numpy()
    by_hand = [
        0.1 if row["x"] <= 5 else 0.9 if row["carrier"] == "AA" else 0.6
        for row in table().select(["x", "carrier"]).to_pylist()
    ]
    assert np.allclose(found["rules"], by_hand)
    assert np.allclose(found["both"], (found["graph"] + 3 * found["rules"]) / 4)


def test_a_number_that_rules_cannot_hold_ends_the_job_with_the_part(
    platform: Platform, admin: Actor, tmp_path: Path
) -> None:
    rules = register_rules(platform, admin, "rules", encoded(scoring()), declared=Declared({"x": "FP32"}))
    pq.write_table(table(10).set_column(1, "x", pa.array([1e30] * 10)), tmp_path / "huge.parquet")
    with pytest.raises(InvalidInput, match=r"Part 0 \(10 rows\): A number of input x is past 7\.9e"):
        score_source(platform, admin, open_source("huge.parquet", tmp_path), rules, str(tmp_path / "out"))


def score_to(platform: Platform, actor: Actor, version: ModelVersion, data: Path, out: str, **options: Any) -> Scored:
    source = open_source(str(data / "*.parquet"), Path("/"))
    return score_source(platform, actor, source, version, out, rows_a_part=700, workers=2, **options)


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


@pytest.mark.parametrize("format_", ["parquet", "delta"])
def test_a_source_that_has_fewer_rows_than_were_scored_is_no_finished_job(
    score: Score, data: Path, format_: str
) -> None:
    assert score(format=format_, rows_a_part=ROWS // 4).parts == 4
    (data / "3.parquet").unlink()
    with pytest.raises(Conflict, match="has changed since part 3"):
        score(format=format_, rows_a_part=ROWS // 4)


def test_a_delta_table_takes_no_rows_of_a_source_for_scored_that_were_others(
    score: Score, tmp_path: Path, data: Path
) -> None:
    score(format="delta")
    pq.write_table(table(ROWS // 4, 90_000), data / "2.parquet", row_group_size=300)
    with pytest.raises(Conflict, match=r"has changed since part 3.*another table"):
        score(format="delta")
    assert DeltaTable(str(tmp_path / "out")).to_pyarrow_table().num_rows == ROWS


def test_files_of_text_have_the_same_rows_as_parquet(score: Score, tmp_path: Path) -> None:
    score("csv", format="csv")
    found = pa.concat_tables(csv.read_csv(path) for path in sorted((tmp_path / "csv").glob("part-*.csv")))
    assert found.schema.names == ["id", "x", "carrier", "probability"]
    assert found["probability"].to_pylist() == expected(table())
    assert score("csv", format="csv").before == ROWS
    score("lines", format="jsonl")
    lines = [
        msgspec.json.decode(line)
        for path in sorted((tmp_path / "lines").glob("part-*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    assert lines == [
        row | {"probability": answer} for row, answer in zip(table().to_pylist(), expected(table()), strict=True)
    ]
    with pytest.raises(Conflict, match="format"):
        score("csv", format="jsonl")
    assert score("csv", format="jsonl", overwrite=True).before == 0
    assert not list((tmp_path / "csv").glob("*.csv"))


def test_times_and_numbers_that_json_lacks_are_written_as_json_can(tmp_path: Path) -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    rows = pa.table(
        {
            "ns": pa.array([moment], pa.timestamp("ns", "UTC")),
            "day": pa.array([moment.date()]),
            "nan": pa.array([float("nan")]),
            "price": pa.array([Decimal("1.50")]),
            "list": pa.array([[1.0, None]]),
        }
    )
    sink = pa.BufferOutputStream()
    ENCODINGS["jsonl"].write(rows, sink)
    assert msgspec.json.decode(sink.getvalue().to_pybytes()) == {
        "ns": "2024-05-06T07:08:09.123456+00:00",
        "day": "2024-05-06",
        "nan": None,
        "price": "1.50",
        "list": [1.0, None],
    }


def test_a_job_of_parquet_is_called_as_it_was_before_there_were_other_files() -> None:
    job = Job("p", "s", (("x", "double"),), ("x",), 700, 100)
    assert job.digest == "e5651d99b44cf3956aebf3c13caffe82273b3b874e35c569eecb0075b3086906"


def test_another_job_does_not_go_on_where_this_one_was(score: Score, tmp_path: Path) -> None:
    score()
    with pytest.raises(Conflict, match="another model, source, format or choice"):
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
    platform: Platform, admin: Actor, viewer: Actor, version: ModelVersion, score: Score, data: Path, tmp_path: Path
) -> None:
    pq.write_table(table(3).drop(["carrier"]), tmp_path / "less.parquet")
    source = open_source("less.parquet", tmp_path)
    with pytest.raises(InvalidInput, match="carrier"):
        score_source(platform, admin, source, version, str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    with pytest.raises(InvalidInput, match="Column to keep"):
        score(keep=["nothing"])
    with pytest.raises(InvalidInput, match="Format"):
        score(format="xml")
    with pytest.raises(InvalidInput, match="page of the web"):
        score_to(platform, admin, version, data, "https://example.com/scored")
    with pytest.raises(NotAllowed):
        score_source(platform, viewer, source, version, str(tmp_path / "none"))


def test_who_lacks_a_part_of_the_right_to_score_is_told_which_and_who_grants_it(
    platform: Platform, version: ModelVersion, data: Path, tmp_path: Path
) -> None:
    operator = Actor("o", "olga", "default", permissions_of(["operator"]))
    with pytest.raises(NotAllowed) as refused:
        score_to(platform, operator, version, data, str(tmp_path / "none"))
    assert "needs the permissions predictions.write and tracking.write, and lacks tracking.write" in str(refused.value)
    assert "Roles that have all of it: admin, editor." in str(refused.value)
    assert not (tmp_path / "none").exists()


def test_versions_are_named_by_alias_number_or_production(
    platform: Platform, admin: Actor, version: ModelVersion
) -> None:
    assert find_version(platform, "default", "late").number == 1
    register(platform, admin, package_bytes(2))
    assert find_version(platform, "default", "late").number == 2
    platform.registry.set_alias(admin, "late", "best", 1, reason="it is")
    assert find_version(platform, "default", "late@best").number == 1
    assert find_version(platform, "default", "late/2").number == 2
    assert find_version(platform, "default", "late@2").number == 2
    with pytest.raises(NotFound):
        find_version(platform, "default", "late@worst")
    with pytest.raises(InvalidInput, match="MODEL@NUMBER"):
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
        assert not list(out.glob(".*"))
        told = msgspec.json.decode((out / STATE / "done.json").read_bytes())
        assert told["rows"] == ROWS


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    return fresh_bucket(monkeypatch)


def stored(url: str) -> pa.Table:
    store = open_store(url)
    names = sorted(str(found["path"]) for chunk in obstore.list(store) for found in chunk)
    parts = [name for name in names if name.startswith("part-")]
    return pa.concat_tables(pq.read_table(pa.BufferReader(bytes(obstore.get(store, name).bytes()))) for name in parts)


def test_rows_of_an_object_store_are_scored_into_one(
    platform: Platform, admin: Actor, version: ModelVersion, data: Path, tmp_path: Path, bucket: str
) -> None:
    into = open_store(bucket)
    for path in sorted(data.glob("*.parquet")):
        obstore.put(into, f"rows/{path.name}", path)
    source = open_source(f"{bucket}/rows/*.parquet", tmp_path)
    out = f"{bucket}/scored/late"
    scored = score_source(platform, admin, source, version, out, rows_a_part=700, workers=2)
    assert (scored.rows, scored.before, scored.out) == (ROWS, 0, out)
    assert stored(out)["probability"].to_pylist() == expected(table())
    assert score_source(platform, admin, source, version, out, rows_a_part=700, workers=2).before == ROWS
    with pytest.raises(Conflict, match="another model"):
        score_source(platform, admin, source, version, out, keep=["id"], rows_a_part=700)
    with pytest.raises(Conflict, match="no scoring wrote"):
        score_source(platform, admin, source, version, f"{bucket}/rows", rows_a_part=700)
    again = score_source(platform, admin, source, version, out, keep=["id"], rows_a_part=2_000, overwrite=True)
    assert (again.before, again.parts, stored(out).num_rows) == (0, 3, ROWS)
    read_back = open_source(f"{out}/*.parquet", tmp_path).table()
    assert read_back["id"].to_pylist() == table()["id"].to_pylist()


@pytest.mark.parametrize("format_", ["parquet", "delta"])
def test_killed_in_the_middle_of_an_object_store_and_run_again_it_has_every_row_once(
    platform: Platform, version: ModelVersion, data: Path, bucket: str, format_: str
) -> None:
    out = f"{bucket}/scored"
    command = [sys.executable, "-c", SCORE, str(platform.settings.home), str(data / "*.parquet"), out, format_]
    points = ["batch.part.written:2", "batch.part.renamed"]
    if format_ == "delta":
        points = ["batch.part.committing:2", "batch.part.committed"]
    for point in [*points, "nothing"]:
        environment = os.environ | {"BAILIWICK_FAULT": point, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == (0 if point == "nothing" else -9), done.stderr
    found = stored(out) if format_ == "parquet" else DeltaTable(out).to_pyarrow_table()
    assert sorted(found["id"].to_pylist()) == sorted(table()["id"].to_pylist())


def test_a_store_that_cannot_be_reached_is_said(
    platform: Platform, admin: Actor, version: ModelVersion, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    with pytest.raises(Unavailable, match="s3://nowhere/scored"):
        score_to(platform, admin, version, data, "s3://nowhere/scored")


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
    with pytest.raises(InvalidInput, match="which csv has no cell for"):
        score_source(platform, admin, source, version, str(tmp_path / "text"), keep=["id"], format="csv")
    assert not (tmp_path / "text").exists()


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
