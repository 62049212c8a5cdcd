"""`bailiwick webhooks` and `bailiwick workspaces`, as people and scripts see them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.webhooks.model import Answer
from tests_support.command import Command
from tests_support.receiver import OK, answers, receiving, status


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def _collected(home: Path, given: Answer) -> Platform:
    """The platform, after what waits was collected and its first delivery got this answer."""
    platform = open_platform(Settings(home=home))
    Sequencer(platform.database, platform.journal_folder, Signer.in_folder(platform.keys_folder)).integrate()
    while platform.outbox.collect():
        pass
    for outgoing in platform.outbox.heads():
        platform.outbox.finish(outgoing, given)
    return platform


def test_a_webhook_is_made_shown_changed_and_deleted(command: Command, home: Path) -> None:
    at = ("--home", home)
    made = command(*at, "webhooks", "create", "team", "https://example.com/x", "--event", "alias.*", "--event", "*")
    assert (made.code, made.err) == (0, "")
    assert "Webhook team" in made.out
    assert "is told of alias.*, *." in made.out
    (listed,) = command(*at, "webhooks", "list", "--json").json
    short = listed["id"][-8:]
    assert f"Try it: bailiwick webhooks test {short}" in made.out
    assert "team" in command(*at, "webhooks", "list").out
    changed = command(*at, "webhooks", "update", short, "--disable", "--description", "d", "--json").json
    assert (changed["status"], changed["description"], changed["name"]) == ("DISABLED", "d", "team")
    assert "disabled" in command(*at, "webhooks", "show", short).out
    assert (
        command(*at, "webhooks", "show", "team", "--json").json
        == command(*at, "webhooks", "show", short, "--json").json
    )
    assert command(*at, "webhooks", "delete", short).code == 0
    assert command(*at, "webhooks", "list").out.startswith("No webhooks")
    assert command(*at, "webhooks", "show", listed["id"]).code == 3


def test_a_secret_is_read_from_standard_input_and_never_shown(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("very secret\n"))
    made = command(
        "--home", home, "webhooks", "create", "a", "https://example.com", "--event", "*", "--secret", "-", "--json"
    )
    shown = command("--home", home, "webhooks", "show", made.json["id"])
    assert made.json["signed"] is True
    assert "very secret" not in made.out + shown.out
    platform = open_platform(Settings(home=home))
    assert platform.records.database.url.startswith("sqlite")
    platform.close()


def test_a_test_says_what_came_back_and_fails_when_it_was_not_taken(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAILIWICK_WEBHOOKS_PRIVATE", "1")
    with receiving(answers(OK, status(500))) as receiver:
        made = command("--home", home, "webhooks", "create", "a", receiver.url, "--event", "run.*", "--json").json
        first = command("--home", home, "webhooks", "test", made["id"])
        second = command("--home", home, "webhooks", "test", made["id"], "--event", "alias.set")
    assert (first.code, second.code) == (0, 1)
    assert first.out.startswith("The receiver answered 200 after")
    assert second.out.startswith("The receiver answered 500 after")


def test_what_failed_is_shown_and_replayed(command: Command, home: Path) -> None:
    at = ("--home", home)
    made = command(*at, "webhooks", "create", "a", "https://example.com", "--event", "*", "--json").json
    command(*at, "users", "create", "grace", "--role", "viewer")
    _collected(home, Answer(404)).close()
    shown = command(*at, "webhooks", "show", made["id"], "--failed", "--json").json
    (failed,) = shown["deliveries"]
    assert (failed["event"], failed["problem"]) == ("identity.created", "The receiver answered 404.")
    again = command(*at, "webhooks", "replay", made["id"], "--delivery", failed["id"][-8:])
    assert "(identity.created) is sent again." in again.out
    assert command(*at, "webhooks", "replay", made["id"], "--position", "1").out.startswith(
        "Everything from journal position 1"
    )
    assert command(*at, "webhooks", "replay", made["id"], "--since", "2020-01-01").code == 0
    assert command(*at, "webhooks", "replay", made["id"], "--since", "yesterday").code == 2
    assert command(*at, "webhooks", "replay", made["id"]).code == 2


def test_workspaces_are_made_shown_changed_and_deleted(command: Command, home: Path) -> None:
    at = ("--home", home)
    assert command(*at, "workspaces", "create", "team-a", "--description", "d").out.startswith(
        "Workspace team-a is there."
    )
    assert [each["name"] for each in command(*at, "workspaces", "list", "--json").json] == ["default", "team-a"]
    assert "team-a" in command(*at, "workspaces", "list").out
    changed = command(*at, "workspaces", "update", "team-a", "--artifact-root", "s3://b/a", "--json").json
    assert (changed["description"], changed["artifact_root"]) == ("d", "s3://b/a")
    assert "s3://b/a" in command(*at, "workspaces", "show", "team-a").out
    inside = ("--home", home, "--workspace", "team-a")
    command(*inside, "users", "create", "grace", "--role", "viewer")
    refused = command(*at, "workspaces", "delete", "team-a")
    assert (refused.code, "still contains records: identities" in refused.err) == (1, True)
    gone = command(*inside, "users", "remove", "grace", "--reason", "left")
    assert gone.out == "grace may do nothing in workspace team-a any more.\n"
    assert command(*inside, "users", "remove", "grace").code == 3
    command(*inside, "users", "create", "grace", "--role", "editor")
    assert command(*at, "workspaces", "delete", "team-a", "--identities").code == 0
    command(*at, "workspaces", "create", "team-b")
    assert command(*at, "workspaces", "delete", "team-b").out == "Workspace team-b is deleted.\n"
    assert command(*at, "workspaces", "delete", "default").code == 1
