"""`bailiwick rollout`: canaries under way, their evidence, and what a rule would do before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli.ids import full_id
from bailiwick.cli.output import (
    JsonOption,
    answer,
    busy,
    print_fields,
    print_json,
    print_table,
    say,
    short,
    when,
    words,
)
from bailiwick.cli.session import open_session
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    from bailiwick.core.actor import Actor
    from bailiwick.lifecycle.platform import Platform
    from bailiwick.rollout.canary import CanaryConfig
    from bailiwick.rollout.model import Rollout

app = typer.Typer(help="Rollouts: canaries, their evidence and decisions.", no_args_is_help=True)

RolloutArgument = Annotated[str, typer.Argument(help="Id of the rollout, or the end of it.")]


@app.command("list")
def list_rollouts(
    endpoint: Annotated[str | None, typer.Option(help="Only this endpoint.")] = None, json: JsonOption = False
) -> None:
    """Every rollout, newest first."""
    with open_session() as (platform, actor):
        found = platform.rollouts.rollouts(actor.workspace, endpoint=endpoint)
    if json:
        print_json(found)
        return
    rows = [
        (
            short(each.id),
            each.endpoint,
            f"{each.candidate.model} {each.candidate.version}",
            words(each.status),
            f"{each.weight / 100:g} %",
            when(each.started),
            when(each.ended),
        )
        for each in found
    ]
    columns = ["rollout", "endpoint", "candidate", "status", "share", "started", "ended"]
    print_table("Rollouts", columns, rows, empty="No rollouts yet.")


@app.command()
def start(
    endpoint: Annotated[str, typer.Argument(help="Name of the endpoint.")],
    model: Annotated[str, typer.Option(help="Model of the candidate.")],
    version: Annotated[int, typer.Option(help="Version of the candidate.")],
    ramp: Annotated[str, typer.Option(help="Shares of traffic, in per cent.")] = "",
    rollback_alpha: Annotated[float | None, typer.Option(help="At most this often is a good one rolled back.")] = None,
    promote_beta: Annotated[float | None, typer.Option(help="At most this often is a bad one promoted.")] = None,
    margin: Annotated[float | None, typer.Option(help="How many times worse counts as bad.")] = None,
    min_units: Annotated[int | None, typer.Option(help="Judged units that each step needs.")] = None,
    json: JsonOption = False,
) -> None:
    """Start a canary: a registered version beside the one that serves."""
    config = _config(ramp, rollback_alpha, promote_beta, margin, min_units)
    from bailiwick.lifecycle.releasable import releasable

    with open_session() as (platform, actor):
        chosen = releasable(platform, actor, model, version)
        begun = platform.rollouts.start(
            actor, endpoint, model=model, version=version, package=chosen.package, config=config
        )
    share = f"{begun.weight / 100:g} %"
    answer(f"Rollout {short(begun.id)}: {model} version {version} has {share} of {endpoint}.", begun, as_json=json)


@app.command()
def status(rollout: RolloutArgument, json: JsonOption = False) -> None:
    """One rollout: where it stands, and each decision with its evidence."""
    with open_session() as (platform, actor):
        found = platform.rollouts.rollout(actor.workspace, _rollout_id(platform, actor, rollout))
    if json:
        print_json(found)
        return
    print_fields(f"Rollout {found.id}: {words(found.status)}", _standing(found))
    rows = [
        (when(each.time), each.action, f"{each.share * 100:g} %", "\n".join([each.reason, *evidence(each.evidence)]))
        for each in found.decisions
    ]
    print_table("Decisions", ["time (UTC)", "decision", "share", "why"], rows, empty="No decision yet.", below="why")


@app.command()
def decide(
    rollout: RolloutArgument,
    act: Annotated[bool, typer.Option("--act", help="Do it, as the worker would.")] = False,
    json: JsonOption = False,
) -> None:
    """What the rule says to the evidence of this moment. Nothing is done without --act."""
    with open_session() as (platform, actor):
        found = _rollout_id(platform, actor, rollout)
        if act:
            after = platform.rollouts.advance(actor, found)
            sentence = (
                f"Rollout {short(after.id)} is {words(after.status)} with {after.weight / 100:g} % of the traffic."
            )
            answer(sentence, after, as_json=json)
            return
        verdict = platform.rollouts.judge(actor.workspace, found)
    if json:
        print_json(verdict)
        return
    from bailiwick.rollout.model import evidence_of

    say(f"{verdict.action}: {verdict.reason}")
    for line in evidence(evidence_of(verdict)):
        say(f"  {line}")


@app.command()
def abort(
    rollout: RolloutArgument,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")],
    json: JsonOption = False,
) -> None:
    """Stop a rollout. All traffic goes back to the version that served before."""
    with open_session() as (platform, actor):
        after = platform.rollouts.abort(actor, _rollout_id(platform, actor, rollout), reason)
    before = f"{after.control.model} version {after.control.version}"
    answer(f"Aborted: all traffic of {after.endpoint} is back with {before}.", after, as_json=json)


@app.command()
def simulate(
    base_rate: Annotated[float, typer.Option(help="Bad-event rate of the version in service.")] = 0.2,
    ratio: Annotated[
        list[float] | None, typer.Option(help="True rate ratio of the candidate; repeat for more.")
    ] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="Simulated rollouts for each ratio.")] = 200,
    json: JsonOption = False,
) -> None:
    """What the default canary rule would do. Its promised error rates beside those that happened."""
    from bailiwick.rollout.canary import CanaryConfig
    from bailiwick.rollout.simulation import simulate as run_simulation

    config = CanaryConfig()
    ratios = ratio or [0.8, 1.0, config.margin, 2.0]
    with busy(f"Simulating {len(ratios) * repetitions} rollouts"):
        found = {
            each: run_simulation(config, base_rate=base_rate, ratio=each, repetitions=repetitions) for each in ratios
        }
    if json:
        print_json([{"ratio": each, "simulation": simulation} for each, simulation in found.items()])
        return
    rows = [
        (each, f"{simulation.rollback_rate:.1%}", f"{simulation.promote_rate:.1%}", simulation.median_units)
        for each, simulation in found.items()
    ]
    columns = ["times as bad", "rolled back", "promoted", "units, median"]
    print_table(f"{repetitions} simulated rollouts each", columns, rows, empty="")
    say(f"Promised: rolled back at most {config.rollback_alpha:.0%} when no worse (1 or less),")
    say(f"promoted at most {config.promote_beta:.0%} when {config.margin:g} times as bad or worse.")


def evidence(readings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line a metric: the counts, their ratio, and how far the evidence has come towards each decision."""
    lines = []
    for metric, reading in readings.items():
        candidate = f"{reading['candidate_bad']:,} of {reading['candidate_units']:,}"
        control = f"{reading['control_bad']:,} of {reading['control_units']:,}"
        ratio = f", {reading['ratio']:.2f} times the rate" if reading["ratio"] is not None else ""
        lines.append(
            f"{metric}: candidate {candidate}, control {control}{ratio};"
            f" evidence of harm {_value(reading['worse'])} (rolls back at {_value(reading['worse_needed'])}),"
            f" of safety {_value(reading['acceptable'])} (promotes at {_value(reading['acceptable_needed'])})"
        )
    return lines


