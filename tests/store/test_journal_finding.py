"""Entries are found whether they have a place yet or not, and never by reading the whole journal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Select, event, select

from bailiwick.core.actor import Actor, Permission
from bailiwick.store.database import Database
from bailiwick.store.journal.finding import waiting
from bailiwick.store.journal.reader import JournalReader
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records

SIGNER = Signer("test/journal", bytes(range(32)))


def append(records: Records, actor: Actor, resources: list[str]) -> list[str]:
    with records.change(actor, Permission.DATA_WRITE) as change:
        return [change.record("thing.made", f"thing/{name}") for name in resources]


@pytest.fixture
def sequencer(database: Database, tmp_path: Path) -> Sequencer:
    return Sequencer(database, tmp_path / "journal", SIGNER)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.lists(st.sampled_from("ab"), min_size=1, max_size=4), st.integers(0, 3)), max_size=6)
)
def test_every_page_is_that_of_a_list_however_many_have_a_place(
    records: Records, admin: Actor, database: Database, sequencer: Sequencer, steps: list[tuple[list[str], int]]
) -> None:
    reader = JournalReader(database)
    start = reader.head()
    made: list[tuple[str, str]] = []
    for resources, placed in steps:
        made += zip(append(records, admin, resources), resources, strict=True)
        if placed:
            sequencer.integrate(placed)
    newest = [(one, f"thing/{name}") for one, name in reversed(made)]
    assert [(each.id, each.resource) for each in reader.entries("default", limit=1000) if each.number > start] == newest
    of_a = [one for one, resource in newest if resource == "thing/a"][:3]
    assert [each.id for each in reader.entries("default", resource="thing/a", limit=len(of_a))] == of_a
    for one, resource in newest:
        assert reader.entry("default", one).resource == resource
    if newest:
        middle = reader.entry("default", newest[len(newest) // 2][0])
        page = reader.entries("default", before=middle.number, limit=1000)
        assert [each.id for each in page if each.number > start] == [one for one, _ in newest[len(newest) // 2 + 1 :]]


def test_what_waits_is_counted(records: Records, admin: Actor, database: Database, sequencer: Sequencer) -> None:
    reader = JournalReader(database)
    assert not reader.is_waiting()
    append(records, admin, ["a", "b", "c"])
    assert (reader.is_waiting(), reader.is_waiting(3), reader.is_waiting(4)) == (True, True, False)
    sequencer.integrate(2)
    assert (reader.is_waiting(), reader.is_waiting(2)) == (True, False)
    sequencer.integrate()
    assert not reader.is_waiting()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_search_reads_the_whole_journal(
    records: Records, admin: Actor, database: Database, sequencer: Sequencer
) -> None:
    ids = append(records, admin, ["a"] * 20)
    sequencer.integrate(15)
    reader = JournalReader(database)
    asked: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, text: str, *_: object) -> None:
        if text.startswith("SELECT"):
            asked.append(text)

    reader.entries("default", resource="thing/a")
    reader.entries("default", action="thing.made", before=12)
    reader.entry("default", ids[3])
    reader.is_waiting()
    event.remove(database.engine, "before_cursor_execute", note)
    assert len(asked) >= 5
    for text in asked:
        plan = _plan(database, text)
        assert plan
        assert not [step for step in plan if step.startswith("SCAN journal_entries") and "USING" not in step], plan


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_waits_is_read_from_the_last_that_was_placed(database: Database) -> None:
    query: Select[tuple[int]] = select(entries.c.number).where(waiting("sqlite")).order_by(entries.c.number).limit(1)
    text = str(query.compile(database.engine, compile_kwargs={"literal_binds": True}))
    steps = _plan(database, text)
    assert steps[0] == "SEARCH journal_entries USING INTEGER PRIMARY KEY (rowid>?)"
    assert any("INDEX ix_journal_entries_leaf_index" in step for step in steps[1:])


def _plan(database: Database, text: str) -> list[str]:
    with database.read() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        cursor = driver.cursor()
        cursor.execute(f"EXPLAIN QUERY PLAN {text}", [None] * text.count("?"))
        return [str(row[3]) for row in cursor.fetchall()]
