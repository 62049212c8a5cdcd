"""What was found when a snapshot arrived, and using it all the same."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.data.inspection import Inspection
from bailiwick.lifecycle.inspection import found_before
from bailiwick.monitoring.model import Alarm
from bailiwick.server.api.route import Call, Nothing


class InspectedSnapshot(Struct, frozen=True):
    """The last inspection (null where nobody has looked), the alarms about the snapshot, and whether it may be trained on."""

    inspection: Inspection | None
    alarms: list[Alarm]
    usable: bool


class AcceptSnapshot(Struct, frozen=True, forbid_unknown_fields=True):
    """Why the data may be used as it is; it is journalled."""

    reason: Annotated[str, Meta(min_length=1, max_length=2000)]


def inspection(call: Call[Nothing, Nothing]) -> InspectedSnapshot:
    """Checks, changes and alarms of a snapshot. Raises NotFound."""
    return _inspected(call, call.platform.data.snapshot(call.workspace, call.path["snapshot"]).id)


def accept_snapshot(call: Call[Nothing, AcceptSnapshot]) -> InspectedSnapshot:
    """Acknowledge the alarms that stand. Raises NotFound."""
    found = call.platform.data.snapshot(call.workspace, call.path["snapshot"])
    call.platform.data_alarms.accept(call.actor, found.dataset, found.id, call.body.reason)
    return _inspected(call, found.id)


def _inspected(call: Call[Nothing, Nothing] | Call[Nothing, AcceptSnapshot], snapshot: str) -> InspectedSnapshot:
    platform, workspace = call.platform, call.workspace
    return InspectedSnapshot(
        found_before(platform, workspace, snapshot),
        platform.data_alarms.about(workspace, snapshot),
        usable=not platform.data_alarms.standing(workspace, [snapshot]),
    )
