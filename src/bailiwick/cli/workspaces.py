"""`bailiwick workspaces`: the tenants of an installation."""

from __future__ import annotations

from typing import Annotated

import typer

from bailiwick.cli.output import JsonOption, answer, print_fields, print_json, print_table, when
from bailiwick.cli.session import open_session
from bailiwick.core.actor import Permission

app = typer.Typer(help="Workspaces: tenants that see nothing of each other.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the workspace.")]
RootOption = Annotated[str | None, typer.Option(help="Where its artifacts go by default, e.g. s3://bucket/team.")]
MANAGE = Permission.WORKSPACES_MANAGE


@app.command("list")
def list_workspaces(json: JsonOption = False) -> None:
    """The workspaces that you may know of."""
    with open_session() as (platform, actor):
        found = platform.workspaces.visible_to(actor)
    if json:
        print_json(found)
        return
    rows = [(each.name, each.description, each.artifact_root, when(each.created)) for each in found]
    print_table("Workspaces", ["name", "description", "artifacts", "created (UTC)"], rows, empty="None.")


@app.command()
def show(name: NameArgument, json: JsonOption = False) -> None:
    """One workspace."""
    with open_session() as (platform, actor):
        found = platform.workspaces.seen_by(actor, name)
    if json:
        print_json(found)
        return
    fields = {"description": found.description, "artifacts": found.artifact_root, "created (UTC)": when(found.created)}
    print_fields(found.name, fields)


@app.command()
def create(
    name: NameArgument,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    artifact_root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Add a workspace."""
    with open_session(needs=MANAGE, create=True) as (platform, actor):
        made = platform.workspaces.create(actor, name, description=description, artifact_root=artifact_root or "")
    answer(f"Workspace {made.name} is there. Act in it with --workspace {made.name}.", made, as_json=json)


@app.command()
def update(
    name: NameArgument,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    artifact_root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Change what is given."""
    with open_session(needs=MANAGE) as (platform, actor):
        changed = platform.workspaces.update(actor, name, description=description, artifact_root=artifact_root)
    answer(f"Workspace {changed.name} is changed.", changed, as_json=json)


@app.command()
def delete(
    name: NameArgument,
    identities: Annotated[
        bool, typer.Option("--identities", help="Its identities and their tokens go with it.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Remove a workspace that holds nothing. Exit 1 when it holds records."""
    with open_session(needs=MANAGE) as (platform, actor):
        platform.workspaces.delete(actor, name, identities=identities)
    answer(f"Workspace {name} is deleted.", {"name": name}, as_json=json)
