"""`init`, `apply`, `run`, `runs`, `cancel`: a project to start from, and its pipeline."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Never

import typer

from bailiwick.cli.ids import full_id
from bailiwick.cli.output import JsonOption, answer, print_json, print_table, say, short, when, words
from bailiwick.cli.session import open_session
from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput

if TYPE_CHECKING:
    from bailiwick.core.actor import Actor
    from bailiwick.lifecycle.platform import Platform
    from bailiwick.pipelines.model import PipelineRun
    from bailiwick.pipelines.project import Project

ProjectOption = Annotated[Path, typer.Option(help="The project file.")]
RunArgument = Annotated[str, typer.Argument(help="Id of the run, or the end of it.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(init)
    app.command("apply")(apply_file)
    app.command()(run)
    app.command()(runs)
    app.command()(cancel)


def init(directory: Annotated[Path, typer.Argument(help="Folder to make.")], json: JsonOption = False) -> None:
    """Make a project to start from: the flights example."""
    from bailiwick.demo.project import copy_project

    if directory.exists() and not directory.is_dir():
        raise InvalidInput(f"{directory} is a file.", hint="Name a folder that does not exist yet.")
    copy_project(directory)
    steps = (
        f"Made {directory}. Next:",
        f"  cd {shlex.quote(str(directory))}",
        '  python prepare.py    its data: a year of flights; needs pip install "bailiwick[demo]"',
        "  bailiwick run        check, fit, tune, train, judge, register",
    )
    made = {"folder": str(directory), "files": sorted(each.name for each in directory.iterdir())}
    answer("\n".join(steps), made, as_json=json)


def run(
    steps: Annotated[list[str] | None, typer.Argument(help="Steps to run, with those they need; or all.")] = None,
    project: ProjectOption = Path("bailiwick.yaml"),
    start: Annotated[str | None, typer.Option(help="Use data from this event time on (ISO 8601, UTC).")] = None,
    end: Annotated[str | None, typer.Option(help="Use data before this event time (ISO 8601, UTC).")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with this failed, cancelled or interrupted run.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Register a version even where it is the newest one again.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run the project's pipeline. What has not changed since an earlier run is not done again, nor registered again."""
    # OpenMP threads that wait by spinning starve everything else on a busy machine; read once, when LightGBM loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if resume is not None and (steps or start or end or force):
        raise InvalidInput(
            "--resume goes on with a run as it was started; leave out steps, --start, --end and --force."
        )
    asked: dict[str, int | bool | None] = {"start": _moment("--start", start), "end": _moment("--end", end)}
    if force:
        asked["force"] = True
    read = None if resume is not None else _read(project)
    with open_session(create=read is not None) as (platform, actor):
        if read is None:
            submitted = platform.pipelines.resume(actor, _run_id(platform, actor, str(resume)))
        else:
            submitted = _submitted(platform, actor, read, steps, asked)
        logged = _log_to(platform.settings.home.resolve() / "logs" / "runs.log")
        finished, notes = _execute(platform, actor, submitted, quiet=json)
    if json:
        print_json(finished)
    else:
        _print_run(finished, notes)
        _print_next(finished)
    if finished.status != "FINISHED":
        say(f"More in {logged}", err=True)
        sys.exit(1)


def runs(
    run: Annotated[str | None, typer.Argument(help="Id of one run, to see its steps; all when left out.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most runs to show.")] = 20,
    json: JsonOption = False,
) -> None:
    """Pipeline runs, newest first; or the steps of one."""
    with open_session() as (platform, actor):
        if run is not None:
            one = platform.pipelines.run(actor.workspace, _run_id(platform, actor, run))
        found = [one] if run is not None else platform.pipelines.runs(actor.workspace, limit=limit)
    if json:
        print_json(found[0] if run is not None else found)
        return
    if run is not None:
        _print_run(found[0], {})
        _print_next(found[0])
        return
    rows = [
        (short(each.id), each.pipeline, each.trigger, words(each.status), when(each.created), each.message)
        for each in found
    ]
    columns = ["run", "pipeline", "trigger", "status", "created (UTC)", "message"]
    empty = "No runs yet: `bailiwick run` makes the first."
    print_table("Pipeline runs", columns, rows, empty=empty, below="message")


def cancel(run: RunArgument, json: JsonOption = False) -> None:
    """Cancel a pipeline run. It can be resumed."""
    with open_session() as (platform, actor):
        after = platform.pipelines.cancel(actor, _run_id(platform, actor, run))
    sentence = f"Run {short(after.id)} is cancelled. Go on with it: bailiwick run --resume {short(after.id)}"
    answer(sentence, after, as_json=json)


