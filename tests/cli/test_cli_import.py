"""`bailiwick import mlflow`, as people and scripts use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_support.command import Command
from tests_support.fake_mlflow import FakeMlflow, serving
from tests_support.mlflow_story import EVERYTHING, RUNS, a_server
from tests_support.server import free_port


@pytest.fixture
def remote() -> Iterator[FakeMlflow]:
    with serving(a_server()) as answering:
        yield answering


def test_a_server_is_moved_and_the_table_says_so(command: Command, remote: FakeMlflow, tmp_path: Path) -> None:
    home = tmp_path / "home"
    moved = command("import", "mlflow", remote.url, "--home", home)
    assert (moved.code, moved.out.splitlines()[-1]) == (0, "Both sides agree.")
    lines = [line.split() for line in moved.out.splitlines()]
    assert ["metric", "points", "66", "66"] in lines
    assert "6 runs were moved, 0 had not changed; 4 files came." in moved.out
    assert moved.err.splitlines()[0] == f"looking            0 {remote.url}"
    again = command("import", "mlflow", remote.url, "--home", home)
    assert "0 runs were moved, 6 had not changed; 0 files came." in again.out
    shown = command("tracking", "show", RUNS[0], "--home", home, "--json")
    assert shown.json["params"] == {"lr": "0.1"}


def test_machines_get_json_and_nothing_else(command: Command, remote: FakeMlflow) -> None:
    moved = command("import", "mlflow", remote.url, "--json")
    assert (moved.code, moved.err) == (0, "")
    assert {name: line["here"] for name, line in moved.json["counts"].items()} == EVERYTHING
    assert (moved.json["agrees"], moved.json["moved_runs"], moved.json["source"]) == (True, 6, remote.url)


def test_a_dry_run_only_counts(command: Command, remote: FakeMlflow) -> None:
    counted = command("import", "mlflow", remote.url, "--dry-run", "--json")
    assert counted.code == 0
    assert {name: line["there"] for name, line in counted.json["counts"].items()} == EVERYTHING
    assert command("tracking", "list", "--json").json["items"] == []


def test_verifying_exits_with_1_while_the_sides_differ(command: Command, remote: FakeMlflow) -> None:
    assert command("import", "mlflow", remote.url, "--verify").code == 3  # there is no home yet
    command("import", "mlflow", remote.url, "--json")
    assert command("import", "mlflow", remote.url, "--verify").code == 0
    remote.run("d" * 32, "7")
    found = command("import", "mlflow", remote.url, "--verify")
    assert (found.code, found.out.splitlines()[-1]) == (1, "The two sides do not agree.")
    assert ["runs", "7", "6", "differs"] in [line.split() for line in found.out.splitlines()]
    assert command("import", "mlflow", remote.url).code == 0


def test_choices_are_passed_on(command: Command, remote: FakeMlflow) -> None:
    options = ("--experiments", "old", "--experiments", "Default", "--prefix", "x-", "--no-artifacts")
    moved = command("import", "mlflow", remote.url, *options, "--json")
    assert (moved.json["counts"]["experiments"]["here"], moved.json["counts"]["registered_models"]["there"]) == (2, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("not-an-address",), 2, "is not the address of an MLflow server"),
        (("http://u:p@host",), 2, "Credentials do not belong into the address"),
        (("http://h", "--dry-run", "--verify"), 2, "do not go together"),
        (("http://h", "--source-user", "ana", "--source-token", "t"), 2, "do not go together"),
        (("http://h", "--source-user", "ana"), 2, "BAILIWICK_SOURCE_PASSWORD"),
        ((f"http://127.0.0.1:{free_port()}",), 5, "cannot be read"),
    ],
)
def test_mistakes_are_said_in_one_message(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, words: str
) -> None:
    monkeypatch.delenv("BAILIWICK_SOURCE_PASSWORD", raising=False)
    failed = command("import", "mlflow", *arguments)
    assert (failed.code, failed.out) == (code, "")
    assert words in failed.err
    assert [line for line in failed.err.splitlines() if line.startswith("error: ")]


def test_a_password_comes_from_the_environment(
    command: Command, remote: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAILIWICK_SOURCE_PASSWORD", "secret")
    moved = command("import", "mlflow", remote.url, "--source-user", "ana", "--json")
    assert moved.code == 0
    assert {each["Authorization"] for each in remote.headers} == {"Basic YW5hOnNlY3JldA=="}
    assert "secret" not in moved.out + moved.err


def test_a_token_comes_from_the_environment(
    command: Command, remote: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAILIWICK_SOURCE_TOKEN", "t0")
    assert command("import", "mlflow", remote.url, "--json").code == 0
    assert remote.headers[-1]["Authorization"] == "Bearer t0"


def test_what_a_server_says_cannot_steer_the_terminal(command: Command, remote: FakeMlflow) -> None:
    remote.runs[RUNS[1]]["data"]["tags"].append({"key": "\x1b[31mred", "value": "x"})
    moved = command("import", "mlflow", remote.url)
    assert moved.code == 1
    assert "\x1b" not in moved.out + moved.err
