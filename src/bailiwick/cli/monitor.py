"""`bailiwick monitor`: windows, alarms, and whether alarms keep their promised rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.ids import full_id
from bailiwick.cli.output import JsonOption, answer, print_json, print_table, say, short, when, words
from bailiwick.cli.session import open_session

if TYPE_CHECKING:
    from bailiwick.core.actor import Actor
    from bailiwick.lifecycle.platform import Platform
    from bailiwick.monitoring.model import MonitorSummary, Window

app = typer.Typer(help="Monitors: windows and alarms.", no_args_is_help=True)

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
            each.message,
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
