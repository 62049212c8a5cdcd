"""`bailiwick data`: snapshots kept, found, named, compared, exported, deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests_support.command import Command


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "1.csv").write_text("id;x\n1;0,5\n2;1,5\n", encoding="utf-16")
    (tmp_path / "2.csv").write_text("id;x\n3;9,5\n", encoding="utf-16")
    return tmp_path


DIALECT = ("--delimiter", ";", "--decimal", ",", "--encoding", "utf-16")


def test_a_snapshot_is_kept_added_to_named_compared_and_exported(command: Command, files: Path) -> None:
    first = command("data", "snapshot", "1.csv", "--dataset", "d", "--new-only", *DIALECT, "--json").json
    second = command("data", "snapshot", "*.csv", "--dataset", "d", "--new-only", *DIALECT, "--json").json
    assert (first["rows"], second["rows"], len(second["parts"])) == (2, 3, 2)
    assert command("data", "name", first["id"], "golden").code == 0
    assert command("data", "tag", "d@golden", "quality", "good").code == 0
    shown = command("data", "show", "d@golden", "--json").json
    assert (shown["snapshot"]["id"], shown["names"], shown["tags"]) == (first["id"], ["golden"], {"quality": "good"})
    assert "quality=good" in command("data", "show", first["id"][-8:]).out
    assert command("data", "tag", "d@golden", "quality").out.endswith("quality removed.\n")
    assert command("data", "read", "d@latest", "--rows", 1, "--column", "x", "--json").json == [{"x": 0.5}]
    assert "0.5" in command("data", "read", "d@latest").out
    kept = command("data", "name", "d@latest", "golden", "--no-move")
    assert (kept.code, f"d@golden is snapshot {first['id']}" in kept.err) == (1, True)
    assert f"It was snapshot {first['id'][-8:]}." in command("data", "name", "d@latest", "golden").out
    assert "It was" in command("data", "name", first["id"], "golden").out
    assert "It was" not in command("data", "name", first["id"], "golden").out
    command("data", "name", first["id"], "spare")
    assert command("data", "unname", "d@spare").out == f"Snapshot {first['id'][-8:]} is called d@spare no more.\n"
    assert command("data", "unname", "d@spare").code == 3
    assert "Write DATASET@NAME" in command("data", "unname", "spare").err
    found = command("data", "diff", "d@golden", "d@latest", "--json").json
    assert (found["equal"], found["rows_added"]) == (False, 1)
    assert "+1 rows" in command("data", "diff", "d@golden", "d@latest").out
    assert command("data", "export", "d@latest", "out.parquet").code == 0
    assert command("data", "snapshot", "out.parquet", "--dataset", "d", "--json").json["id"] == second["id"]


def test_a_deleted_snapshot_is_hidden_until_it_is_restored(command: Command, files: Path) -> None:
    kept = command("data", "snapshot", "1.csv", "--dataset", "d", "--in-place", *DIALECT, "--json").json
    assert kept["table"] == ""
    assert command("data", "delete", kept["id"], "--reason", "wrong").code == 0
    assert command("data", "snapshots", "--json").json == []
    assert "deleted" in command("data", "show", kept["id"]).out
    assert command("data", "restore", kept["id"]).code == 0
    assert command("data", "read", kept["id"], "--json").json[0] == {"id": 1, "x": 0.5}


def test_what_cannot_be_is_said(command: Command, files: Path) -> None:
    wrong = command("data", "snapshot", "1.csv", "--dataset", "d", "--type", "id")
    assert (wrong.code, "--type is COLUMN=TYPE" in wrong.err) == (2, True)
    both = command("data", "snapshot", "1.csv", "--dataset", "d", "--in-place", "--new-only")
    assert (both.code, "cannot be joined" in both.err) == (2, True)
    typed = command("data", "snapshot", "1.csv", "--dataset", "d", *DIALECT, "--type", "x=integer")
    assert typed.code == 2
    assert "row 2, column 'x'" in " ".join(typed.err.split())
    command("data", "snapshot", "1.csv", "--dataset", "d", *DIALECT)
    assert command("data", "show", "d@nix").code == 3
    assert command("data", "show", "d@2013-01-01").code == 3


def test_what_is_done_to_a_snapshot_is_told_to_machines_too(command: Command, files: Path) -> None:
    kept = command("data", "snapshot", "1.csv", "--dataset", "d", *DIALECT, "--json").json
    assert command("data", "name", "d@latest", "golden", "--json").json["id"] == kept["id"]
    assert command("data", "tag", "d@golden", "quality", "good", "--json").json["id"] == kept["id"]
    assert command("data", "export", "d@golden", "out.csv", "--json").json == {
        "file": "out.csv",
        "snapshot": kept["id"],
        "rows": 2,
        "digest": kept["digest"],
    }
    command("data", "snapshot", "2.csv", "--dataset", "d", *DIALECT)
    command("data", "name", "d@latest", "golden")
    assert command("data", "delete", kept["id"], "--json").json["id"] == kept["id"]
    assert command("data", "restore", kept["id"][-8:], "--json").json["deleted"] is None


def test_a_deleted_snapshot_is_restored_by_the_end_of_its_id(command: Command, files: Path) -> None:
    kept = command("data", "snapshot", "1.csv", "--dataset", "d", *DIALECT, "--json").json
    said = command("data", "delete", "d@latest").out
    assert f"`bailiwick data restore {kept['id'][-8:]}`" in " ".join(said.split())
    assert command("data", "restore", kept["id"][-8:]).code == 0
    assert command("data", "show", "d@latest").code == 0


def test_a_split_is_shown_in_words(command: Command, files: Path) -> None:
    command("data", "snapshot", "1.csv", "--dataset", "d", *DIALECT)
    command("data", "tag", "d@latest", "split.mine", "not ours")
    split = ("--by", "hash", "--column", "id", "--part", "train=0.8", "--part", "test=0.2", "--seed", 7)
    assert command("data", "split", "d@latest", "holdout", *split).code == 0
    said = " ".join(command("data", "show", "d@latest").out.split())
    assert "split holdout by hash of id: train 80 %, test 20 %, seed 7" in said
    assert "split.mine=not ours" in said
    assert "{" not in said


def test_a_folder_that_is_not_there_is_not_taken_for_a_full_disk(command: Command, files: Path) -> None:
    command("data", "snapshot", "1.csv", "--dataset", "d", *DIALECT)
    refused = command("data", "export", "d@latest", "nowhere/out.csv")
    assert (refused.code, "nowhere is not a folder" in refused.err) == (2, True)
