"""Monitors: windows, alarms, and what was promised about them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.monitoring.model import Alarm, AlarmStatus, MonitorSummary, Window
from bailiwick.server.api.route import Call, Nothing


class AlarmsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Alarms of one endpoint, in one state, or all."""

    endpoint: str | None = None
    status: AlarmStatus | None = None


class Alarms(Struct, frozen=True):
    """Alarms, newest first."""

    items: list[Alarm]


class Windows(Struct, frozen=True):
    """Windows of one endpoint."""

    items: list[Window]


class Acknowledge(Struct, frozen=True, forbid_unknown_fields=True):
    """A note is kept with the alarm."""

    note: Annotated[str, Meta(max_length=2000)] = ""


def monitor(call: Call[Nothing, Nothing]) -> MonitorSummary:
    """Everything about one endpoint's monitor: its rule, its windows, alarms raised against alarms promised.

    Raises NotFound for an unknown endpoint.
    """
    call.platform.endpoints.endpoint(call.workspace, call.path["endpoint"])
    return call.platform.monitors.summary(call.workspace, call.path["endpoint"])


def windows(call: Call[Nothing, Nothing]) -> Windows:
    """Windows of one endpoint. Raises NotFound for an unknown one."""
    call.platform.endpoints.endpoint(call.workspace, call.path["endpoint"])
    return Windows(call.platform.monitors.windows(call.workspace, call.path["endpoint"]))


def alarms(call: Call[AlarmsQuery, Nothing]) -> Alarms:
    """Alarms, filtered."""
    asked = call.query
    return Alarms(call.platform.monitors.alarms(call.workspace, endpoint=asked.endpoint, status=asked.status))


def acknowledge_alarm(call: Call[Nothing, Acknowledge]) -> Alarm:
    """Say that someone looks after it."""
    return call.platform.monitors.acknowledge(call.actor, call.path["alarm"], call.body.note)
