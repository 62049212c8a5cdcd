"""`bailiwick predictions`: what was answered, with all that belongs to it, and why it came out so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli.output import JsonOption, busy, print_fields, print_json, print_table, say, when, words
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.endpoints.past import PastPrediction
    from bailiwick.lifecycle.explaining.model import Asked, Explanation

app = typer.Typer(help="Past predictions: find them, look at one, ask why.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="Id of the prediction: REQUEST:ROW.")]
EndpointOption = Annotated[str, typer.Option(help="Only of this endpoint.")]
_SPLITS = 2


@app.command("list")
def list_all(
    endpoint: EndpointOption = "",
    model: Annotated[str, typer.Option(help="Only by this model.")] = "",
    version: Annotated[int | None, typer.Option(help="Only by this version.")] = None,
    unit: Annotated[str, typer.Option(help="Only of this unit, whose value may be on record as a hash.")] = "",
    status: Annotated[int | None, typer.Option(help="Only with this HTTP status.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed: any status but 200.")] = False,
    since: Annotated[str, typer.Option(help="Received at this time or later (ISO 8601).")] = "",
    until: Annotated[str, typer.Option(help="Received before this time (ISO 8601).")] = "",
    limit: Annotated[int, typer.Option(help="How many.")] = 20,
    after: Annotated[str, typer.Option(help="`next` of the page before.")] = "",
    json: JsonOption = False,
) -> None:
    """The newest predictions first."""
    from bailiwick.endpoints.past import Sought
    from bailiwick.lifecycle.explaining.story import list_predictions

    sought = Sought(
        model=model,
        version=version,
        unit=unit,
        status=status,
        failed=failed,
        start=_moment(since),
        end=_moment(until),
    )
    with open_session() as (platform, actor):
        page = list_predictions(platform, actor, sought, endpoint=endpoint, limit=limit, after=after)
    if json:
        print_json(page)
        return
    rows = [(each.id, _by(each), when(each.received), each.status, _outputs(each)) for each in page.items]
    columns = ["prediction", "by", "received (UTC)", "status", "answer"]
    chosen = sought != Sought() or after
    empty = "No prediction on record is like that." if chosen else "No predictions on record yet."
    print_table("Predictions", columns, rows, empty=empty)
    if page.next:
        say(f"More: --after {page.next}")


@app.command()
def show(prediction: IdArgument, endpoint: EndpointOption = "", json: JsonOption = False) -> None:
    """One prediction: inputs, outputs, the version that made it, where that came from, who approved it."""
    from bailiwick.lifecycle.explaining.story import recall

    with open_session() as (platform, actor):
        found = recall(platform, actor, prediction, endpoint=endpoint)
    if json:
        print_json(found)
        return
    made, version = found.prediction, found.version
    approved = [
        f"{each.target}: {words(each.status)} ({', '.join(vote.actor for vote in each.decisions)})"
        for each in found.approvals
    ]
    print_fields(
        f"Prediction {made.id}",
        {
            "endpoint": made.endpoint,
            "by": f"{_by(made)}, variant {made.variant}",
            "run": "" if version is None else version.run_id,
            "snapshot": "" if version is None else version.snapshot,
            "approvals": "; ".join(approved),
            "unit": made.unit,
            "time": when(made.time, seconds=True),
            "received": when(made.received, seconds=True),
            "took": f"{made.latency_us / 1000:.1f} ms",
            "status": made.status,
            "error": made.error,
            "not kept": ", ".join("all inputs" if name == "*" else name for name in made.withheld),
        },
    )
    values = [*made.inputs.items(), *((name, f"hash {text}") for name, text in made.hashed.items())]
    print_table("Inputs", ["column", "value"], values, empty="No inputs were kept.")
    if made.params:
        print_table("Params", ["param", "value"], list(made.params.items()), empty="")
    print_table("Outputs", ["output", "value"], list(made.outputs.items()), empty="There was no answer.")


@app.command()
def explain(
    prediction: IdArgument,
    endpoint: EndpointOption = "",
    kinds: Annotated[str, typer.Option(help="shap, neighbours, counterfactuals; with commas.")] = "",
    background: Annotated[int, typer.Option(help="Training rows that stand for what is not known.")] = 100,
    threshold: Annotated[float, typer.Option(help="A counterfactual is on its other side.")] = 0.5,
    immutable: Annotated[list[str] | None, typer.Option(help="Column that a counterfactual may not change.")] = None,
    direction: Annotated[list[str] | None, typer.Option(help="COLUMN=up or COLUMN=down.")] = None,
    within: Annotated[list[str] | None, typer.Option(help="COLUMN=LEAST..MOST.")] = None,
    step: Annotated[list[str] | None, typer.Option(help="COLUMN=STEP.")] = None,
    choice: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE,VALUE…")] = None,
    settings: Annotated[Path | None, typer.Option(help="A JSON file with all that can be asked, instead.")] = None,
    json: JsonOption = False,
) -> None:
    """Why it came out so: what each column added, the nearest training rows, and what would have changed the outcome."""
    from bailiwick.lifecycle.explaining.model import KINDS, Asked, Constraints
    from bailiwick.lifecycle.explaining.story import explain as explained

    asked = Asked(
        kinds=tuple(part.strip() for part in kinds.split(",") if part.strip()) or KINDS,
        background=background,
        threshold=threshold,
        constraints=Constraints(
            immutable=tuple(immutable or ()),
            directions=dict(_pairs(direction)),
            ranges={name: _range(text) for name, text in _pairs(within)},
            steps={name: _number(text) for name, text in _pairs(step)},
            choices={name: tuple(text.split(",")) for name, text in _pairs(choice)},
        ),
    )
    if settings is not None:
        asked = _read(settings)
    with open_session() as (platform, actor), busy("Explaining"):
        found = explained(platform, actor, prediction, asked, endpoint=endpoint)
    if json:
        print_json(found)
    else:
        _print(found)


def _print(found: Explanation) -> None:
    from bailiwick.cli.waterfall import waterfall

    say(f"{found.output_name} {found.output:.4g} by {found.model} version {found.version}; against {found.background}")
    if found.shap is not None:
        say("\n".join(waterfall(found.shap)))
    if found.neighbours is not None:
        near = found.neighbours
        columns = list(near.items[0].row) if near.items else []
        rows = [
            (f"{each.distance:.3f}", each.label, each.output, *(each.row[name] for name in columns))
            for each in near.items
        ]
        title = f"Nearest of {near.searched:,} training rows"
        print_table(title, ["distance", "label", found.output_name, *columns], rows, empty=near.note)
    if found.counterfactuals is not None:
        told = found.counterfactuals
        lines = [
            (
                "; ".join(f"{each.column}: {_text(each.before)} → {_text(each.after)}" for each in one.changes),
                one.output,
                f"{one.distance:.3f}",
            )
            for one in told.items
        ]
        title = f"What would have brought it to the other side of {told.threshold:g}"
        print_table(title, ["change", found.output_name, "distance"], lines, empty=told.note)


def _by(made: PastPrediction) -> str:
    return f"{made.model} {made.version}" if made.model else "a constant"


def _outputs(made: PastPrediction) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in made.outputs.items() if value is not None)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value[:8]))}{', …' if len(value) > 8 else ''}]"
    return "missing" if value is None else str(value)


def _moment(text: str) -> int | None:
    from bailiwick.core.clock import from_text

    if not text:
        return None
    try:
        return from_text(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not an ISO 8601 time, such as 2026-01-31T12:00:00Z.") from None


def _pairs(texts: list[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for text in texts or ():
        name, sign, value = text.rpartition("=")
        if not sign or not name:
            raise InvalidInput(f"{text!r} is no constraint: write COLUMN=VALUE.")
        pairs.append((name, value))
    return pairs


def _range(text: str) -> tuple[float, float]:
    ends = text.split("..")
    if len(ends) != _SPLITS:
        raise InvalidInput(f"{text!r} is no range: write LEAST..MOST.")
    return _number(ends[0]), _number(ends[1])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a number.") from None


def _read(path: Path) -> Asked:
    import msgspec

    from bailiwick.lifecycle.explaining.model import Asked

    try:
        return msgspec.json.decode(path.read_bytes(), type=Asked)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path}: {error}.") from error
