"""Training runs: found, shown, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.ids import full_id
from bailiwick.cli.output import JsonOption, print_fields, print_json, print_table, say, short, when, words
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bailiwick.core.actor import Actor
    from bailiwick.lifecycle.platform import Platform
    from bailiwick.tracking.comparison import RunComparison
    from bailiwick.tracking.model import Run

app = typer.Typer(help="Training runs: found, shown, compared.", no_args_is_help=True)

RunArgument = Annotated[str, typer.Argument(help="Id of the run, or the end of it.")]
SHOWN_METRICS = 3


@app.command("list")
def list_runs(
    experiment: Annotated[list[str] | None, typer.Option(help="Only of this experiment; repeat for more.")] = None,
    where: Annotated[str, typer.Option("--filter", help='As MLflow has it: "metrics.auc > 0.8".')] = "",
    order: Annotated[list[str] | None, typer.Option("--order-by", help='"metrics.auc DESC"; repeat for more.')] = None,
    limit: Annotated[int, typer.Option(help="Most runs on the page.")] = 20,
    after: Annotated[str, typer.Option(help="Token of the page, as the page before ends with.")] = "",
    json: JsonOption = False,
) -> None:
    """Runs by filter and order, newest first unless told otherwise."""
    from bailiwick.core.filters import parse_filter, parse_ordering
    from bailiwick.tracking.conditions import ENTITIES
    from bailiwick.tracking.search import RunSearch

    clauses = parse_filter(where, entities=ENTITIES, default="attribute")
    orderings = tuple(parse_ordering(each, entities=ENTITIES, default="attribute") for each in order or ())
    with open_session() as (platform, actor):
        tracking = platform.tracking
        named = [tracking.experiment_named(actor.workspace, name).id for name in experiment or ()]
        search = RunSearch(tuple(named) if experiment else None, clauses, orderings)
        page = tracking.search_runs(actor.workspace, search, limit=limit, token=after)
    if json:
        print_json(page)
        return
    rows = [
        (short(run.id), run.name, run.experiment, words(run.status), when(run.started), _headline(run))
        for run in page.items
    ]
    columns = ["run", "name", "experiment", "status", "started (UTC)", "metrics"]
    print_table("Runs", columns, rows, empty="No runs match: `bailiwick run` makes some.")
    if page.next:
        say(f"More: --after {page.next}")


@app.command()
def show(run: RunArgument, json: JsonOption = False) -> None:
    """One run: what went in, what was measured."""
    with open_session() as (platform, actor):
        found = platform.tracking.run(actor.workspace, _run_id(platform, actor, run))
    if json:
        print_json(found)
        return
    fields: dict[str, object] = {
        "id": found.id,
        "experiment": found.experiment,
        "status": words(found.status if found.lifecycle == "active" else found.lifecycle),
        "user": found.user,
        "started": f"{when(found.started, seconds=True)} UTC",
        "ended": "" if found.ended is None else f"{when(found.ended, seconds=True)} UTC",
        "parent": found.parent,
        "artifacts": found.artifact_uri,
        **{f"input {read.role}": read.snapshot for read in found.inputs},
        **{f"metric {key}": value for key, value in found.metrics.items()},
        **{f"param {key}": value for key, value in found.params.items()},
        **{f"tag {key}": value for key, value in found.tags.items()},
    }
    print_fields(f"Run {found.name}", fields)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Ids of the runs, or the ends of them.", metavar="RUN...")],
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same in all of them.")] = False,
    json: JsonOption = False,
) -> None:
    """Several runs side by side, where they differ: params, metrics, tags, code, data, packages, host."""
    from bailiwick.lifecycle.comparing_runs import compare_runs

    with open_session() as (platform, actor):
        ids = [_run_id(platform, actor, each) for each in runs]
        if len(ids) < 2:
            raise InvalidInput("One run alone is compared with nothing.", hint="Name two runs or more.")
        found = compare_runs(platform, actor.workspace, ids)
    if json:
        print_json(found)
        return
    columns = ["what", "", *(f"{run.name} {short(run.id)}" for run in found.runs)]
    same = "The runs are the same in everything that is known of them."
    print_table("Runs compared", columns, _compared(found, everything=everything), empty=same)


def _compared(found: RunComparison, *, everything: bool) -> Sequence[Sequence[object]]:
    """One line for each key. What the machine was doing differs always, and tags of the code are told as code."""
    from bailiwick.tracking.comparison import told_elsewhere
    from bailiwick.tracking.provenance.meters import PREFIX

    kinds = {
        "param": found.params,
        "metric": [row for row in found.metrics if everything or not row.key.startswith(PREFIX)],
        "tag": [row for row in found.tags if not told_elsewhere(row.key)],
        "code": found.code,
        "data": found.data,
        "package": found.packages,
        "host": found.host,
    }
    return [
        (f"{kind} {row.key}", "≠" if row.differs else "=", *row.values)
        for kind, rows in kinds.items()
        for row in rows
        if row.differs or everything
    ]


def _headline(run: Run) -> str:
    own = [(key, value) for key, value in run.metrics.items() if not key.startswith("system/")]
    return ", ".join(f"{key} {value:.4g}" for key, value in own[:SHOWN_METRICS])


def _run_id(platform: Platform, actor: Actor, given: str) -> str:
    return full_id("run", given, platform.tracking.ids_like(actor.workspace, given))
