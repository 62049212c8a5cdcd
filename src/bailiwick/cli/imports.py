"""`bailiwick import`: records of other systems, moved here."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli import layout
from bailiwick.cli.output import JsonOption, print_json, print_table, say
from bailiwick.cli.progress import CountProgress
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.adapters.mlflow.census import Report
    from bailiwick.adapters.mlflow.connection import Credentials

app = typer.Typer(help="Move records of other systems here.", no_args_is_help=True)

TOKEN_VARIABLE = "BAILIWICK_SOURCE_TOKEN"  # noqa: S105 - the name of a variable
PASSWORD_VARIABLE = "BAILIWICK_SOURCE_PASSWORD"  # noqa: S105 - the name of a variable
SHOWN_NOTES = 20


@app.callback()
def group() -> None:
    """Move records of other systems here."""


@app.command()
def mlflow(
    url: Annotated[str, typer.Argument(help="Address of the MLflow server, such as http://mlflow:5000.")],
    experiments: Annotated[
        list[str] | None, typer.Option("--experiments", help="Name of an experiment to move; repeat for more.")
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", help="Name of a registered model to move; repeat for more.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Text that goes before each name here.")] = "",
    artifacts: Annotated[bool, typer.Option(help="Move artifacts too.")] = True,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out names that others have here.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Look into what has not changed since the last time too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare only, reading everything there again.")] = False,
    source_user: Annotated[
        str, typer.Option(help=f"User there; the password is asked for, or taken from {PASSWORD_VARIABLE}.")
    ] = "",
    source_token: Annotated[
        str, typer.Option(envvar=TOKEN_VARIABLE, help=f"Token for there; safer in {TOKEN_VARIABLE}.", show_envvar=False)
    ] = "",
    source_workspace: Annotated[str, typer.Option(help="Workspace there, where it has them.")] = "",
    json: JsonOption = False,
) -> None:
    """Move an MLflow server here; again, and only what is new is moved. Exit 1 when both sides do not agree in the end."""
    from bailiwick.adapters.mlflow.connection import MlflowConnection
    from bailiwick.adapters.mlflow.migration import Choice, Migration
    from bailiwick.adapters.mlflow.remote import RemoteMlflow

    if dry_run and verify:
        raise InvalidInput("--dry-run and --verify do not go together.", hint="Choose one.")
    choice = Choice(tuple(experiments or ()), tuple(models or ()), prefix, artifacts, skip_existing, again)
    connection = MlflowConnection(url, _credentials(source_user, source_token), workspace=source_workspace)
    looking = dry_run or verify
    with (
        closing(connection),
        open_session(create=not verify) as (platform, actor),
        CountProgress(quiet=json) as progress,
    ):
        migration = Migration(platform, actor, RemoteMlflow(connection), choice, progress.update)
        look = migration.verify if verify else migration.survey if dry_run else migration.move
        report = look()
    _tell(report, as_json=json, looking=looking)
    if not report.agrees and not dry_run:
        sys.exit(1)


def _credentials(user: str, token: str) -> Credentials:
    from bailiwick.adapters.mlflow.connection import Credentials

    if not user:
        return Credentials(token=token)
    if token:
        raise InvalidInput("A token and a user do not go together.", hint="Give one of them.")
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        if not sys.stdin.isatty():
            raise InvalidInput(f"There is no password for {user!r}.", hint=f"Put it into {PASSWORD_VARIABLE}.")
        password = str(typer.prompt(f"Password of {user} at the source", hide_input=True, err=True))
    return Credentials(user=user, password=password)


def _tell(report: Report, *, as_json: bool, looking: bool) -> None:
    if as_json:
        lines = {
            line.what: {"there": line.there, "here": line.here, "agrees": line.agrees} for line in report.comparison
        }
        told = {
            name: getattr(report, name) for name in ("source", "workspace", "moved_runs", "unchanged_runs", "new_files")
        }
        print_json({**told, "agrees": report.agrees, "counts": lines, "notes": [asdict(each) for each in report.notes]})
        return
    rows = [
        (line.what.replace("_", " "), line.there, line.here, "" if line.agrees else "differs")
        for line in report.comparison
    ]
    print_table(f"{report.source} and workspace {report.workspace}", ["what", "there", "here", " "], rows, empty="")
    for note in report.notes[:SHOWN_NOTES]:
        say(f"note: {layout.plain(note.what)}: {layout.plain(note.why)}")
    hidden = len(report.notes) + report.more_notes - min(len(report.notes), SHOWN_NOTES)
    if hidden:
        say(f"… and {hidden} more notes; --json has {'the first' if report.more_notes else 'all'} {len(report.notes)}.")
    if not looking:
        say(
            f"{report.moved_runs:,} runs were moved, {report.unchanged_runs:,} had not changed; {report.new_files:,} files came."
        )
    say("Both sides agree." if report.agrees else "The two sides do not agree.")
