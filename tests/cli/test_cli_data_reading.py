"""`--read` says to every command that looks at files what a project file says as `data.read`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests_support.command import Command

READ = ("--read", "delimiter=;", "--read", "encoding=latin-1", "--read", "decimal=,", "--read", "type.zip=text")
ROWS = "city;amount;zip\n" + "".join(f"Orl\xe9ans;{row},5;0450{row % 10}\n" for row in range(50))


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "a.csv").write_bytes(ROWS.encode("latin-1"))
    (tmp_path / "schema.pbtxt").write_text('feature { name: "city" type: BYTES }', encoding="utf-8")
    return "a.csv"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("stats", "a.csv"), 0),
        (("stats", "a.csv", "--by", "city"), 0),
        (("validate", "a.csv", "--schema", "schema.pbtxt", "--check", "amount < 100"), None),
        (("offending", "a.csv", "--check", "amount < 10"), 1),
        (("offending", "a.csv", "--unique", "amount"), 0),
        (("compare", "a.csv", "a.csv"), 0),
        (("check", "a.csv", "--unique", "amount", "--check", "zip = '0450' || right(zip, 1)"), 0),
        (("report", "a.csv", "--out", "report.html"), 0),
        (("schema", "infer", "a.csv"), 0),
        (("schema", "update", "a.csv", "--schema", "schema.pbtxt"), 0),
    ],
)
def test_every_command_reads_as_it_is_told(
    command: Command, file: str, words: tuple[str, ...], code: int | None
) -> None:
    plain = command("data", *words)
    assert plain.code
    assert "UTF-8" in plain.err
    told = command("data", *words, *READ)
    assert "Traceback" not in told.err
    assert told.code == code or (code is None and "SCHEMA_NEW_COLUMN" in told.out)


def test_values_are_what_they_were_meant_as(command: Command, file: str) -> None:
    found: Any = command("data", "offending", file, "--check", "amount < 49", *READ, "--json").json
    assert found[0]["rows"] == [{"row": 50, "city": "Orléans", "amount": 49.5, "zip": "04509"}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("delimeter=;", "delimiter"),
        ("delimiter", "delimiter"),
        ("delimiter=;;", "one character"),
        ("skip=many", "skip"),
        ("format=xlsx", "parquet"),
        ("type.zip=zip", "integer"),
        ("encoding=klingon", "klingon"),
    ],
)
def test_what_cannot_be_meant_is_told_with_the_choices(command: Command, file: str, given: str, said: str) -> None:
    refused = command("data", "stats", file, "--read", given)
    assert refused.code == 2
    assert said in refused.err
    assert "Traceback" not in refused.err


def test_an_engine_reads_by_itself(command: Command, file: str) -> None:
    refused = command("data", "stats", file, "--engine", "duckdb", *READ)
    assert refused.code == 2
    assert "--read is not computed on an engine" in refused.err
