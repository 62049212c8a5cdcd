"""`bailiwick data skew`: files, snapshots and the log of an endpoint, joined by id."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests_support.command import Command, Populated


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "training.csv").write_text("id,x,c,old\na,1.0,UA,1\nb,2.0,B6,1\nc,3.0,DL,1\n")
    (tmp_path / "serving.csv").write_text("key,x,c\na,1.0,UA\nb,2.4,\nz,0,UA\n")
    return tmp_path


def test_features_that_differ_are_listed_with_examples(command: Command, files: Path) -> None:
    found = command("data", "skew", "training.csv", "serving.csv", "--on", "id=key")
    assert found.code == 1
    assert "2 rows by id" in found.out
    assert "x: id b: 2.0 in training, 2.4 in serving" in found.out
    assert "c: id b: 'B6' in training, missing in serving" in found.out
    assert "Left out: 1 ids of training only, 1 of serving only, 0 that are repeated" in found.out
    told = command("data", "skew", "training.csv", "serving.csv", "--on", "id=key", "--tolerance", "x=0.5", "--json")
    assert (told.code, told.json["skewed"]) == (1, ["old", "c"])
    features = {each["feature"]: each for each in told.json["report"]["features"]}
    assert features["x"]["match_count"] == 2
    assert features["c"]["training_only"] == 1
    only = ("--column", "x", "--tolerance", "0.5")
    assert command("data", "skew", "training.csv", "serving.csv", "--on", "id=key", *only).code == 0
    half = ("--ignore", "old", "--allow", "0.5")
    assert command("data", "skew", "training.csv", "serving.csv", "--on", "id=key", *half).code == 0


def test_nothing_in_common_is_no_success(command: Command, files: Path) -> None:
    (files / "other.csv").write_text("id,x\nq,1\n")
    found = command("data", "skew", "training.csv", "other.csv", "--on", "id")
    assert (found.code, "nothing was compared" in found.err) == (1, True)


def test_what_is_wrong_is_said(command: Command, files: Path) -> None:
    assert "Id column of serving.csv" in command("data", "skew", "training.csv", "serving.csv", "--on", "id").err
    wrong = command("data", "skew", "training.csv", "serving.csv", "--on", "id=key", "--tolerance", "x=much")
    assert (wrong.code, "COLUMN=X" in wrong.err) == (2, True)


def test_a_snapshot_is_compared_with_what_an_endpoint_was_asked(
    command: Command, populated: Populated, tmp_path: Path
) -> None:
    home = ("--home", populated.home)
    logged = command(*home, "data", "skew", "endpoint:late", "endpoint:late", "--on", "prediction_id", "--json")
    assert logged.code == 0
    report = logged.json["report"]
    assert report["joined"] > 1000
    assert {"hour", "carrier", "distance"} <= {each["feature"] for each in report["features"]}
    (tmp_path / "t.csv").write_text("unit,hour\nnobody,1\n")
    assert command(*home, "data", "skew", "t.csv", "endpoint:late", "--on", "unit").code == 1
    assert command(*home, "data", "skew", "t.csv", "endpoint:nix", "--on", "unit").code == 3
