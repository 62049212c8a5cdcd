"""Statements: what people say of a model or one of its versions, as records of their own; the words of a model card."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.governance.cards.fields import FIELDS, card_field
from bailiwick.governance.model import check_text
from bailiwick.governance.tables import statements
from bailiwick.store.records import Change, Records

MAX_STATEMENT_LENGTH = 10_000
MAX_ORIGIN_LENGTH = 250
OF_MODEL = 0
"""The number under which what is said of a whole model is stored."""


class Registered(Protocol):
    """Knows models and versions; the registry's service does. Both raise NotFound, naming what there is."""

    def model(self, workspace: str, name: str) -> object:
        """The model of that name."""
        ...

    def version(self, workspace: str, model: str, number: int) -> object:
        """The version of that number."""
        ...


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody said. `number` is None where it was said of the model and holds for each version that says no other.

    An empty `text` takes back what was said before. `origin` says where the words come from when nobody typed them here;
    `entry` is the journal entry that tells of it, `sequence` the place in the order of all statements.
    """

    model: str
    number: int | None
    field: str
    text: str
    origin: str
    identity: str
    actor: str
    time: int
    entry: str
    sequence: int = 0


class StatementService:
    """Statements of every workspace; each is kept, the newest of its field counts."""

    def __init__(self, records: Records, registered: Registered) -> None:
        self._records = records
        self._registered = registered

    def state(
        self, actor: Actor, model: str, number: int | None, field: str, text: str, *, origin: str = ""
    ) -> Statement:
        """Say something of a model, or of one version with `number`. Saying again what counts already changes nothing.

        Raises NotFound for an unknown model or version, InvalidInput for an unknown field and for text without words or
        with control characters, LimitExceeded past 10,000 characters.
        """
        actor.require(Permission.MODELS_WRITE)
        self._require_subject(actor.workspace, model, number)
        return self._write(
            actor, model, number, field, _checked(field, text), check_text("An origin", origin, MAX_ORIGIN_LENGTH)
        )

    def withdraw(self, actor: Actor, model: str, number: int | None, field: str) -> Statement:
        """Take back what was said of the model, or of the version: its card then says what the model's does.

        Raises NotFound when nothing is said there.
        """
        actor.require(Permission.MODELS_WRITE)
        self._require_subject(actor.workspace, model, number)
        if self._said(actor.workspace, model, number, card_field(field).key) is None:
            raise NotFound(f"Nothing is stated about {field!r} of {_named(model, number)}.")
        return self._write(actor, model, number, field, "", "")

    def statements(self, workspace: str, model: str, number: int | None = None) -> dict[str, Statement]:
        """What counts for the model, or for the version (its own words before the model's), by field in their order."""
        numbers = [OF_MODEL] if number is None else [OF_MODEL, number]
        with self._records.read() as connection:
            found = _newest(connection, workspace, model, statements.c.number.in_(numbers))
        by_field: dict[str, Statement] = {}
        for each in sorted(found, key=lambda each: each.number or OF_MODEL):
            if each.text:
                by_field[each.field] = each
        return {key: by_field[key] for key in FIELDS if key in by_field}

    def history(
        self,
        workspace: str,
        model: str,
        *,
        number: int | None = None,
        field: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Statement]:
        """Everything said of the model and all its versions, newest first; with `number` only what holds for that version.

        Pass the last `sequence` as `before` for the next page.
        """
        conditions: list[ColumnElement[bool]] = []
        if number is not None:
            conditions.append(statements.c.number.in_([OF_MODEL, number]))
        if field is not None:
            conditions.append(statements.c.field == card_field(field).key)
        if before is not None:
            conditions.append(statements.c.sequence < before)
        query = select(statements).where(statements.c.workspace == workspace, statements.c.model == model, *conditions)
        with self._records.read() as connection:
            rows = connection.execute(query.order_by(statements.c.sequence.desc()).limit(limit))
            return [_statement(row) for row in rows]

    def _require_subject(self, workspace: str, model: str, number: int | None) -> None:
        if number is None:
            self._registered.model(workspace, model)
        else:
            self._registered.version(workspace, model, number)

    def _said(self, workspace: str, model: str, number: int | None, field: str) -> Statement | None:
        """What counts at exactly this place, None where nothing was said or it was taken back."""
        here = (statements.c.number == (number or OF_MODEL), statements.c.field == field)
        with self._records.read() as connection:
            found = _newest(connection, workspace, model, *here)
        return found[0] if found and found[0].text else None

    def _write(self, actor: Actor, model: str, number: int | None, field: str, text: str, origin: str) -> Statement:
        before = self._said(actor.workspace, model, number, field)
        if before is not None and before.text == text:
            return before
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            subject = f"model/{model}" if number is None else f"version/{model}/{number}"
            action = "card.stated" if text else "card.withdrawn"
            # The words are not journalled: they may name a person, and a journal cannot be edited.
            told = {"digest": sha256_hex(text.encode()), "characters": len(text)} if text else {}
            entry = change.record(action, subject, field=field, **told)
            said = Statement(model, number, field, text, origin, actor.identity, actor.name, change.time, entry)
            return _insert(change, said)


def _insert(change: Change, said: Statement) -> Statement:
    columns = {name: getattr(said, name) for name in Statement.__slots__ if name != "sequence"}
    columns |= {"workspace": change.workspace, "number": said.number or OF_MODEL}
    done = change.execute(insert(statements).values(columns))
    return replace(said, sequence=done.inserted_primary_key[0])


def _newest(connection: Connection, workspace: str, model: str, *conditions: ColumnElement[bool]) -> list[Statement]:
    """The newest statement of each place (model or version, field) that meets the conditions."""
    here = (statements.c.workspace == workspace, statements.c.model == model, *conditions)
    last = select(func.max(statements.c.sequence)).where(*here).group_by(statements.c.number, statements.c.field)
    rows = connection.execute(select(statements).where(statements.c.sequence.in_(last)))
    return [_statement(row) for row in rows]


def _statement(row: Row[Any]) -> Statement:
    columns = {name: getattr(row, name) for name in Statement.__slots__}
    return Statement(**columns | {"number": row.number or None})


def _checked(field: str, text: str) -> str:
    """The text with plain line ends and no blank margin."""
    title = card_field(field).title
    plain = check_text(f"{title!r}", text.replace("\r\n", "\n").replace("\r", "\n").strip(), MAX_STATEMENT_LENGTH)
    if not plain:
        raise InvalidInput(f"{title!r} needs words; withdraw a statement to take it back.")
    for letter in plain:
        if unicodedata.category(letter) == "Cc" and letter not in "\n\t":
            raise InvalidInput(f"{title!r} holds the control character U+{ord(letter):04X}, which nobody can read.")
    return plain


def _named(model: str, number: int | None) -> str:
    return f"model {model!r}" if number is None else f"{model} version {number}"
