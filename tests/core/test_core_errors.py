"""Errors: each has a code and an exit status, and says what to do next."""

from __future__ import annotations

import pytest

from bailiwick.core import errors
from bailiwick.core.actor import Actor, Permission, system_actor
from bailiwick.core.clock import from_text, to_text
from bailiwick.core.errors import BailiwickError, CheckFailed, InvalidInput, MissingExtra, NotAllowed, NotFound
from bailiwick.core.ids import new_id

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BailiwickError)]


def test_codes_are_one_each() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_exit_statuses_are_those_that_are_documented(kind: type[BailiwickError]) -> None:
    documented = {"invalid_input": 2, "not_found": 3, "unauthenticated": 4, "not_allowed": 4, "unavailable": 5}
    assert kind.exit_status == documented.get(kind.code, 5 if kind is MissingExtra else 1)


def test_a_wrong_choice_names_the_choices_and_the_nearest() -> None:
    message = str(InvalidInput.choice("colour", "gren", ["red", "green"]))
    assert message == "colour 'gren' is not known; choose one of: green, red. Did you mean 'green'?"
    assert str(InvalidInput.choice("colour", "x", [])) == "colour 'x' is not known; choose one of: (none)."


def test_what_is_missing_names_the_nearest_or_what_there_is() -> None:
    assert str(NotFound.of("Model", "lat", ["late"])) == "Model 'lat' does not exist. Did you mean 'late'?"
    assert str(NotFound.of("Model", "x", ["b", "a"])) == "Model 'x' does not exist. There are: a, b."
    assert str(NotFound.of("Model", "x")) == "Model 'x' does not exist."


def test_findings_are_listed() -> None:
    error = CheckFailed("No.", findings=["one", "two"], hint="Try.")
    assert str(error) == "No. Try.\n  - one\n  - two"
    assert error.findings == ("one", "two")


def test_a_missing_extra_says_the_line_to_type() -> None:
    assert 'pip install "bailiwick[kafka]"' in str(MissingExtra.of("kafka", "confluent_kafka"))


def test_a_permission_that_is_lacking_is_named() -> None:
    viewer = Actor("u", "vera", "default", frozenset({Permission.READ}))
    viewer.require(Permission.READ)
    with pytest.raises(
        NotAllowed, match="vera may not do this in workspace 'default': it needs the permission 'models"
    ):
        viewer.require(Permission.MODELS_APPROVE)


def test_the_system_neither_approves_nor_makes_identities_or_workspaces() -> None:
    permissions = system_actor("default", "work").permissions
    assert frozenset(Permission) - permissions == {
        Permission.MODELS_APPROVE,
        Permission.IDENTITIES_MANAGE,
        Permission.WORKSPACES_MANAGE,
    }


def test_ids_are_32_hex_and_rise() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert all(len(one) == 32 and int(one, 16) for one in ids)


@pytest.mark.parametrize("text", ["2013-03-01", "2013-03-01T00:00:00Z", "2013-03-01T02:00:00+02:00"])
def test_times_are_utc_unless_they_say_otherwise(text: str) -> None:
    assert from_text(text) == 1_362_096_000_000
    assert to_text(from_text(text)) == "2013-03-01T00:00:00.000Z"
