"""Cards from the command line: every format, files, statements, and whether a saved card still holds."""

from __future__ import annotations

import io
import json

import pytest

from tests_support.command import Command, Populated


def test_the_card_is_printed_in_every_format(command: Command, populated: Populated) -> None:
    home = populated.home
    assert command("--home", home, "models", "card", "flights", 1).out.startswith("flights, version 1\n====")
    assert command("--home", home, "models", "card", "flights", 1, "--json").json["model"] == "flights"
    starts = {"html": "<!doctype html>", "markdown": "---\n", "cyclonedx": "{", "json": "{"}
    for name, start in starts.items():
        ended = command("--home", home, "models", "card", "flights", 1, "--format", name)
        assert (ended.code, ended.out.startswith(start)) == (0, True)
    refused = command("--home", home, "models", "card", "flights", 1, "--format", "pdf")
    assert (refused.code, "cyclonedx, html, json, markdown, text" in refused.err) == (2, True)
    assert command("--home", home, "models", "card", "flights", 99).code == 3


@pytest.mark.parametrize("name", ["text", "html", "markdown", "cyclonedx", "json"])
def test_a_saved_card_holds_until_something_is_stated(command: Command, populated: Populated, name: str) -> None:
    home, words = populated.home, ("models", "card", "flights", 1)
    saved = command("--home", home, *words, "--format", name, "--out", "card.out")
    assert saved.out.startswith("card.out holds the card of flights, version 1 as ")
    held = command("--home", home, *words, "--verify", "card.out")
    assert (held.code, held.out) == (0, "✓ card.out says what is known of flights, version 1, word for word.\n")
    stated = command("--home", home, "models", "state", "flights", "limitations", "Three airports.", "--version", 1)
    assert stated.out == "limitations of flights version 1 is stated.\n"
    ended = command("--home", home, *words, "--verify", "card.out")
    assert ended.code == 1
    assert "does not say what is known of flights, version 1 now" in ended.out
    assert "Three airports." in ended.out
    told = command("--home", home, *words, "--verify", "card.out", "--json")
    assert (told.code, told.json["edited"], told.json["form"]) == (1, False, name)


def test_a_card_that_was_edited_is_called_that(command: Command, populated: Populated) -> None:
    home, words = populated.home, ("models", "card", "flights", 1)
    text = command("--home", home, *words, "--format", "json").out
    with open("card.json", "w", encoding="utf-8") as file:  # noqa: PTH123 - the command's own folder
        file.write(text.replace("0.71", "0.91"))
    ended = command("--home", home, *words, "--verify", "card.json")
    assert (ended.code, "was changed after it was written" in ended.out) == (1, True)
    assert command("--home", home, *words, "--verify", "nowhere.json").code == 2


def test_statements_are_made_listed_and_taken_back(
    command: Command, populated: Populated, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = populated.home
    empty = command("--home", home, "models", "statements", "flights").out
    assert "bailiwick models state flights intended_use TEXT" in empty
    assert "Required and not stated: intended_use, out_of_scope" in empty
    monkeypatch.setattr("sys.stdin", io.StringIO("Warn passengers.\nNever alone.\n"))
    said = command("--home", home, "models", "state", "flights", "intended_use", "-", "--json").json
    assert (said["text"], said["number"]) == ("Warn passengers.\nNever alone.", None)
    listed = command("--home", home, "models", "statements", "flights", "--version", 2).out
    assert "Warn passengers. Never alone." in " ".join(listed.split())
    gone = command("--home", home, "models", "state", "flights", "intended_use", "--withdraw")
    assert gone.out == "intended_use of flights is withdrawn.\n"
    history = command("--home", home, "models", "statements", "flights", "--history", "--json").json
    assert [each["text"] for each in history] == ["", "Warn passengers.\nNever alone."]
    assert "(withdrawn)" in command("--home", home, "models", "statements", "flights", "--history").out


def test_what_cannot_be_stated_is_refused(command: Command, populated: Populated) -> None:
    home = populated.home
    assert command("--home", home, "models", "state", "flights", "intended_use").code == 2
    assert command("--home", home, "models", "state", "flights", "intended_use", "x", "--withdraw").code == 2
    wrong = command("--home", home, "models", "state", "flights", "intended-use", "x")
    assert (wrong.code, "Did you mean 'intended_use'" in wrong.err) == (2, True)
    assert command("--home", home, "models", "state", "nothing", "contact", "x").code == 3
    assert command("--home", home, "models", "statements", "flights", "--version", 9).code == 3
    assert json.loads(command("--home", home, "models", "statements", "flights", "--json").out) == []
