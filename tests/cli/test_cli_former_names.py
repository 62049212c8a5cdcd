"""What options were called once goes on being understood, and no help tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bailiwick.cli.former_names import todays_names
from tests_support.command import Command, Populated


def test_a_former_name_is_taken_where_the_command_has_no_such_option_itself() -> None:
    assert todays_names(["a", "--output", "x", "--output=y"], {"--out"}) == ["a", "--out", "x", "--out=y"]
    assert todays_names(["--output", "x"], {"--out", "--output"}) == ["--output", "x"]
    assert todays_names(["--output", "x"], {"--json"}) == ["--output", "x"]
    assert todays_names(["--comment=no", "--", "--output"], {"--reason", "--out"}) == ["--reason=no", "--", "--output"]


def test_former_names_work_and_help_names_todays_alone(command: Command, populated: Populated, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    for words in (("data", "schema", "infer", "rows.csv"), ("--home", populated.home, "audit", "export")):
        file = tmp_path / f"{words[-1]}.out"
        assert command(*words, "--output", file).code == 0
        assert file.stat().st_size
    refused = command("--home", populated.home, "models", "reject", "0" * 32, "--comment", "why")
    assert (refused.code, "does not exist" in refused.err) == (3, True)


@pytest.mark.parametrize(
    ("words", "now", "then"),
    [
        (("models", "approve"), "--reason", "--comment"),
        (("audit", "prove"), "--out", "--output"),
        (("data", "stats"), "--out", "--output"),
        (("data", "schema", "update"), "--out", "--output"),
        (("models", "export"), "--out", "--output"),
    ],
)
def test_help_names_what_options_are_called_now(command: Command, words: tuple[str, ...], now: str, then: str) -> None:
    told = command(*words, "--help").out
    assert now in told
    assert then not in told
