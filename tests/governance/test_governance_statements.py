"""What people state is kept, counts until something else is said, and is inherited by versions that say nothing."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.governance.cards.fields import FIELDS
from bailiwick.governance.statements import Statement, StatementService
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock


class Shelf:
    """A registry that knows the model `late` with versions 1 and 2."""

    def model(self, workspace: str, name: str) -> object:
        if (workspace, name) != ("default", "late"):
            raise NotFound.of("Model", name, ["late"])
        return name

    def version(self, workspace: str, model: str, number: int) -> object:
        self.model(workspace, model)
        if number not in {1, 2}:
            raise NotFound(f"Model {model!r} has no version {number}.")
        return number


@pytest.fixture
def service(records: Records) -> StatementService:
    return StatementService(records, Shelf())


def words(service: StatementService, number: int | None = None) -> dict[str, str]:
    return {key: each.text for key, each in service.statements("default", "late", number).items()}


def test_what_is_said_of_a_model_holds_for_its_versions_until_they_say_otherwise(
    service: StatementService, admin: Actor, second: Actor
) -> None:
    service.state(admin, "late", None, "intended_use", "Warn passengers.")
    service.state(admin, "late", None, "contact", "ada@example.com")
    service.state(second, "late", 2, "intended_use", "Warn crews too.")
    assert words(service) == {"intended_use": "Warn passengers.", "contact": "ada@example.com"}
    assert words(service, 1) == words(service)
    assert words(service, 2) == {"intended_use": "Warn crews too.", "contact": "ada@example.com"}
    service.withdraw(admin, "late", 2, "intended_use")
    assert words(service, 2) == words(service)


def test_statements_come_in_the_order_of_the_fields(service: StatementService, admin: Actor) -> None:
    for key in reversed(list(FIELDS)):
        service.state(admin, "late", None, key, f"About {key}.")
    assert list(words(service)) == list(FIELDS)


def test_a_statement_says_who_when_and_which_entry_tells_of_it(
    records: Records, service: StatementService, admin: Actor, clock: FakeClock
) -> None:
    clock.now = 1_750_000_000_000
    said = service.state(admin, "late", 1, "limitations", " Weak\r\nat night. ", origin="the project file")
    assert said == Statement(
        "late",
        1,
        "limitations",
        "Weak\nat night.",
        "the project file",
        "u-admin",
        "admin",
        clock.now,
        said.entry,
        said.sequence,
    )
    assert service.statements("default", "late", 1) == {"limitations": said}
    with records.read() as connection:
        entry = connection.execute(select(entries).where(entries.c.id == said.entry)).one()
    assert (entry.action, entry.resource, entry.time) == ("card.stated", "version/late/1", clock.now)
    assert "night" not in entry.detail
    assert sha256_hex(said.text.encode()) in entry.detail


def test_saying_again_what_counts_changes_nothing(records: Records, service: StatementService, admin: Actor) -> None:
    first = service.state(admin, "late", None, "contact", "Ada")
    assert service.state(admin, "late", None, "contact", "Ada ") == first
    with records.read() as connection:
        assert len(connection.execute(select(entries)).all()) == 1
    service.state(admin, "late", None, "contact", "Grace")
    assert service.state(admin, "late", None, "contact", "Ada").sequence > first.sequence


def test_the_history_keeps_everything_and_is_read_in_pages(
    service: StatementService, admin: Actor, second: Actor
) -> None:
    for index in range(5):
        service.state(admin, "late", None, "contact", f"Person {index}")
    service.state(second, "late", 2, "contact", "Somebody else")
    service.withdraw(second, "late", None, "contact")
    told = service.history("default", "late")
    assert [each.text for each in told] == ["", "Somebody else", *(f"Person {index}" for index in (4, 3, 2, 1, 0))]
    assert [each.number for each in told[:2]] == [None, 2]
    first = service.history("default", "late", limit=3)
    assert first + service.history("default", "late", before=first[-1].sequence) == told
    assert service.history("default", "late", number=1) == [each for each in told if each.number is None]
    assert service.history("default", "late", field="licence") == []


def test_nothing_can_be_withdrawn_twice_or_where_nothing_is_said(service: StatementService, admin: Actor) -> None:
    service.state(admin, "late", None, "contact", "Ada")
    with pytest.raises(NotFound, match="late version 1"):
        service.withdraw(admin, "late", 1, "contact")
    service.withdraw(admin, "late", None, "contact")
    with pytest.raises(NotFound, match="Nothing is stated about 'contact'"):
        service.withdraw(admin, "late", None, "contact")
    assert words(service) == {}


def test_unknown_models_versions_and_fields_are_named(service: StatementService, admin: Actor, stranger: Actor) -> None:
    with pytest.raises(NotFound, match="'lat' does not exist"):
        service.state(admin, "lat", None, "contact", "x")
    with pytest.raises(NotFound, match="no version 7"):
        service.state(admin, "late", 7, "contact", "x")
    with pytest.raises(NotFound):
        service.state(stranger, "late", None, "contact", "x")
    with pytest.raises(InvalidInput, match="Did you mean 'limitations'"):
        service.state(admin, "late", None, "limitation", "x")


def test_whoever_may_only_read_states_nothing(service: StatementService, viewer: Actor) -> None:
    with pytest.raises(NotAllowed, match=r"models\.write"):
        service.state(viewer, "late", None, "contact", "x")
    with pytest.raises(NotAllowed, match=r"models\.write"):
        service.withdraw(viewer, "late", None, "contact")


@pytest.mark.parametrize("text", ["", " \r\n\t", "a\x00b", "a\x07b", "\ud800"])
def test_text_without_words_or_that_nobody_can_read_is_refused(
    service: StatementService, admin: Actor, text: str
) -> None:
    with pytest.raises(InvalidInput):
        service.state(admin, "late", None, "contact", text)
    with pytest.raises(LimitExceeded):
        service.state(admin, "late", None, "contact", "x" * 10_001)
    assert words(service) == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text.strip() != ""))
def test_whatever_is_said_comes_back_as_it_was_said(service: StatementService, admin: Actor, text: str) -> None:
    service.state(admin, "late", None, "data", text)
    assert words(service)["data"] == text.strip()
