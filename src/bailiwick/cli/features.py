"""`bailiwick features …`: what a project's features have learnt, and what they make of a row."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bailiwick.cli import features_batch
from bailiwick.cli.output import JsonOption, print_fields, print_json, print_table, short
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

app = typer.Typer(help="Features as they were fitted.", no_args_is_help=True)
features_batch.add_to(app)

ProjectArgument = Annotated[str, typer.Argument(help="Name of the project, which is its model's.")]
_MOST_SHOWN = 60


@app.command()
def show(
    project: ProjectArgument,
    feature: Annotated[str | None, typer.Option(help="Everything that this feature has learnt.")] = None,
    json: JsonOption = False,
) -> None:
    """What each feature reads, has learnt and makes, as the newest run fitted it."""
    from bailiwick.lifecycle.training.looking import look

    with open_session() as (platform, actor):
        found = look(platform, actor.workspace, project)
    chosen = [each for each in found.features if feature is None or each.name == feature]
    if not chosen:
        raise InvalidInput.choice("Feature", str(feature), [each.name for each in found.features])
    if json:
        print_json(found if feature is None else chosen)
        return
    if feature is not None:
        for each in chosen:
            learnt = {name: _words(value, most=None) for name, value in each.learnt.items()}
            told = {"transform": each.transform, "reads": ", ".join(each.reads), **learnt}
            print_fields(each.name, {**told, "makes": ", ".join(each.columns)})
        return
    inputs = ", ".join(f"{name} ({kind})" for name, kind in found.inputs.items())
    print_fields(
        f"Features of {project}, fitted by run {short(found.run)}",
        {"inputs": inputs, "output": f"features/matrix, {len(found.output)} columns", "digest": found.digest[:16]},
    )
    rows = [(each.name, each.transform, ", ".join(each.reads), len(each.columns), _all(each.learnt)) for each in chosen]
    print_table("Fitted", ["feature", "transform", "reads", "columns", "learnt"], rows, empty="", below="learnt")


@app.command("try")
def try_row(
    project: ProjectArgument,
    row: Annotated[str, typer.Option(help='A JSON object, such as \'{"distance": 500, "carrier": "AA"}\'.')],
    json: JsonOption = False,
) -> None:
    """What the features make of a row. Columns that it lacks are missing; moments are milliseconds or ISO 8601."""
    from bailiwick.lifecycle.training.looking import try_row as tried

    try:
        given = json_text.loads(row)
    except ValueError as error:
        raise InvalidInput(f"--row is not JSON: {error}.") from error
    if not isinstance(given, dict):
        raise InvalidInput(f"--row {row[:80]!r} must be a JSON object: the value of each column by its name.")
    with open_session() as (platform, actor):
        found = tried(platform, actor.workspace, project, given)
    if json:
        print_json(found)
        return
    print_table("Features", ["column", "value"], [(name, f"{value:.7g}") for name, value in found.items()], empty="")


def _all(learnt: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {_words(value, most=_MOST_SHOWN)}" for name, value in learnt.items())


def _words(value: object, *, most: int | None) -> str:
    """Lists by their first values, and how many there are."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, list | tuple):
        return str(value)
    texts = [
        " × ".join(map(str, each)) if isinstance(each, list | tuple) else _words(each, most=None) for each in value
    ]
    whole = ", ".join(texts)
    if most is None or len(whole) <= most:
        return whole
    return f"{whole[:most].rpartition(',')[0] or whole[:most]}, … ({len(texts)})"
