"""`bailiwick monitor`: windows, alarms, and whether alarms keep their promised rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.ids import full_id
from bailiwick.cli.output import JsonOption, answer, print_json, print_table, say, short, shortened, when, words
from bailiwick.cli.session import open_session

if TYPE_CHECKING:
    from bailiwick.core.actor import Actor
    from bailiwick.lifecycle.platform import Platform
    from bailiwick.monitoring.model import MonitorSummary, Window
    from bailiwick.monitoring.objectives.model import Objectives, Standing, WorkerState

app = typer.Typer(help="Monitors: windows, alarms, and promises about endpoints.", no_args_is_help=True)

AlarmArgument = Annotated[str, typer.Argument(help="Id of the alarm, or the end of it.")]


@app.command()
def status(
    endpoint: Annotated[str, typer.Argument(help="Name of the endpoint.")],
    limit: Annotated[int, typer.Option(min=1, help="Most windows to show, the newest.")] = 30,
    json: JsonOption = False,
) -> None:
    """Each window of an endpoint, and alarms raised against alarms promised."""
    with open_session() as (platform, actor):
        platform.endpoints.endpoint(actor.workspace, endpoint)
        found = platform.monitors.summary(actor.workspace, endpoint, limit=limit)
    if json:
        print_json(found)
        return
    columns = ["window from", "version", "predictions", "outcomes", "drifted", "AUC", "log loss", "verdict"]
    empty = "No window is complete yet." if found.config else f"Nobody watches endpoint {endpoint}."
    print_table(f"Windows of endpoint {endpoint}", columns, [_row(each) for each in found.windows], empty=empty)
    if found.windows:
        say(_promises(found))


@app.command()
def alarms(
    endpoint: Annotated[str | None, typer.Option(help="Only this endpoint.")] = None,
    status: Annotated[str | None, typer.Option(help="open, acknowledged or resolved.")] = None,
    json: JsonOption = False,
) -> None:
    """Alarms, newest first."""
    with open_session() as (platform, actor):
        wanted = None if status is None else status.upper()
        found = platform.monitors.alarms(actor.workspace, endpoint=endpoint, status=wanted)
    if json:
        print_json(found)
        return
    rows = [
        (
            short(each.id),
            each.endpoint or each.dataset,
            words(each.kind),
            words(each.status),
            when(each.raised),
            shortened(each.message),
        )
        for each in found
    ]
    columns = ["alarm", "about", "kind", "status", "raised (UTC)", "message"]
    print_table("Alarms", columns, rows, empty="No alarms.", below="message")


@app.command()
def ack(
    alarm: AlarmArgument,
    note: Annotated[str, typer.Option(help="What was found or done.")] = "",
    json: JsonOption = False,
) -> None:
    """Acknowledge an alarm: someone looks after it. The next of its kind is raised again."""
    with open_session() as (platform, actor):
        after = platform.monitors.acknowledge(actor, _alarm_id(platform, actor, alarm), note)
    answer(f"Alarm {short(after.id)} is {words(after.status)}.", after, as_json=json)


@app.command()
def resolve(
    alarm: AlarmArgument,
    note: Annotated[str, typer.Option(help="What was done.")] = "",
    json: JsonOption = False,
) -> None:
    """Say that what an alarm was about is over."""
    with open_session() as (platform, actor):
        after = platform.monitors.resolve(actor, _alarm_id(platform, actor, alarm), note)
    answer(f"Alarm {short(after.id)} is {words(after.status)}.", after, as_json=json)


@app.command()
def promise(
    endpoint: Annotated[str, typer.Argument(help="Name of the endpoint.")],
    availability: Annotated[
        float | None, typer.Option(help="Share of requests that do not fail, such as 0.999.")
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="Longest that an answer takes, such as 20ms or 1s; 0ms promises nothing.")
    ] = None,
    latency_share: Annotated[float | None, typer.Option(help="Share of answers that are not slower.")] = None,
    json: JsonOption = False,
) -> None:
    """Promise that an endpoint answers, and how fast. What is left out stays as it was."""
    from bailiwick.monitoring.objectives.model import Objectives

    with open_session() as (platform, actor):
        name = platform.endpoints.endpoint(actor.workspace, endpoint).name
        before = platform.serving_watch.objectives(actor.workspace).get(name, Objectives())
        wanted = Objectives(
            before.availability if availability is None else availability,
            before.latency_us if latency is None else _microseconds(latency),
            before.latency_share if latency_share is None else latency_share,
        )
        after = platform.serving_watch.promise(actor, name, wanted)
    answer(f"Of endpoint {endpoint} it is promised that {_promised(after)}.", after, as_json=json)


@app.command()
def serving(
    endpoint: Annotated[str | None, typer.Argument(help="Only this endpoint.")] = None,
    json: JsonOption = False,
) -> None:
    """Who serves, and how what was promised of each endpoint is kept."""
    from bailiwick.monitoring.objectives.service import SILENT_MS

    with open_session() as (platform, actor):
        workspace, watch = actor.workspace, platform.serving_watch
        known = [each.name for each in platform.endpoints.endpoints(workspace)]
        names = known if endpoint is None else [platform.endpoints.endpoint(workspace, endpoint).name]
        standings = [standing for name in names for standing in watch.standings(workspace, name)]
        workers = watch.workers(workspace)
        now = platform.records.clock()
    if json:
        print_json({"workers": workers, "standings": standings})
        return
    rows = [
        (each.worker, _heard(each, now, SILENT_MS), ", ".join(each.report.endpoints), _why_not(each))
        for each in workers
    ]
    columns = ["worker", "last heard of", "serves", "could not load"]
    print_table("Inference processes", columns, rows, empty="No inference process has reported yet.")
    columns = ["endpoint", "objective", "promised", "requests, 1 h", "budget used, 1 h", "6 h", "3 days", "budget left"]
    print_table("Promises", columns, [_standing_row(each) for each in standings], empty="There is no endpoint.")


def _microseconds(text: str) -> int:
    from bailiwick.core.errors import InvalidInput

    for unit, size in (("us", 1), ("ms", 1_000), ("s", 1_000_000)):
        number = text.strip().removesuffix(unit)
        if number != text.strip() and number.replace(".", "", 1).isdecimal():
            return round(float(number) * size)
    raise InvalidInput(f"{text!r} is not a length of time.", hint="Say 20ms, 0.5s or 200us.")


def _promised(found: Objectives) -> str:
    said = f"{found.availability:.6g} of its requests do not fail"
    if found.latency_us:
        said += f", and {found.latency_share:.6g} of its answers take at most {found.latency_us / 1000:g} ms"
    return said


def _heard(state: WorkerState, now: int, silent_ms: int) -> str:
    seconds = max(now - state.seen, 0) // 1000
    ago = f"{seconds} s ago" if seconds < 120 else f"{seconds // 60:,} min ago"
    if state.report.leaving:
        return f"{ago}, stopped"
    return ago if now - state.seen <= silent_ms else f"{ago}: silent"


def _why_not(state: WorkerState) -> str:
    return "; ".join(f"{name}: {why}" for name, why in state.report.failures.items())


def _standing_row(standing: Standing) -> tuple[object, ...]:
    burns = {each.window_minutes: each for each in standing.burns}
    rates = [f"{burns[minutes].rate:.2g} x" if burns[minutes].requests else "" for minutes in (60, 360, 4320)]
    left = "" if standing.budget_left is None else f"{standing.budget_left:.0%}"
    return (standing.endpoint, words(standing.objective), f"{standing.promised:.6g}", burns[60].requests, *rates, left)


def _alarm_id(platform: Platform, actor: Actor, given: str) -> str:
    return full_id("alarm", given, (each.id for each in platform.monitors.alarms(actor.workspace)))


def _row(window: Window) -> tuple[object, ...]:
    drifted = sum(each.drifted for each in window.drift)
    return (
        when(window.start)[:10] if window.start % 86_400_000 == 0 else when(window.start),
        window.version,
        window.predictions,
        window.outcomes,
        f"{drifted} of {len(window.drift)}" if window.drift else "",
        window.performance.get("auc"),
        window.performance.get("log_loss"),
        words(window.status),
    )


def _promises(found: MonitorSummary) -> str:
    """How many alarms the budget allowed without any change, beside how many there were."""
    kinds = [
        f"{words(kind)} {found.raised.get(kind, 0)} (without any change at most {promised:.2g} expected)"
        for kind, promised in found.promised.items()
    ]
    return f"Alarms in {found.judged} judged windows: {'; '.join(kinds)}."
