"""`bailiwick data inspect` and `accept`: what was found when a snapshot arrived, and using it all the same."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.cli.output import JsonOption, answer, busy, print_json, print_table, say, short, shortened, words
from bailiwick.cli.session import open_session
from bailiwick.cli.sources import SnapshotArgument

if TYPE_CHECKING:
    from bailiwick.data.inspection import Verdict
    from bailiwick.lifecycle.platform import Platform
    from bailiwick.monitoring.model import Alarm


def inspect(snapshot: SnapshotArgument, json: JsonOption = False) -> None:
    """Checks and sudden changes of a snapshot. Exit 1 while an alarm keeps it from training."""
    from bailiwick.lifecycle.inspection import inspect as look

    with open_session() as (platform, actor):
        found = platform.data.find(actor.workspace, snapshot)
        with busy(f"Inspecting snapshot {short(found.id)}"):
            inspection = look(platform, actor.workspace, found)
        alarms = platform.data_alarms.about(actor.workspace, found.id)
        stands = bool(platform.data_alarms.standing(actor.workspace, [found.id]))
    if json:
        print_json({"inspection": inspection, "alarms": alarms, "usable": not stands})
    else:
        columns = ["verdict", "what", "said"]
        rows = [(_verdict(each), each.name, _said(each)) for each in inspection.verdicts]
        title = f"Snapshot {short(found.id)} of {found.dataset}"
        nothing = f"{title}: the first of its dataset, and its project declares no checks."
        print_table(title, columns, rows, empty=nothing, below="said")
        if inspection.skipped:
            say(f"Not compared: {', '.join(inspection.skipped)}.")
        for alarm in alarms:
            say(_alarm_line(alarm))
    if stands:
        sys.exit(1)


def accept(
    snapshot: SnapshotArgument,
    reason: Annotated[str, typer.Option(help="What was found out; it is journalled.")],
    json: JsonOption = False,
) -> None:
    """Let a snapshot be trained on although alarms about it stand: they are acknowledged with the reason."""
    with open_session() as (platform, actor):
        found = platform.data.find(actor.workspace, snapshot)
        accepted = platform.data_alarms.accept(actor, found.dataset, found.id, reason)
    kinds = ", ".join(words(alarm.kind) for alarm in accepted)
    count = "1 alarm is" if len(accepted) == 1 else f"{len(accepted)} alarms are"
    said = f"{count} acknowledged: {kinds}" if accepted else "no alarm about it was open"
    answer(f"Snapshot {short(found.id)} of {found.dataset} may be used; {said}.", accepted, as_json=json)


def tell_alarms(platform: Platform, workspace: str, snapshot_id: str) -> bool:
    """Say on standard error which open alarms are about a snapshot; whether one keeps it from training."""
    opened = [alarm for alarm in platform.data_alarms.about(workspace, snapshot_id) if alarm.status == "OPEN"]
    for alarm in opened:
        say(_alarm_line(alarm), err=True)
    return any(alarm.severity == "ERROR" for alarm in opened)


def _alarm_line(alarm: Alarm) -> str:
    status = "" if alarm.status == "OPEN" else f" ({words(alarm.status)}: {alarm.note})"
    return f"{alarm.severity.capitalize()} {words(alarm.kind)}{status}: {shortened(alarm.message)}"


def _verdict(each: Verdict) -> str:
    return "not judged" if each.passed is None else "passed" if each.passed else each.severity.lower()


def _said(each: Verdict) -> str:
    return shortened(" ".join(filter(None, (each.message, each.fix))))
