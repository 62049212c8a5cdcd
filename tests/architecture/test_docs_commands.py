"""Every command that the docs show is one: its verbs are known, and so are its options."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bailiwick.cli.main import app
from tests_support.source import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
FENCE = re.compile(r"^ *```(?:sh|console|bash)?\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"(?:^|[\s(\"$])bailiwick (.+)")
INLINE = re.compile(r"`bailiwick ([^`]+)`")
VARIABLE = "\N{HORIZONTAL ELLIPSIS}"


def _calls(page: Path) -> list[str]:
    """What stands behind `bailiwick` wherever it is called, line by line."""
    text = page.read_text(encoding="utf-8")
    found = [" ".join(call.split()) for call in INLINE.findall(FENCE.sub("", text))]
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            found += CALL.findall(line.split("  #", maxsplit=1)[0].strip())
    return found


def _words(call: str) -> list[str]:
    try:
        words = shlex.split(call.replace("[", "").replace("]", ""))
    except ValueError:  # a quotation that goes on behind the command, as in `"$(bailiwick users token ana)"`
        words = re.split(r"[)\s\"']+", call)
    ends = [
        place for place, word in enumerate(words) if word in {"&", "&&", "|", ";", "--", VARIABLE} or word.endswith(";")
    ]
    return words[: ends[0]] if ends else words


@cache
def _program() -> Any:
    return typer.main.get_command(app)


def _unknown(call: str) -> list[str]:
    """What the call names that is no verb or option of the program's."""
    command = _program()
    known = {option for each in command.params for option in [*each.opts, *each.secondary_opts]} | {"--help"}
    unknown = []
    skip = False
    for word in _words(call):
        if skip:
            skip = False
        elif word.startswith("--"):
            option = word.partition("=")[0].rstrip(".,:)")
            if option not in known:
                unknown.append(option)
            skip = not hasattr(command, "callback") or option in {"--home", "--token", "--workspace"}
        elif hasattr(command, "commands"):
            verb = word.rstrip(".,:;)")
            if verb not in command.commands:
                return unknown if not verb.isidentifier() else [*unknown, verb]
            command = command.commands[verb]
            known |= {option for each in command.params for option in [*each.opts, *each.secondary_opts]}
    return unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_is_one(page: Path) -> None:
    calls = _calls(page)
    assert {call: unknown for call in calls if (unknown := _unknown(call))} == {}


def test_a_verb_or_an_option_that_there_is_not_is_seen() -> None:
    assert _unknown("data statistic x.csv") == ["statistic"]
    assert _unknown("data stats x.csv --sorted") == ["--sorted"]
    assert _unknown('--token "$TOKEN" models approve X --reason "why not"') == []