def apply_file(project: ProjectOption = Path("bailiwick.yaml"), json: JsonOption = False) -> None:
    """Let the platform act by the project file from now on. Runs nothing."""
    from bailiwick.lifecycle.configuration import apply_project
    from bailiwick.pipelines.project_secrets import told

    read = _read(project)
    with open_session(create=True) as (platform, actor):
        applied = apply_project(platform, actor, read)
    _warn(applied)
    answer(f"Project {applied.name} is applied.", told(applied), as_json=json)


def _warn(project: Project) -> None:
    from bailiwick.pipelines.project_secrets import warnings_of

    for each in warnings_of(project):
        say(f"warning: {each}", err=True)


def _read(file: Path) -> Project:
    """The project file, with the words that other parts give meaning to understood as well, before anything is run."""
    from bailiwick.evaluation.gates import parse_gate
    from bailiwick.lifecycle.training.declared import declared_features
    from bailiwick.pipelines.project import load_project

    project = load_project(file)
    declared_features(project, file=file)
    try:
        for gate in project.evaluate.gates:
            parse_gate(gate)
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error.message}", hint=error.hint) from error
    return project


def _submitted(
    platform: Platform, actor: Actor, read: Project, steps: list[str] | None, asked: dict[str, int | bool | None]
) -> PipelineRun:
    from bailiwick.lifecycle.configuration import apply_project
    from bailiwick.lifecycle.training.pipeline import training_pipeline

    project = apply_project(platform, actor, read)
    _warn(project)
    pipeline = training_pipeline(platform, project, only=steps)
    return platform.pipelines.submit(actor, pipeline, {"project": project.name, **asked, "reason": "started by hand"})


def _moment(option: str, text: str | None) -> int | None:
    from bailiwick.core.clock import from_text

    try:
        return None if text is None else from_text(text)
    except ValueError:
        raise InvalidInput(f"{option} {text!r} is not an ISO 8601 time.", hint="For example 2013-03-01.") from None


def _execute(
    platform: Platform, actor: Actor, run: PipelineRun, *, quiet: bool
) -> tuple[PipelineRun, Mapping[str, str]]:
    """Execute here, in sight of the person; a signal cancels the run, so that nothing waits for it in vain."""
    from bailiwick.cli.progress import StepProgress
    from bailiwick.lifecycle.training.pipeline import engine_for

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with StepProgress(quiet=quiet) as progress:
            return engine_for(platform, run).execute(actor, run.id, progress=progress.update), progress.notes
    except KeyboardInterrupt as interrupt:
        with suppress(Conflict):  # it may have ended at that moment
            platform.pipelines.cancel(actor, run.id)
        say(f"Interrupted. Go on with it: bailiwick run --resume {short(run.id)}", err=True)
        raise typer.Exit(128 + (signal.SIGTERM if interrupt.args else signal.SIGINT)) from None
    except SystemExit as left:
        platform.pipelines.cancel(actor, run.id)
        raise CheckFailed(
            f"Run {short(run.id)} is cancelled: the project's code called sys.exit({left.code!r}).",
            hint="Let it raise an error instead.",
        ) from None


def _interrupt(number: int, _frame: FrameType | None) -> Never:
    raise KeyboardInterrupt(number)


def _log_to(path: Path) -> Path:
    """Tracebacks of the user's code are kept in a file; the message alone is shown."""
    import logging  # imported here: no other command logs

    path.parent.mkdir(parents=True, exist_ok=True)
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(filename=path, level=logging.INFO, format=form)
    return path


def _run_id(platform: Platform, actor: Actor, given: str) -> str:
    return full_id("run", given, (each.id for each in platform.pipelines.runs(actor.workspace, limit=10_000)))


def _print_run(run: PipelineRun, notes: Mapping[str, str]) -> None:
    rows = [
        (
            step.name,
            words(step.status),
            f"{(step.ended - step.started) / 1000:.1f} s" if step.started and step.ended else "",
            step.message if not step.status.is_done else notes.get(step.name, step.message),
        )
        for step in run.steps
    ]
    print_table(f"Run {short(run.id)}: {words(run.status)}", ["step", "status", "took", "message"], rows, empty="")


def _print_next(run: PipelineRun) -> None:
    """What came of it, and what a person does next."""
    if run.status in {"FAILED", "CANCELLED"}:
        say(f"Go on when it is repaired: bailiwick run --resume {short(run.id)}")
        return
    outputs = {step.name: step.outputs for step in run.steps if step.status.is_done}
    registered, proposed = outputs.get("register", {}), outputs.get("propose", {})
    if registered.get("unchanged"):
        same = f"{registered['model']} version {registered['version']}"
        say(f"Nothing changed: {same} is this. `bailiwick run --force` registers it once more.")
    elif registered:
        say(f"{registered['model']} version {registered['version']} is registered.")
    if proposed.get("request"):
        say(f"It waits for approval: bailiwick models approve {short(str(proposed['request']))}")
