"""Plays the year: asks and answers week by week, lets data arrive, and waits each time until the platform has settled.

Time stands still while the platform works, since a training run that takes seconds here happens within one day there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.demo.platform_client import PlatformClient, State
from bailiwick.demo.replay import KNOWN, Replay

WEEK_MS = 7 * MILLISECONDS_PER_DAY

Say = Callable[[str], None]
Tick = Callable[[int, int], None]


def moment(year: int, month: int, day: int = 1) -> int:
    """Midnight UTC in milliseconds."""
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Happening:
    """Something the demo saw happen; `time` is event time in milliseconds."""

    time: int
    kind: str
    text: str


@dataclass
class Year:
    """The rest of the year as it is played. `happenings` grows as the platform acts by itself."""

    flights: pa.Table
    replay: Replay
    platform: PlatformClient
    arrivals: Path
    say: Say
    happenings: list[Happening] = field(default_factory=list)
    _seen: dict[str, str] = field(default_factory=dict)
    _mark: object = None

    def play(self, start: int, end: int, *, tick: Tick, between: Callable[[int, State], bool]) -> None:
        """Play [start, end). `between` is called when all is settled and may act, as an operator would; it says
        whether it did.
        """
        now = start
        state = self.settle(now)
        while now < end:
            step = MILLISECONDS_PER_DAY if state.rolling_out else WEEK_MS
            until = min(now + step, end)
            self.replay.play(now, until)
            self._arrive(now, until)
            now = until
            state = self.settle(now)
            tick(now, self.replay.predictions)
            if between(now, state):
                state = self.platform.state()

    def settle(self, now: int) -> State:
        """Wait until everything sent was looked at and nothing more follows from it; approve what asks for it."""
        while True:
            self.platform.wait_for_pass()
            state = self.platform.state()
            if state.busy:
                self.platform.wait_while_training()
                continue
            self._note(now, state)
            for request in state.pending:
                self.platform.approve(request["id"], "gates, parity and card looked at")
                self._happened(now, "approval", f"ana approved version {request['number']}")
            before, self._mark = self._mark, state.mark
            if state.mark == before and not state.pending:
                return state

    def _arrive(self, start: int, end: int) -> None:
        """What the airline's systems deliver meanwhile: the flights that arrived in [start, end), as one more file."""
        deliver(self.flights, self.arrivals, start, end)

    def _note(self, now: int, state: State) -> None:
        for alarm in reversed(state.alarms):
            self._note_change(now, f"alarm {alarm['id']}", "raised", "alarm", alarm["message"])
        for run in reversed(state.runs):
            if run["trigger"] != "manual":
                text = f"retraining {run['status'].lower()}" + (f": {run['message']}" if run["message"] else "")
                self._note_change(now, f"run {run['id']}", run["status"], "run", text)
        for rollout in reversed(state.rollouts):
            text = _rollout_text(rollout)
            self._note_change(
                now, f"rollout {rollout['id']}", f"{rollout['status']} {rollout['step']}", "rollout", text
            )

    def _note_change(self, now: int, key: str, value: str, kind: str, text: str) -> None:
        if self._seen.get(key) != value:
            self._seen[key] = value
            self._happened(now, kind, text)

    def _happened(self, now: int, kind: str, text: str) -> None:
        self.happenings.append(Happening(now, kind, text))
        day = datetime.fromtimestamp(now / 1000, tz=UTC).strftime("%d %b")
        self.say(f"  {day}  {kind:<9} {text}")


def deliver(flights: pa.Table, folder: Path, start: int, end: int) -> int:
    """Write the flights whose outcome became known in [start, end) ms as one Parquet file; returns how many."""
    rows = flights.filter(pc.and_(pc.greater_equal(flights[KNOWN], start), pc.less(flights[KNOWN], end)))
    if rows.num_rows:
        folder.mkdir(parents=True, exist_ok=True)
        name = datetime.fromtimestamp(start / 1000, tz=UTC).strftime("flights-%Y-%m-%d.parquet")
        pq.write_table(rows, folder / name)
    return int(rows.num_rows)


def _rollout_text(rollout: dict[str, Any]) -> str:
    version = rollout["candidate"]["version"]
    ended = {"PROMOTED": "was promoted", "ROLLED_BACK": "was rolled back by itself", "ABORTED": "was aborted"}
    if rollout["status"] in ended:
        return f"version {version} {ended[rollout['status']]}: {rollout['reason']}"
    ramp = rollout["config"]["ramp"]
    share = ramp[min(rollout["step"], len(ramp) - 1)]
    return f"version {version} takes {share:g} % of the traffic"
