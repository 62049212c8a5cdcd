"""Statements run by the driver: the same rows as by SQLAlchemy, on every database, and the same errors."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, Column, Integer, String, Table, bindparam, insert, select
from sqlalchemy.exc import IntegrityError, ProgrammingError

from bailiwick.core.errors import Unavailable
from bailiwick.store.database import Database, metadata
from bailiwick.store.prepared import Prepared, among
from bailiwick.tracking.tables import experiment_tags

_TAG = ("workspace", "experiment_id", "key", "value")
_INSERT = Prepared(insert(experiment_tags), _TAG)
_ALL = Prepared(
    select(experiment_tags.c.key, experiment_tags.c.value)
    .where(experiment_tags.c.workspace == bindparam("workspace"), experiment_tags.c.experiment_id == "1")
    .order_by(experiment_tags.c.key)
)
_SOME = Prepared(
    lambda dialect: (
        select(experiment_tags.c.key)
        .where(experiment_tags.c.workspace == bindparam("workspace"), among(dialect, experiment_tags.c.key, "keys"))
        .order_by(experiment_tags.c.key)
    )
)


def tag(key: str, value: str = "") -> dict[str, str]:
    return {"workspace": "default", "experiment_id": "1", "key": key, "value": value}


def test_rows_come_back_as_they_were_written(database: Database) -> None:
    with database.write() as connection:
        assert _INSERT.run(connection, tag("a", "1")) == 1
        _INSERT.run(connection, tag("b", "%s ? :x %(y)s"), tag("c", "Zürich"))
        _INSERT.run_rows(connection, [("default", "1", "d", "")])
        values = {"workspace": "default"}
        assert _ALL.rows(connection, values) == [("a", "1"), ("b", "%s ? :x %(y)s"), ("c", "Zürich"), ("d", "")]
        first = _ALL.first(connection, values)
        assert first is not None
        assert (first.key, first.value) == ("a", "1")
        assert [row.key for row in _ALL.named(connection, values)] == ["a", "b", "c", "d"]
        assert _ALL.first(connection, {"workspace": "other"}) is None


@pytest.mark.parametrize("asked", [[], ["a"], ["a", "c", "a", 'quote"', "nobody"], [f"k{n}" for n in range(2_000)]])
def test_a_list_may_have_any_length(database: Database, asked: list[str]) -> None:
    held = ["a", "b", "c", 'quote"', "k1999"]
    with database.write() as connection:
        _INSERT.run(connection, *map(tag, held))
        found = _SOME.rows(connection, {"workspace": "default", "keys": asked})
    assert [key for (key,) in found] == sorted(set(held) & set(asked))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_any_text_in_a_list_is_itself_alone(database: Database, text: str) -> None:
    with database.write() as connection:
        connection.execute(experiment_tags.delete())
        _INSERT.run(connection, tag(text), tag(text + "x"))
        assert _SOME.rows(connection, {"workspace": "default", "keys": [text]}) == [(text,)]


def test_errors_are_those_of_sqlalchemy(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as connection:
        _INSERT.run(connection, tag("a"), tag("a"))
    with database.read() as connection:
        assert _ALL.rows(connection, {"workspace": "default"}) == []


def test_a_missing_table_is_said_as_any_other_trouble(database: Database) -> None:
    gone = Table("gone", metadata.__class__(), Column("id", Integer))
    with pytest.raises((Unavailable, ProgrammingError), match="gone"), database.read() as connection:
        Prepared(select(gone)).rows(connection, {})


def test_what_a_driver_does_not_take_as_it_is_is_refused(database: Database) -> None:
    odd = Table("odd", metadata.__class__(), Column("id", Integer), Column("what", JSON), Column("name", String(10)))
    with database.read() as connection:
        with pytest.raises(TypeError, match="cannot be given to the driver"):
            Prepared(insert(odd)).run(connection, {"id": 1, "what": {}, "name": ""})
        with pytest.raises(TypeError, match="order of the table"):
            Prepared(insert(odd), ("name", "id")).run(connection, {"id": 1, "name": ""})
