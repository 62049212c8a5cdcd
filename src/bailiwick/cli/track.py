"""`track`: any command as a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
        str | None, typer.Option(help="Server to record on; BAILIWICK_CONTROL_URL, or the home here, when left out.")
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
    with _server(settings) as address:
        workspace = "" if settings.workspace == "default" else settings.workspace
        recorder = RunRecorder(address, token=settings.token, workspace=workspace)
        # With --json, standard output is the record alone.
        out = sys.stderr.buffer if json else sys.stdout.buffer
        outcome = tracked.track(
            order, recorder, out=out, err=sys.stderr.buffer, report=lambda text: say(text, err=True)
        )
    if json:
        print_json(outcome)
    else:
        status = f" with exit status {outcome.exit_status}" if outcome.exit_status else ""
        say(f"Run {outcome.run} {outcome.status.lower()}{status} after {outcome.seconds:.1f} s", err=True)
        say(f"Look at it: {_where(settings, outcome.run)}", err=True)
    sys.exit(outcome.exit_status)


def _where(settings: Settings, run: str) -> str:
    return f"{settings.control_address}/runs/{run}" if settings.control_url else f"bailiwick tracking show {run[-8:]}"


@contextmanager
def _server(settings: Settings) -> Iterator[str]:
    """The server that is named; else a control plane on the home here, for as long as the command takes."""
    from bailiwick.processes.lent_control import lent_control

    if settings.control_url:
        yield settings.control_address
        return
    with lent_control(settings) as address:
        yield address
