"""`bailiwick users`: identities, their roles and tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from bailiwick.cli.ids import full_id
from bailiwick.cli.output import JsonOption, answer, print_json, print_table, say, short, when
from bailiwick.cli.session import open_session
from bailiwick.core.actor import Permission
from bailiwick.core.clock import MILLISECONDS_PER_DAY, system_clock

app = typer.Typer(help="Identities, their roles and tokens.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name that people read.")],
    role: Annotated[
        list[str], typer.Option(help="viewer, editor, approver, operator, auditor, service or admin; repeat for more.")
    ],
    kind: Annotated[str, typer.Option(help="person or service.")] = "person",
    json: JsonOption = False,
) -> None:
    """Add an identity to the workspace."""
    with open_session(create=True) as (platform, actor):
        made = platform.identities.create(actor, name, roles=role, kind=kind)
    roles = ", ".join(made.roles)
    answer(f"{made.name} may act in workspace {made.workspace} as {roles}.", made, as_json=json)
    if not json:
        say(f"Give it a token: bailiwick users token {made.name}")


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Whose token.")],
    days: Annotated[int, typer.Option(help="Days until it expires.")] = 90,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    json: JsonOption = False,
) -> None:
    """Issue a token. It is shown this once; only its hash is kept."""
    with open_session() as (platform, actor):
        text, made = platform.identities.issue_token(actor, name, lifetime_ms=days * MILLISECONDS_PER_DAY, note=note)
    answer(text, {"token": text, "id": made.id, "identity": name, "expires": made.expires}, as_json=json)


@app.command()
def tokens(json: JsonOption = False) -> None:
    """Every token: whose, what for, until when."""
    with open_session(needs=Permission.IDENTITIES_MANAGE) as (platform, actor):
        found = platform.identities.tokens(actor.workspace)
    if json:
        print_json(found)
        return
    now = system_clock()
    rows = [
        (
            short(each.id),
            each.identity,
            each.note,
            when(each.created)[:10],
            when(each.expires)[:10],
            "valid" if each.valid_at(now) else "revoked" if each.revoked is not None else "expired",
        )
        for each in found
    ]
    print_table("Tokens", ["token", "identity", "note", "issued", "expires", "state"], rows, empty="No tokens.")


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="Id of the token (from `users tokens`), or the end of it.")],
    json: JsonOption = False,
) -> None:
    """Revoke a token, from now on."""
    with open_session(needs=Permission.IDENTITIES_MANAGE) as (platform, actor):
        known = (each.id for each in platform.identities.tokens(actor.workspace))
        after = platform.identities.revoke_token(actor, full_id("token", token, known))
    answer(f"Token {short(after.id)} of {after.identity} is revoked.", after, as_json=json)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Who is to go.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "",
    json: JsonOption = False,
) -> None:
    """Remove an identity and its tokens. What it did stays on record."""
    with open_session(needs=Permission.IDENTITIES_MANAGE) as (platform, actor):
        gone = platform.identities.remove(actor, name, reason=reason)
    answer(f"{gone.name} may do nothing in workspace {gone.workspace} any more.", gone, as_json=json)


@app.command("list")
def list_identities(json: JsonOption = False) -> None:
    """Everyone who may act in the workspace."""
    with open_session() as (platform, actor):
        found = platform.identities.identities(actor.workspace)
    if json:
        print_json(found)
        return
    rows = [(who.name, who.kind, ", ".join(sorted(who.roles)), when(who.created)) for who in found]
    print_table("Identities", ["name", "kind", "roles", "created (UTC)"], rows, empty="Only the local administrator.")
