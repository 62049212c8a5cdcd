"""More of `bailiwick models`: versions that are made of rules, or of other versions."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli import models, versions
from bailiwick.cli.models import ModelArgument
from bailiwick.cli.output import JsonOption, answer, busy, print_json, say
from bailiwick.cli.progress import Doing
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.core.actor import Actor
    from bailiwick.lifecycle.assessing import Labelled
    from bailiwick.lifecycle.platform import Platform

app = versions.app
DataOption = Annotated[str, typer.Option("--data", help="Labelled rows to evaluate on: a source or a snapshot.")]
LabelOption = Annotated[str, typer.Option(help="Column of the label.")]
PositiveOption = Annotated[str, typer.Option(help="Value of the label that is the positive class.")]
GateOption = Annotated[list[str] | None, typer.Option("--gate", help="As in `evaluate.gates`; repeat for more.")]
SliceOption = Annotated[list[str] | None, typer.Option("--slice", help="Column to keep metrics by; repeat for more.")]
DescriptionOption = Annotated[str, typer.Option(help="What it is.")]


@app.command("register-rules")
def register_rules(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(help="A JSON Decision Model.")],
    inputs: Annotated[list[str] | None, typer.Option("--input", help="NAME=DATATYPE; repeat for more.")] = None,
    outputs: Annotated[list[str] | None, typer.Option("--output", help="NAME=DATATYPE; repeat for more.")] = None,
    default: Annotated[
        list[str] | None, typer.Option(help="OUTPUT=VALUE where no rule gives one; repeat for more.")
    ] = None,
    like: Annotated[str, typer.Option(help="MODEL@VERSION whose datatypes are taken over.")] = "",
    data: DataOption = "",
    label: LabelOption = "",
    positive: PositiveOption = "1",
    gate: GateOption = None,
    slices: SliceOption = None,
    description: DescriptionOption = "",
    json: JsonOption = False,
) -> None:
    """Register a decision graph of rules as a version. The same rules again change nothing."""
    from bailiwick.lifecycle.rules import register_rules as register
    from bailiwick.rules.signature import Declared

    content = read_file(file)
    declared = Declared(
        dict(_pair(each, "NAME=DATATYPE") for each in inputs or []),
        dict(_pair(each, "NAME=DATATYPE") for each in outputs or []),
        {name: plain(value) for name, value in (_pair(each, "OUTPUT=VALUE") for each in default or [])},
    )
    with open_session(create=True) as (platform, actor), busy("Checking the rules"):
        made = register(
            platform,
            actor,
            model,
            content,
            declared=declared,
            like=version_named(platform, actor, like) if like else None,
            labelled=labelled_of(platform, actor, data, label, positive, gate or [], slices or []),
            description=description,
        )
    taken, given = (models.columns_words(made.signature[side]) for side in ("inputs", "outputs"))
    told = f"{made.model} version {made.number} is registered: it takes {taken}, and gives {given}."
    answer(told, made, as_json=json)


@app.command()
def compose(
    file: Annotated[Path, typer.Argument(help="A declared composition: model, steps, combine.")],
    data: DataOption = "",
    label: LabelOption = "",
    positive: PositiveOption = "1",
    gate: GateOption = None,
    slices: SliceOption = None,
    description: DescriptionOption = "",
    json: JsonOption = False,
) -> None:
    """Register an ensemble or pipeline of registered versions as a version of its own."""
    from bailiwick.lifecycle.composing.story import compose as made_of
    from bailiwick.lifecycle.composing.story import read_file as declared

    wanted = declared(read_file(file))
    with open_session() as (platform, actor), Doing(quiet=json) as doing:
        labelled = labelled_of(platform, actor, data, label, positive, gate or [], slices or [])
        made = made_of(platform, actor, wanted, labelled=labelled, description=description, watch=doing.update)
    told = f"{made.model} version {made.number} is registered, for {models.runtime_words(made)}."
    answer(told, made, as_json=json)


@app.command()
def optimise(
    version: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or NAME@ALIAS; the newest when none is named.")],
    data: Annotated[str, typer.Option("--data", help="Labelled rows that nothing was learnt from.")],
    label: Annotated[str, typer.Option(help="Column of the label.")],
    positive: PositiveOption = "1",
    gate: GateOption = None,
    metric: Annotated[
        str, typer.Option(help="What a form may not be worse by; by the kind of answers if left out.")
    ] = "",
    margin: Annotated[float | None, typer.Option(help="How much worse by it is too much.")] = None,
    output: Annotated[str, typer.Option(help="Output that is judged, of several.")] = "",
    distil: Annotated[bool, typer.Option("--distil", help="Teach a small model what this one answers, too.")] = False,
    p99: Annotated[
        str, typer.Option(help="Time that 99 in 100 calls must keep, e.g. 10ms; the best setting that does is set.")
    ] = "",
    register: Annotated[str, typer.Option("--register", help="Form to register as the next version.")] = "",
    report: Annotated[Path | None, typer.Option(help="File of HTML to write, with a picture.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each measurement takes.")] = 0.25,
    json: JsonOption = False,
) -> None:
    """Measure smaller and faster forms of a version, and settings to serve it with. Registers only what is chosen."""
    from bailiwick.cli.optimising import print_optimised, write_report
    from bailiwick.lifecycle.optimising.deed import carry_out
    from bailiwick.lifecycle.optimising.story import Wanted

    wanted = Wanted(metric, margin, distil, _milliseconds(p99) if p99 else None, seconds, output, register)
    with open_session() as (platform, actor), Doing(quiet=json) as doing:
        name, number = version_named(platform, actor, version)
        labelled = labelled_of(platform, actor, data, label, positive, gate or [], [])
        assert labelled is not None
        told = carry_out(
            platform,
            actor,
            name,
            number,
            labelled,
            wanted,
            watch=lambda words, share: doing.update(f"{words} ({share:.0%})"),
        )
    if report is not None:
        write_report(report, told)
    if json:
        print_json(told)
    else:
        print_optimised(told)
        if told.registered is not None:
            say(f"{told.model} version {told.registered} is registered: {register}.")
    if wanted.p99_ms is not None and told.setting is None:
        sys.exit(1)


@app.command()
def optimised(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[int, typer.Argument(help="Number of the version.")],
    report: Annotated[Path | None, typer.Option(help="File of HTML to write, with a picture.")] = None,
    json: JsonOption = False,
) -> None:
    """Show what was last measured of other forms of a version, and of settings to serve it with."""
    from bailiwick.cli.optimising import print_optimised, write_report
    from bailiwick.lifecycle.optimising.kept import report_on

    with open_session() as (platform, actor):
        told = report_on(platform, platform.registry.version(actor.workspace, model, version))
    if report is not None:
        write_report(report, told)
    if json:
        print_json(told)
    else:
        print_optimised(told)


def _milliseconds(text: str) -> float:
    """`10ms`, `0.5s` or a number of milliseconds."""
    number, scale = (text[:-2], 1.0) if text.endswith("ms") else (text[:-1], 1e3) if text.endswith("s") else (text, 1.0)
    try:
        return float(number) * scale
    except ValueError:
        raise InvalidInput(f"--p99 {text!r} is no time.", hint="For example 10ms.") from None


def labelled_of(
    platform: Platform, actor: Actor, data: str, label: str, positive: str, gates: list[str], slices: list[str]
) -> Labelled | None:
    """What options say of labelled rows; None where there are none. Raises InvalidInput for half of it."""
    from bailiwick.core.clock import system_clock
    from bailiwick.lifecycle.assessing import Labelled
    from bailiwick.lifecycle.checking import held_snapshot, held_source, names_snapshot

    if not data and not label and not gates and not slices:
        return None
    if not data or not label:
        raise InvalidInput(
            "An evaluation needs both --data and --label.", hint="For example --data rows.csv --label late"
        )
    if names_snapshot(data, Path.cwd()):
        held = held_snapshot(platform.data, platform.data.find(actor.workspace, data))
    else:
        held = held_source(data, Path.cwd(), now=system_clock())
    return Labelled(held, label, plain(positive), tuple(gates), tuple(slices))


def version_named(platform: Platform, actor: Actor, word: str) -> tuple[str, int]:
    """`MODEL@VERSION`, or the newest where no version is named. Raises NotFound, InvalidInput."""
    name, at, number = word.rpartition("@") if "@" in word else (word, "", "")
    if at and not number.isdigit():
        return name, platform.registry.alias(actor.workspace, name, number).number
    return name, int(number) if at else platform.registry.versions(actor.workspace, name)[0].number


def read_file(path: Path) -> bytes:
    """Raises InvalidInput for what cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error


def plain(text: str) -> Any:
    """A number or truth as JSON has it; everything else is text."""
    try:
        found = jsonlib.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, int | float) else text


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput(f"{text!r} is not {form}.")
    return name, value
