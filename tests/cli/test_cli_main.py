"""The command tree: help that is whole, options anywhere, suggestions, versions."""

from __future__ import annotations

import re

import pytest

from bailiwick._version import __version__
from bailiwick.cli.main import root_options_first
from tests_support.command import Command, Populated, leaves


def test_the_list_of_commands_is_whole_at_80_columns(command: Command) -> None:
    shown = command("--help")
    assert shown.code == 0
    assert "..." not in shown.out.partition("Commands:")[2]
    assert max(map(len, shown.out.splitlines())) <= 80


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_every_command_explains_itself(command: Command, words: tuple[str, ...]) -> None:
    shown = command(*words, "--help")
    assert shown.code == 0
    assert max(map(len, shown.out.splitlines())) <= 80
    usage, told, *_ = shown.out.split("\n\n")
    assert usage.startswith(f"Usage: bailiwick {' '.join(words)} ")
    assert re.fullmatch(r"  [A-Z].*\.", told, re.DOTALL)


def test_the_version_is_printed(command: Command) -> None:
    assert command("--version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("words", "near"),
    [(("modles", "list"), "models"), (("models", "lst"), "list"), (("rum",), "run"), (("audit", "verfy"), "verify")],
)
def test_a_mistyped_command_names_the_nearest(command: Command, words: tuple[str, ...], near: str) -> None:
    ended = command(*words)
    assert ended.code == 2
    assert f"Did you mean '{near}'?" in ended.err or f"'{near}'" in ended.err


def test_a_mistyped_option_names_the_nearest(command: Command) -> None:
    ended = command("audit", "list", "--limt", "3")
    assert ended.code == 2
    assert "--limit" in ended.err


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["models", "list", "--home", "x"], ["--home", "x", "models", "list"]),
        (["models", "--home=x", "list", "--token", "t"], ["--home=x", "--token", "t", "models", "list"]),
        (["a", "--", "--home", "x"], ["a", "--", "--home", "x"]),
        (["a", "--home"], ["--home", "a"]),
    ],
)
def test_options_of_the_whole_command_may_stand_anywhere(given: list[str], meant: list[str]) -> None:
    assert root_options_first(given) == meant


def test_the_home_is_found_wherever_the_option_stands(command: Command, template: Populated) -> None:
    first, last = command("--home", template.home, "runs"), command("runs", "--home", template.home)
    assert first.code == 0
    assert first.out == last.out


def test_a_workspace_that_is_none_is_said_with_how_to_make_it(command: Command, template: Populated) -> None:
    shown = command("--home", template.home, "--workspace", "team-x", "models", "list")
    assert shown.code == 3
    assert "Workspace 'team-x' does not exist. There are: default, elsewhere." in shown.err
    assert "bailiwick --workspace default workspaces create team-x" in shown.err


def test_another_workspace_is_empty(command: Command, template: Populated) -> None:
    shown = command("--home", template.home, "--workspace", "elsewhere", "models", "list")
    assert (shown.code, shown.out) == (0, "No models yet: `bailiwick run` registers the first.\n")
