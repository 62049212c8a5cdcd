"""`track`: any command as a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.output import JsonOption, print_json, say
from bailiwick.core.settings import load_settings

if TYPE_CHECKING:
    from bailiwick.core.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command(context_settings={"allow_interspersed_args": False})(track)


def track(
    command: Annotated[
        list[str], typer.Argument(help="The command and its arguments, after --.", metavar="COMMAND...")
    ],
    experiment: Annotated[str, typer.Option(help="Experiment the run is in; made if there is none.")] = "Default",
    name: Annotated[str, typer.Option(help="Name of the run; made up when left out.")] = "",
    url: Annotated[
        str | None,
        typer.Option(
            help="Server to record on; BAILIWICK_CONTROL_URL, or the home here and what runs on it, when left out."
        ),
    ] = None,
    diff: Annotated[
        bool | None, typer.Option("--diff/--no-diff", help="Keep what the code differs in from its commit (yes).")
    ] = None,
    every: Annotated[
        int | None, typer.Option(help="Seconds between samples of CPU, memory, disk, network, GPU (10); 0 for none.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a command as a tracked run. A script that uses MLflow logs into it. Ends with the command's exit code."""
    from bailiwick.adapters.mlflow.recording import RunRecorder
    from bailiwick.processes import tracked

    settings = load_settings(control_url=url, run_diffs=diff, system_metrics_seconds=every)
    order = tracked.Order(
        command=tuple(command),
        experiment=experiment,
        name=name,
        token=settings.token,
        workspace=settings.workspace,
        keep_changes=settings.run_diffs,
        system_metrics_seconds=settings.system_metrics_seconds,
    )
    with _server(settings) as (address, lasting):
        workspace = "" if settings.workspace == "default" else settings.workspace
        recorder = RunRecorder(address, token=settings.token, workspace=workspace)
        # With --json, standard output is the record alone.
        out = sys.stderr.buffer if json else sys.stdout.buffer
        outcome = tracked.track(
            replace(order, links=lasting),
            recorder,
            out=out,
            err=sys.stderr.buffer,
            report=lambda text: say(text, err=True),
        )
    if json:
        print_json(outcome)
    else:
        status = f" with exit status {outcome.exit_status}" if outcome.exit_status else ""
        say(f"Run {outcome.run} {outcome.status.lower()}{status} after {outcome.seconds:.1f} s", err=True)
        where = f"{address}/runs/{outcome.run}" if lasting else f"bailiwick tracking show {outcome.run[-8:]}"
        say(f"Look at it: {where}", err=True)
    sys.exit(outcome.exit_status)


@contextmanager
def _server(settings: Settings) -> Iterator[tuple[str, bool]]:
    """The server that is named, or that of the `bailiwick up` which runs on the home here, and that it stays; else a control
    plane on the home here, for as long as the command takes.
    """
    from bailiwick.processes.lent_control import control_here, lent_control

    running = settings.control_address if settings.control_url else control_here(settings)
    if running:
        yield running, True
        return
    with lent_control(settings) as address:
        yield address, False
