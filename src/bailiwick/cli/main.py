"""The command tree, and the one place where an error becomes a message and an exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bailiwick._version import __version__
from bailiwick.cli import (
    audit,
    data,
    demo,
    endpoints,
    features,
    imports,
    lineage,
    making,
    monitor,
    pipelines,
    predictions,
    processes,
    rollout,
    scoring,
    track,
    tracking,
    users,
    webhooks,
    workspaces,
)
from bailiwick.cli.output import close_quietly, say
from bailiwick.core.errors import BailiwickError, Unavailable

EXIT_CODES = "Exit codes: 0 ok, 1 a check said no, 2 usage, 3 not found, 4 not allowed, 5 unreachable."
ROOT_OPTIONS = ("--home", "--workspace", "--token")

app = typer.Typer(
    name="bailiwick",
    help="Runs machine-learning models in production and keeps them right.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (processes, pipelines, track, demo, lineage, scoring):
    module.add_to(app)
for name, group in (
    ("data", data.app),
    ("features", features.app),
    ("tracking", tracking.app),
    ("models", making.app),
    ("endpoints", endpoints.app),
    ("predictions", predictions.app),
    ("rollout", rollout.app),
    ("monitor", monitor.app),
    ("audit", audit.app),
    ("users", users.app),
    ("webhooks", webhooks.app),
    ("workspaces", workspaces.app),
    ("import", imports.app),
):
    app.add_typer(group, name=name)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def root(
    home: Annotated[Path | None, typer.Option(help="Folder of all state (.bailiwick, or BAILIWICK_HOME).")] = None,
    workspace: Annotated[str | None, typer.Option(help="Workspace to act in (default).")] = None,
    token: Annotated[str | None, typer.Option(help="API token to act with; safer in BAILIWICK_TOKEN.")] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Runs machine-learning models in production and keeps them right."""
    for name, value in (("HOME", home), ("WORKSPACE", workspace), ("TOKEN", token)):
        if value is not None:
            os.environ[f"BAILIWICK_{name}"] = str(value)


def main() -> None:
    """Entry point of the command; exit codes 0 ok, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 unreachable."""
    try:
        app(args=root_options_first(sys.argv[1:]), prog_name="bailiwick")
    except BailiwickError as error:
        _fail(error)
    except OSError as error:
        _fail(_unavailable(error))


def root_options_first(arguments: Sequence[str]) -> list[str]:
    """`models list --home x` as `--home x models list`: options of the whole command may stand anywhere before `--`."""
    first: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument in ROOT_OPTIONS:
            first += [argument, *[value for value in [next(waiting, None)] if value is not None]]
        elif argument.startswith(tuple(f"{option}=" for option in ROOT_OPTIONS)):
            first.append(argument)
        else:
            rest.append(argument)
            if argument == "--":
                break
    return [*first, *rest, *waiting]


def _fail(error: BailiwickError) -> None:
    say(f"error: {error}", err=True)
    sys.exit(error.exit_status)


def _unavailable(error: OSError) -> Unavailable:
    """An error of the operating system that no part has put into words of its own."""
    if sys.stdout is not None and error.filename is None and error.errno in {errno.ENOSPC, errno.EFBIG, errno.EIO}:
        close_quietly(sys.stdout)
        return Unavailable(f"The output cannot be written: {error.strerror}.")
    where = f"{error.filename}: " if error.filename else ""
    hint = "Free some space." if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
    return Unavailable(f"{where}{error.strerror or error}.", hint=hint)
