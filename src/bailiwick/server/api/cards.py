"""Model cards, and what people state for them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.responses import Response

from bailiwick.governance.cards.fields import FIELDS
from bailiwick.governance.cards.forms import FORMS, accepted_form
from bailiwick.governance.statements import MAX_STATEMENT_LENGTH, Statement
from bailiwick.lifecycle.evidence import model_card
from bailiwick.server.api.route import Call, Nothing

Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class CardQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The form; what `Accept` asks for where it is left out, and JSON where that asks for nothing special."""

    format: Literal["json", "html", "markdown", "cyclonedx", "text"] | None = None


class Statements(Struct, frozen=True):
    """What counts now, in the order of a card; `missing` are required fields that nobody has stated."""

    items: list[Statement]
    missing: list[str]


class StatementHistory(Struct, frozen=True):
    """Everything that was said, newest first; pass `next` as `before` for more."""

    items: list[Statement]
    next: int | None = None


class SubjectQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A version, or the model itself."""

    number: Number | None = None


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one version or all, of one field or all."""

    number: Number | None = None
    field: str | None = None
    before: int | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class State(Struct, frozen=True, forbid_unknown_fields=True):
    """Words; of one version, or of the model and thereby all its versions."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_STATEMENT_LENGTH * 2)]
    number: Number | None = None


def card(call: Call[CardQuery, Nothing]) -> Response:
    """What a version is: each fact with where it comes from, and what nobody has stated or knows."""
    found = model_card(call.platform, call.workspace, call.path["model"], call.number("number"))
    named = call.query.format
    form = FORMS[named] if named else accepted_form(call.request.headers.get("accept", ""))
    # A browser would show HTML under our own policy, which allows no style inside a page: it is for keeping.
    place = "attachment" if form.name == "html" else "inline"
    headers = {
        "Content-Disposition": f'{place}; filename="{form.file_name(found)}"',
        "ETag": f'"{found.digest}-{form.name}"',
        "Vary": "Accept",
    }
    written = call.request.app.state.card_writers[form.name](found)
    return Response(written, media_type=form.media_type, headers=headers)


def statements(call: Call[SubjectQuery, Nothing]) -> Statements:
    """What is stated of a model, or holds for one of its versions."""
    model, number = call.path["model"], call.query.number
    if number is None:
        call.platform.registry.model(call.workspace, model)
    else:
        call.platform.registry.version(call.workspace, model, number)
    found = call.platform.statements.statements(call.workspace, model, number)
    missing = [key for key, field in FIELDS.items() if field.required and key not in found]
    return Statements(list(found.values()), missing)


def statement_history(call: Call[HistoryQuery, Nothing]) -> StatementHistory:
    """Who said what and when, also what was said over."""
    asked = call.query
    call.platform.registry.model(call.workspace, call.path["model"])
    found = call.platform.statements.history(
        call.workspace,
        call.path["model"],
        number=asked.number,
        field=asked.field,
        before=asked.before,
        limit=asked.limit,
    )
    return StatementHistory(found, found[-1].sequence if len(found) == asked.limit else None)


def state(call: Call[Nothing, State]) -> Statement:
    """Say something; saying again what counts already changes nothing."""
    wanted = call.body
    return call.platform.statements.state(
        call.actor, call.path["model"], wanted.number, call.path["field"], wanted.text
    )


def withdraw(call: Call[SubjectQuery, Nothing]) -> Statement:
    """Take back what was said."""
    return call.platform.statements.withdraw(call.actor, call.path["model"], call.query.number, call.path["field"])
