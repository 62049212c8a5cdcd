"""`bailiwick data skew`: do training and serving see the same features of the same things?"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.output import JsonOption, busy, print_json, print_table, say
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.data.skew import FeatureSkew, Side, SkewReport

_ENDPOINT = "endpoint:"
SideArgument = Annotated[
    str, typer.Argument(help="A source (path, glob, URL), a snapshot (DATASET@latest …), or endpoint:NAME, its log.")
]


# budget: one argument an option
def skew(
    training: SideArgument,
    serving: SideArgument,
    on: Annotated[list[str], typer.Option("--on", help="Id: COLUMN, or COLUMN=COLUMN_OF_SERVING; repeat for more.")],
    column: Annotated[list[str] | None, typer.Option(help="Compare only this column; repeat for more.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Leave this column out; repeat for more.")] = None,
    tolerance: Annotated[
        list[str] | None, typer.Option(help="X, or COLUMN=X: numbers that differ by at most X match; repeat.")
    ] = None,
    allow: Annotated[float, typer.Option(min=0, max=1, help="Share of rows that may differ in a feature.")] = 0.0,
    limit: Annotated[int, typer.Option(min=0, help="Examples to show of each feature.")] = 3,
    json: JsonOption = False,
) -> None:
    """Join training and serving by id, and compare feature by feature. Exit 1 when one differs."""
    from bailiwick.data.skew import find_skew

    general, own = _tolerances(tolerance or [])
    with ExitStack() as stack, busy(f"Joining {training} with {serving}"):
        found = find_skew(
            _side(stack, training),
            _side(stack, serving),
            _ids(on),
            columns=column,
            ignore=ignore or (),
            tolerance=general,
            tolerances=own,
            limit=limit,
        )
    skewed = [each for each in found.skewed if each.diff_count > allow * found.joined]
    if json:
        print_json({"report": found, "skewed": [each.feature for each in skewed]})
    else:
        _print(found)
    if not found.joined:
        say("No id is on both sides, so nothing was compared.", err=True)
    if skewed or not found.joined:
        sys.exit(1)


def _print(found: SkewReport) -> None:
    columns = ["feature", "match", "mismatch", "training only", "serving only", "largest"]
    order = [*found.skewed, *(each for each in found.features if not each.diff_count)]
    rows = [_row(each) for each in order]
    title = f"{found.joined:,} rows by id"
    print_table(title, columns, rows, empty="No feature is on both sides of any row.")
    for each in found.skewed:
        for example in each.examples:
            key = ", ".join(f"{name} {value}" for name, value in example.id.items())
            say(f"{each.feature}: {key}: {_shown(example.training)} in training, {_shown(example.serving)} in serving")
    say(
        f"Left out: {found.training_only_ids:,} ids of training only, {found.serving_only_ids:,} of serving only, "
        f"{found.repeated_ids:,} that are repeated; {found.training_without_id:,} rows of training and "
        f"{found.serving_without_id:,} of serving without an id."
    )


def _row(each: FeatureSkew) -> tuple[object, ...]:
    return each.feature, each.match_count, each.mismatch_count, each.training_only, each.serving_only, each.largest


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)


def _side(stack: ExitStack, word: str) -> Side:
    from bailiwick.core.clock import system_clock
    from bailiwick.data.skew import Side
    from bailiwick.lifecycle.checking import held_snapshot, held_source, names_snapshot
    from bailiwick.lifecycle.served import served_side

    if word.startswith(_ENDPOINT):
        platform, actor = stack.enter_context(open_session())
        return served_side(platform, actor.workspace, word.removeprefix(_ENDPOINT))
    if names_snapshot(word, Path.cwd()):
        platform, actor = stack.enter_context(open_session())
        held = held_snapshot(platform.data, platform.data.find(actor.workspace, word))
    else:
        held = held_source(word, Path.cwd(), now=system_clock())
    return Side(word, held.columns, held.read)


def _ids(given: list[str]) -> dict[str, str]:
    """A column may hold `=`; then write it on both sides."""
    pairs = [each.partition("=") for each in given]
    return {mine: theirs if equals else mine for mine, equals, theirs in pairs}


def _tolerances(given: list[str]) -> tuple[float, dict[str, float]]:
    general, own = 0.0, {}
    for text in given:
        column, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError as error:
            raise InvalidInput(
                f"--tolerance is X or COLUMN=X, not {text!r}.", hint="E.g. --tolerance temp=0.01"
            ) from error
        if column:
            own[column] = value
        else:
            general = value
    return general, own
