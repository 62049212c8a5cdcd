"""The verbs of objectives: promising, hearing from workers, and raising alarms when an endpoint is down or breaks a promise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import json
from sqlalchemy import Connection, and_, case, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from bailiwick.core.actor import Actor, Permission
from bailiwick.endpoints.reporting import Counts, WorkerReport
from bailiwick.monitoring.model import SERVING, AlarmStatus, Kind
from bailiwick.monitoring.objectives.burn import LOOK_MS, MINUTES_OF_BUDGET, PAIRS, WINDOWS, Pair, burn, burning
from bailiwick.monitoring.objectives.model import Burn, Objectives, Standing, WorkerState
from bailiwick.monitoring.objectives.tables import LATENCY_COLUMNS, minutes, objectives, workers
from bailiwick.monitoring.raising import raise_once
from bailiwick.monitoring.tables import alarms
from bailiwick.store.records import Records

REPORT_SECONDS = 5.0
SILENT_MS = 15_000
"""A worker that has not been heard of for this long is taken to be gone: two reports may be lost."""

LEFT_MS = 60_000
"""So long an endpoint may be without workers that were asked to end: long enough for a restart."""

FORGET_WORKER_MS = 86_400_000
_MINUTE_MS = 60_000
_COUNTS = ("failed", *LATENCY_COLUMNS)


class ServingWatch:
    """What is known of the inference processes of every workspace. One instance judges, in the process on duty."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._looked: dict[str, int] = {}
        self._watching: dict[str, int] = {}

    # -- promises ------------------------------------------------------------------------------------------------------

    def promise(self, actor: Actor, endpoint: str, promised: Objectives) -> Objectives:
        """Set an endpoint's objectives; repeating it changes nothing."""
        actor.require(Permission.MONITORS_WRITE)
        if self.objectives(actor.workspace).get(endpoint) == promised:
            return promised
        with self._records.change(actor, Permission.MONITORS_WRITE) as change:
            mine = (objectives.c.workspace == change.workspace) & (objectives.c.endpoint == endpoint)
            encoded = json.encode(promised).decode()
            if not change.execute(update(objectives).where(mine).values(objectives=encoded)).rowcount:
                key = {"workspace": change.workspace, "endpoint": endpoint}
                change.execute(insert(objectives).values(**key, objectives=encoded))
            change.record("endpoint.objectives_set", f"endpoint/{endpoint}", objectives=json.decode(encoded))
        return promised

    def objectives(self, workspace: str) -> dict[str, Objectives]:
        """What was promised, by endpoint; of every other endpoint `Objectives()` is."""
        query = select(objectives.c.endpoint, objectives.c.objectives).where(objectives.c.workspace == workspace)
        with self._records.read() as connection:
            return {name: json.decode(text, type=Objectives) for name, text in connection.execute(query)}

    # -- reports -------------------------------------------------------------------------------------------------------

    def report(self, actor: Actor, report: WorkerReport) -> None:
        """Take a worker's report; one that comes twice counts once. It is telemetry, so the journal does not keep it."""
        actor.require(Permission.PREDICTIONS_WRITE)
        now = self._records.clock()
        mine = (workers.c.workspace == actor.workspace) & (workers.c.worker == report.worker)
        values = {"seen": now, "report": json.encode(report).decode()}
        with self._records.database.write() as connection:
            row = connection.execute(select(workers.c.report).where(mine).with_for_update()).first()
            before = json.decode(row.report, type=WorkerReport).counts if row else {}
            if row:
                connection.execute(update(workers).where(mine).values(**values))
            else:
                key = {"workspace": actor.workspace, "worker": report.worker}
                connection.execute(insert(workers).values(**key, **values))
            for endpoint, counts in sorted(report.counts.items()):
                new = counts.since(before.get(endpoint, Counts()))
                if new.requests:
                    _add(connection, actor.workspace, endpoint, now // _MINUTE_MS, new)

    def workers(self, workspace: str) -> list[WorkerState]:
        """Every worker heard of in the last day, by name."""
        query = select(workers).where(workers.c.workspace == workspace).order_by(workers.c.worker)
        with self._records.read() as connection:
            rows = connection.execute(query).all()
        return [WorkerState(row.worker, row.seen, json.decode(row.report, type=WorkerReport)) for row in rows]

    # -- judging -------------------------------------------------------------------------------------------------------

    def standings(self, workspace: str, endpoint: str) -> list[Standing]:
        """Every objective of an endpoint: burn rates, and what is left of the budget of 30 days."""
        promised = self.objectives(workspace).get(endpoint, Objectives())
        counts = self._windows(workspace, endpoint, (*WINDOWS, MINUTES_OF_BUDGET))
        whole = counts[MINUTES_OF_BUDGET]
        found = []
        for kind, budget, tally in _tallies(promised):
            bad, requests = tally(whole)
            left = None if not requests else 1 - bad / requests / budget
            burns = tuple(_burns(counts, budget, tally).values())
            found.append(Standing(endpoint, kind.value, 1 - budget, left, burns))
        return found

    def judge(self, actor: Actor, endpoints: Sequence[str]) -> list[str]:
        """Look at these endpoints, at most every 5 s: raise and end alarms, and say so in one sentence each."""
        actor.require(Permission.MONITORS_WRITE)
        now, workspace = self._records.clock(), actor.workspace
        before = self._looked.get(workspace, 0)
        if now - before < LOOK_MS:
            return []
        self._looked[workspace] = now
        if now - before > SILENT_MS:  # nobody looked for a while, perhaps because nothing ran: give workers their time
            self._watching[workspace] = now
            self._forget(now)
        known, promised = self.workers(workspace), self.objectives(workspace)
        said: list[str] = []
        for endpoint in endpoints:
            found = {Kind.SERVING_DOWN: self._why_down(workspace, endpoint, known, now)}
            found |= self._broken(workspace, endpoint, promised.get(endpoint, Objectives()))
            said += self._settle(actor, endpoint, found)
        return said

    def _why_down(self, workspace: str, endpoint: str, known: Iterable[WorkerState], now: int) -> str:
        heard = list(known)
        if not heard:
            return ""  # nobody has ever served here
        fresh = [state for state in heard if now - state.seen <= SILENT_MS and not state.report.leaving]
        if any(endpoint in state.report.endpoints for state in fresh):
            return ""
        failing = next((state for state in fresh if endpoint in state.report.failures), None)
        if failing:
            return f"No worker has a version of it: {failing.report.failures[endpoint][:500]}"
        if fresh:
            return ""  # they have not followed the route table yet
        last = max(heard, key=lambda state: state.seen)
        since = max(last.seen, self._watching[workspace])
        if now - since <= (LEFT_MS if last.report.leaving else SILENT_MS):
            return ""
        seconds = round((now - last.seen) / 1000)
        return (
            f"The last worker was stopped {seconds} s ago, and none has started since."
            if last.report.leaving
            else f"No worker has been heard of for {seconds} s: they or the control plane are down."
        )

    def _broken(self, workspace: str, endpoint: str, promised: Objectives) -> dict[Kind, str]:
        counts = self._windows(workspace, endpoint, WINDOWS)
        found = dict.fromkeys((Kind.AVAILABILITY, Kind.LATENCY), "")
        for kind, budget, tally in _tallies(promised):
            burns = _burns(counts, budget, tally)
            pair = burning(burns, budget)
            if pair:
                found[kind] = _told(kind, promised, pair, burns)
        return found

    def _settle(self, actor: Actor, endpoint: str, found: dict[Kind, str]) -> list[str]:
        opened = self._open(actor.workspace, endpoint)
        new = {kind: said for kind, said in found.items() if said and kind not in opened}
        over = {kind: alarm for kind, alarm in opened.items() if not found.get(kind)}
        if not new and not over:
            return []
        said = []
        with self._records.change(actor, Permission.MONITORS_WRITE) as change:
            for kind, message in new.items():
                text = f"Endpoint {endpoint}: {message}"
                if raise_once(change, endpoint, kind, message=text, evidence={"severity": "ERROR"}):
                    said.append(text)
            for kind, alarm_id in over.items():
                note = f"Endpoint {endpoint} does again what was promised ({kind.value.replace('_', ' ')})."
                values = {"status": AlarmStatus.RESOLVED.value, "closed": change.time, "closed_by": actor.name}
                mine = (alarms.c.workspace == change.workspace) & (alarms.c.id == alarm_id)
                change.execute(update(alarms).where(mine).values(**values, note=note))
                change.record("alarm.resolved", f"alarm/{alarm_id}", endpoint=endpoint, note=note)
                said.append(note)
        return said

    def _open(self, workspace: str, endpoint: str) -> dict[Kind, str]:
        kinds = [kind.value for kind in SERVING]
        query = select(alarms.c.kind, alarms.c.id).where(
            alarms.c.workspace == workspace,
            alarms.c.endpoint == endpoint,
            alarms.c.status == AlarmStatus.OPEN.value,
            alarms.c.kind.in_(kinds),
        )
        with self._records.read() as connection:
            return {Kind(kind): alarm_id for kind, alarm_id in connection.execute(query)}

    def _windows(self, workspace: str, endpoint: str, lengths: Sequence[int]) -> dict[int, Counts]:
        """Counts over the last minutes, the one under way included, by number of minutes."""
        now = self._records.clock() // _MINUTE_MS
        sums = [
            func.coalesce(func.sum(case((minutes.c.minute > now - length, minutes.c[name]), else_=0)), 0)
            for length in lengths
            for name in _COUNTS
        ]
        mine = and_(
            minutes.c.workspace == workspace, minutes.c.endpoint == endpoint, minutes.c.minute > now - max(lengths)
        )
        with self._records.read() as connection:
            flat = [int(value) for value in connection.execute(select(*sums).where(mine)).one()]
        size = len(_COUNTS)
        rows = (flat[start : start + size] for start in range(0, len(flat), size))
        return {length: Counts(row[0], tuple(row[1:])) for length, row in zip(lengths, rows, strict=True)}

    def _forget(self, now: int) -> None:
        with self._records.database.write() as connection:
            connection.execute(delete(workers).where(workers.c.seen < now - FORGET_WORKER_MS))
            oldest = now // _MINUTE_MS - MINUTES_OF_BUDGET - 1
            connection.execute(delete(minutes).where(minutes.c.minute < oldest))


def _add(connection: Connection, workspace: str, endpoint: str, minute: int, new: Counts) -> None:
    """Onto what other workers reported for the minute, whichever comes first."""
    made = (sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert)(minutes)
    values: dict[str, Any] = dict(zip(_COUNTS, (new.failed, *new.latency), strict=True))
    key = {"workspace": workspace, "endpoint": endpoint, "minute": minute}
    more = {name: minutes.c[name] + made.excluded[name] for name in _COUNTS}
    connection.execute(made.values(**key, **values).on_conflict_do_update(index_elements=[*key], set_=more))


def _tallies(promised: Objectives) -> list[tuple[Kind, float, Any]]:
    """Each objective: its kind of alarm, the share of requests that may be bad, and how many are, of how many."""
    found: list[tuple[Kind, float, Any]] = [
        (Kind.AVAILABILITY, 1 - promised.availability, lambda counts: (counts.failed, counts.requests))
    ]
    if promised.latency_us:
        bound = promised.latency_us
        found.append(
            (Kind.LATENCY, 1 - promised.latency_share, lambda counts: (counts.slower_than(bound), counts.answered))
        )
    return found


def _burns(counts: dict[int, Counts], budget: float, tally: Any) -> dict[int, Burn]:
    found = {}
    for minutes_, each in counts.items():
        bad, requests = tally(each)
        found[minutes_] = burn(minutes_, requests, bad, budget)
    return found


def _told(kind: Kind, promised: Objectives, pair: Pair, burns: dict[int, Burn]) -> str:
    long = burns[pair.long]
    if kind is Kind.AVAILABILITY:
        what, promise = "requests failed", f"{1 - promised.availability:.3%} may"
    else:
        what = f"answers took longer than {promised.latency_us / 1000:g} ms"
        promise = f"{1 - promised.latency_share:.3%} may"
    return (
        f"{long.bad} of {long.requests} {what} in {_length(pair.long)}, where {promise}: the budget of 30 days is being "
        f"used up {long.rate:.1f} times as fast as it lasts."
    )


def _length(minutes_: int) -> str:
    for size, word in ((1440, "days"), (60, "hours")):
        if minutes_ >= size and minutes_ % size == 0:
            return f"{minutes_ // size} {word}" if minutes_ > size else f"a {word[:-1]}".replace("a hour", "an hour")
    return f"{minutes_} minutes"


__all__ = ["PAIRS", "ServingWatch"]