def _value(evidence: float) -> str:
    """An e-value: exact digits mean nothing far below 1 or beyond a million."""
    if evidence < 0.01:
        return "under 0.01"
    return f"{evidence:.1e}" if evidence >= 1e6 else f"{evidence:,.0f}" if evidence >= 10 else f"{evidence:.2f}"


def _standing(found: Rollout) -> dict[str, object]:
    return {
        "endpoint": found.endpoint,
        "candidate": f"{found.candidate.model} version {found.candidate.version}, {found.weight / 100:g} % of the traffic",
        "control": f"{found.control.model} version {found.control.version}",
        "started": f"{when(found.started)} UTC",
        "ended": f"{when(found.ended)} UTC" if found.ended is not None else "",
        "why": found.reason,
    }


def _rollout_id(platform: Platform, actor: Actor, given: str) -> str:
    return full_id("rollout", given, (each.id for each in platform.rollouts.rollouts(actor.workspace)))


def _config(
    ramp: str, rollback_alpha: float | None, promote_beta: float | None, margin: float | None, min_units: int | None
) -> CanaryConfig:
    from bailiwick.rollout.canary import CanaryConfig

    try:
        steps = tuple(float(share) for share in ramp.split(",")) if ramp else None
    except ValueError:
        raise InvalidInput(f"--ramp {ramp!r} is not a list of per cents.", hint="For example 5,25,50.") from None
    given: dict[str, Any] = {
        "ramp": steps,
        "rollback_alpha": rollback_alpha,
        "promote_beta": promote_beta,
        "margin": margin,
        "min_units_per_step": min_units,
    }
    return CanaryConfig(**{name: value for name, value in given.items() if value is not None})
