"""`bailiwick data check` and `offending`: checks of the whole, of files and snapshots, from options and the project file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.checking import declared_checks, parse_checks
from bailiwick.pipelines.notation import parse_duration
from bailiwick.pipelines.project import parse_project
from tests_support.command import Command

PROJECT = """\
project: small
data:
  source: rows.csv
  time: at
  label: {column: y}
  checks:
    volume: {least: 1, of_previous: [0.5, 2], severity: warning}
    freshness: {max_age: 3650d}
    source_age: {max_age: 1d}
    duplicates: {allowed: 0.01}
    unique: [{columns: [id]}]
    references: [{columns: [carrier], source: carriers.csv, of: [code]}]
    monotonic: [{column: at, within: [carrier]}]
    sql: [{name: small, holds: x < 3, severity: warning}]
features: {x: number}
train: {entrypoint: "model:fit"}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("id,carrier,at,x,y\na,UA,3,1,0\nb,XX,1,2,0\na,UA,2,3,1\n")
    (tmp_path / "carriers.csv").write_text("code\nUA\n")
    return tmp_path


def test_checks_of_a_file_are_told_and_decide_the_exit_status(command: Command, files: Path) -> None:
    asked = (
        "--unique",
        "id",
        "--duplicates",
        "*",
        "--references",
        "carrier=carriers.csv:code",
        "--order",
        "at/carrier",
    )
    shown = command("data", "check", "rows.csv", *asked, "--rows", "..9", "--source-age", "1d")
    assert shown.code == 1
    assert "2 rows share 1 value of id: rows 1, 3." in shown.out
    found = command("data", "check", "rows.csv", *asked, "--json").json
    assert [(one["kind"], one["passed"], one["count"]) for one in found] == [
        ("duplicates", True, 0),
        ("unique", False, 2),
        ("references", False, 1),
        ("monotonic", False, 1),
    ]
    assert command("data", "check", "rows.csv", "--unique", "id,x").code == 0
    assert "Nothing was asked" in command("data", "check", "rows.csv").out


def test_offending_rows_are_listed_whole(command: Command, files: Path) -> None:
    listed = command(
        "data", "offending", "rows.csv", "--references", "carrier=carriers.csv:code", "--check", "x < 3", "--json"
    )
    assert listed.code == 1
    assert listed.json == [
        {
            "check": "carrier in carriers.csv: code",
            "count": 1,
            "rows": [{"row": 2, "id": "b", "carrier": "XX", "at": 1, "x": 2, "y": 0}],
        },
        {"check": "x < 3", "count": 1, "rows": [{"row": 3, "id": "a", "carrier": "UA", "at": 2, "x": 3, "y": 1}]},
    ]
    assert "XX" in command("data", "offending", "rows.csv", "--references", "carrier=carriers.csv:code").out
    assert command("data", "offending", "rows.csv", "--unique", "x").code == 0


def test_a_snapshot_is_checked_and_referred_to_by_its_name(command: Command, files: Path) -> None:
    command("data", "snapshot", "rows.csv", "--dataset", "rows")
    command("data", "snapshot", "carriers.csv", "--dataset", "carriers")
    found = command("data", "check", "rows@latest", "--references", "carrier=carriers@latest:code", "--json")
    assert (found.code, found.json[0]["count"]) == (1, 1)
    assert command("data", "check", "rows@latest", "--source-age", "1d").code == 2
    listed = command("data", "offending", "rows@latest", "--check", "x < 3", "--unique", "id", "--json").json
    assert [(one["check"], one["count"]) for one in listed] == [("unique id", 2), ("x < 3", 1)]
    assert "1 row of 3 is not x < 3: row 3." in command("data", "check", "rows@latest", "--check", "x < 3").out
    assert command("data", "check", "rows@nix", "--unique", "id").code == 3


def test_checks_of_the_project_file_are_taken_with_their_severity(command: Command, files: Path) -> None:
    (files / "bailiwick.yaml").write_text(PROJECT)
    found = command("data", "check", "rows.csv", "--project", "bailiwick.yaml", "--json")
    told = {one["kind"]: (one["severity"], one["passed"]) for one in found.json}
    assert told["volume"] == ("WARNING", True)
    assert told["freshness"] == ("ERROR", False)  # `at` is a few milliseconds after 1970
    assert told["unique"] == ("ERROR", False)
    assert told["sql"] == ("WARNING", False)
    assert len(told) == 8
    project = parse_project(PROJECT)
    assert parse_project(json.dumps(project.document())).digest == project.digest
    assert [check.name for check in declared_checks(project)][1] == "freshness of at"


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("rows", "5", "LEAST..MOST"),
        ("rows", "..", "LEAST..MOST"),
        ("fresh", "2d", "COLUMN=AGE"),
        ("fresh", "at=soon", "not a duration"),
        ("references", "carrier=code", "COLUMN=SOURCE:COLUMN"),
    ],
)
def test_a_notation_that_is_not_understood_is_shown_as_it_should_be(option: str, text: str, message: str) -> None:
    nothing: dict[str, list[str]] = {name: [] for name in ("unique", "duplicates", "references", "fresh", "order")}
    asked = {**nothing, "rows": "", "source_age": ""} | {option: text if option == "rows" else [text]}
    with pytest.raises(InvalidInput, match=message):
        parse_checks(**asked, duration=parse_duration)  # type: ignore[arg-type]


def test_references_may_name_a_url() -> None:
    (found,) = parse_checks(
        unique=[],
        duplicates=[],
        fresh=[],
        rows="",
        source_age="",
        order=[],
        references=["a,b=s3://bucket/x.parquet:c,d"],
        duration=parse_duration,
    )
    assert found.name == "a, b in s3://bucket/x.parquet: c, d"


def test_a_snapshot_that_changed_is_told_inspected_and_accepted(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x\n1,2\n")
    (tmp_path / "b.csv").write_text("id,y\n1,2\n")
    assert command("data", "snapshot", "a.csv", "--dataset", "d").code == 0
    assert "the first of its dataset" in command("data", "inspect", "d@latest").out
    changed = command("data", "snapshot", "b.csv", "--dataset", "d", "--json")
    assert (changed.code, changed.json["dataset"]) == (1, "d")
    assert "Error data schema: Snapshot" in changed.err
    shown = command("data", "inspect", "d@latest")
    assert (shown.code, "Column x is gone; column y (int64) is new" in shown.out) == (1, True)
    found = command("data", "inspect", "d@latest", "--json")
    assert (found.json["usable"], found.json["inspection"]["verdicts"][0]["passed"]) == (False, False)
    accepted = command("data", "accept", "d@latest", "--reason", "renamed at the source")
    assert (accepted.code, "1 alarm is acknowledged: data schema." in accepted.out) == (0, True)
    assert command("data", "inspect", "d@latest").code == 0
    assert "no alarm about it was open" in command("data", "accept", "d@latest", "--reason", "again").out
    assert command("data", "accept", "d@latest").code == 2
    assert "data schema" in command("monitor", "alarms").out
