"""`bailiwick data report`: from files to one file of HTML."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests_support.command import Command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, shift in (("then", 0), ("now", 40)):
        carriers = ["UA", "B6"] * 150
        table = pa.table({"delay": [float(row % 50 + shift) for row in range(300)], "carrier": carriers})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    return tmp_path


def test_one_dataset_is_drawn(command: Command, folder: Path) -> None:
    shown = command("data", "report", "now.parquet", "--out", "report.html")
    assert (shown.code, shown.out, shown.err) == (0, "Wrote report.html: 2 columns.\n", "")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<h1>now.parquet</h1>" in text
    assert "Most moved" not in text


def test_two_datasets_are_compared_by_schema_and_slice(command: Command, folder: Path) -> None:
    command("data", "schema", "infer", "then.parquet", "--ranges", "--out", "s.pbtxt")
    words = ("--against", "then.parquet", "--schema", "s.pbtxt", "--by", "carrier", "--out", "report.html", "--json")
    told = command("data", "report", "now.parquet", *words).json
    assert (told["columns"], told["moved"], told["rows"]) == (2, ["delay"], [300.0, 300.0])
    assert told["slices"] == ["carrier_B6", "carrier_UA"]
    assert [anomaly["kind"] for anomaly in told["anomalies"]] == ["FLOAT_TYPE_BIG_FLOAT"]
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "Judged by the rows of both" in text
    assert "FLOAT_TYPE_BIG_FLOAT" in text


def test_statistics_are_as_good_as_rows_to_draw(command: Command, folder: Path) -> None:
    for name in ("then", "now"):
        command("data", "stats", f"{name}.parquet", "--out", f"{name}.tfrecord")
    told = command(
        "data", "report", "now.tfrecord", "--against", "then.tfrecord", "--out", "report.html", "--json"
    ).json
    assert told["moved"] == ["delay"]
    assert "which tell less than rows do" in (folder / "report.html").read_text(encoding="utf-8")


def test_snapshots_are_drawn_by_their_rows(command: Command, folder: Path) -> None:
    for name in ("then", "now"):
        command("data", "snapshot", f"{name}.parquet", "--dataset", "flights")
    first = command("data", "snapshots", "--json").json[1]["id"]
    told = command("data", "report", "flights@latest", "--against", first[-8:], "--out", "report.html", "--json").json
    assert told["moved"] == ["delay"]
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "Judged by the rows of both" in text
    assert f"flights {first[-8:]}" in text
    missing = command("data", "report", "flights@never", "--out", "x.html")
    assert (missing.code, "never" in missing.err) == (3, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.csv", "--out", "x.html"), "does not exist"),
        (("now.parquet", "--out", "none/x.html"), "is not a folder"),
        (("now.parquet", "--out", "x.html", "--by", "airport"), "airport"),
        (("now.parquet", "--out", "x.html", "--against", "then.parquet", "--alpha", "3"), "3.0"),
        (("now.parquet",), "--out"),
    ],
)
def test_what_cannot_be_drawn_is_said(command: Command, folder: Path, words: tuple[str, ...], said: str) -> None:
    shown = command("data", "report", *words)
    assert (shown.code, said in shown.err) == (2, True)
    assert not (folder / "x.html").exists()


def test_a_dash_is_standard_output(command: Command, folder: Path) -> None:
    shown = command("data", "report", "now.parquet", "--out", "-")
    assert (shown.code, shown.out.lower().startswith("<!doctype html>")) == (0, True)
    assert not (folder / "-").exists()
