"""Inference, whatever protocol it is asked by: let in, bound, run by the endpoint's policy, put on record, counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, perf_counter_ns, time_ns
from typing import TypeVar, cast

from msgspec import structs

from bailiwick.core.errors import Unavailable
from bailiwick.endpoints.model import NO_POLICY
from bailiwick.serving.admission import DEADLINE, Let, Priority, priority_of
from bailiwick.serving.execution import Execution, execute
from bailiwick.serving.frames import MIXED
from bailiwick.serving.gathering import Elsewhere, SlowModels, portions, run_portion
from bailiwick.serving.guard import Guard, chosen_by_caller
from bailiwick.serving.http import models
from bailiwick.serving.http.coding import decoded
from bailiwick.serving.http.form import FORESEEN, Asked, Failure, Outcome, Reply, Taken
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.protocol import Refused
from bailiwick.serving.quotas import Quotas
from bailiwick.serving.recorded import read_recorded
from bailiwick.serving.recorder import Finished, Recorder, kept_of
from bailiwick.serving.router import NO_ROUTES, CompiledEndpoint, Routes, most_waiting
from bailiwick.serving.shadows import ShadowRuns
from bailiwick.serving.spool import SpoolWriter
from bailiwick.serving.turns import Turn
from bailiwick.serving.witness import Seen, Witness

MOST_APART = 256
"""Requests that may be with slow models at a time; more are turned away, so that waiting never grows without end."""

MOST_APART_BYTES = 256 << 20
"""Bytes of their bodies together, past the first."""

BESIDE = 2
"""Threads that read, run and answer big requests of models that are not slow in themselves."""

MOST_COPIES = 1024
"""Requests that may be kept for shadows until somebody calls `settle`."""

DEFAULT_BODY_BYTES = 64 << 20
TOO_BUSY = 503
_FAULT = 500

Done = TypeVar("Done")

_log = logging.getLogger(__name__)


class Inference:
    """Answers by the routes of the moment. `routes` may be replaced from any thread; a request uses one snapshot.

    `max_body_bytes` bounds bodies that are compressed; those that are not are bounded by who reads them. Belongs to the
    thread that answers, but for `routes`, `failures` and `forget`.
    """

    def __init__(
        self,
        spool: SpoolWriter,
        metrics: Metrics,
        witness: Witness | None = None,
        *,
        max_body_bytes: int = DEFAULT_BODY_BYTES,
        quotas: Quotas | None = None,
    ) -> None:
        self.routes: Routes = NO_ROUTES
        self.draining = False
        self.apart = 0  # requests that are with slow models now, or big
        self._apart_bytes = 0
        self._seats = asyncio.Semaphore(BESIDE)
        self.failures: Mapping[str, str] = {}
        self.loading: frozenset[str] = frozenset()  # endpoints with a version that is being loaded
        self.starting = False  # whether something is loading since the process began
        self.unloaded: frozenset[str] = frozenset()  # endpoints that a client has unloaded
        self._spool = spool
        self._metrics = metrics
        self._recorder = Recorder(spool, metrics)
        self._limit = max_body_bytes
        self._witness = witness
        self._slow = SlowModels(metrics)
        self._guard = Guard(metrics, quotas or Quotas())
        self._shadows = ShadowRuns(metrics)
        self._copies: list[Taken] = []  # to be offered to shadows once their answers have left
        self.turn = Turn(
            self._safely_together,
            surplus=self.surplus,
            least=lambda: self.routes.least_queue,
            weight=lambda asked: asked.weight,
            after=self.settle_if_needed,
        )

    @property
    def unsettled(self) -> bool:
        """Whether `settle` has something to do."""
        return bool(self._copies) or self._shadows.pending

    @property
    def waiting(self) -> int:
        """Requests that stand in line: for their turn of the event loop, or for a slow model. Any thread may ask."""
        return len(self.turn) + self._slow.waiting

    @property
    def in_flight(self) -> int:
        """Requests that have arrived and are not answered. Any thread may ask."""
        return len(self.turn) + self.apart

    def settle_if_needed(self) -> None:
        """To be called when an answer has left."""
        if self.unsettled:
            self.settle()

    def settle(self) -> None:
        """To be called when answers have left, and now and then: hands copies to shadows, and keeps what they answered."""
        copies, self._copies = self._copies, []
        for taken in copies:
            if taken.handling is not None:
                self._shadows.offer(taken, taken.handling)
        finished = self._shadows.finished()
        if finished and not self._recorder.keep_shadowed(finished):
            for taken, _, _ in finished:
                self._shadows.dropped(taken.compiled.endpoint.name)

    def close(self) -> None:
        """Keep what shadows have answered by now; they get nothing more."""
        self.settle()
        self._shadows.stop()
        self.settle()

    def forget(self, routes: Routes) -> None:
        """Let go of what is remembered of variants that are not in these routes. May be called from any thread."""
        self._guard.breakers.keep(routes.endpoints.values())

    def tick(self) -> None:
        """Called once a second, by the thread that answers."""
        self._spool.tick(monotonic())
        if self._witness is not None:
            self._witness.tick()

    def find(self, model: str, version: str = "") -> CompiledEndpoint:
        """What answers for an endpoint, or for one version of it. Raises Refused (404, 503)."""
        routes = self.routes
        if version:
            pinned = routes.pinned.get((model, version))
            return pinned if pinned is not None else self._pinned(routes, model, version)
        compiled = routes.endpoints.get(model)
        return compiled if compiled is not None else self._find(routes, model)

    def _find(self, routes: Routes, name: str) -> CompiledEndpoint:
        compiled = routes.endpoints.get(name)
        if compiled is not None:
            return compiled
        if name in self.loading:
            raise Refused(503, f"Endpoint {name!r} is being loaded; ask again in a moment.")
        if name in self.failures:
            raise Refused(503, f"Endpoint {name!r} has no version that could be loaded: {self.failures[name]}")
        if name in self.unloaded:
            raise Refused(503, f"Endpoint {name!r} is unloaded; /v2/repository/models/{name}/load loads it.")
        known = ", ".join(sorted(routes.endpoints)) or "none yet"
        # Triton's clients look for these first words.
        raise Refused(
            404, f"Request for unknown model: endpoint {name[:100]!r} does not exist. There are: {known[:1000]}."
        )

    def _pinned(self, routes: Routes, name: str, version: str) -> CompiledEndpoint:
        compiled = self._find(routes, name)
        pinned = routes.pinned.get((name, version))
        if pinned is None:
            known = ", ".join(models.versions_of(compiled))
            raise Refused(404, f"Endpoint {name!r} does not serve version {version[:50]!r}; it serves: {known}.")
        return pinned

    def run(self, asked: Asked) -> Outcome:
        """What a request comes to, here and now."""
        try:
            taken = self._take(asked)
            compiled = taken.compiled
            if compiled.handling is None:
                self._metrics.ran_alone(compiled.endpoint.name, taken.batch.rows)
                done = execute(compiled, taken.batch, taken.request_id)
            else:
                self._metrics.waited(compiled.endpoint.name, 0)
                done = self._guard.run_portion([taken])[0]
            return self._recorded(taken, done, asked.headers)
        except FORESEEN as error:
            return error

    async def run_apart(self, asked: Asked, elsewhere: Elsewhere) -> Outcome:
        """The same where the model may take long, or the request is big: what takes long is done `elsewhere`."""
        try:
            self._require_place(asked)
        except Refused as error:
            return error
        self.apart += 1
        self._apart_bytes += len(asked.body)
        try:
            if not asked.bulky:
                taken = self._take(asked)
                return self._recorded(taken, await self._executed_apart(taken, elsewhere), asked.headers)
            let = self._admitted(asked.compiled, asked.headers, asked.began)
            taken = self._let_in(await self.aside(lambda: self._prepared(asked), elsewhere), let)
            done = await self._executed_apart(taken, elsewhere)
            ran = perf_counter_ns()
            latency_us = (ran - taken.began) // 1000
            self._recorder.keep(taken, done, latency_us)
            self._notice(taken, done, asked.headers, ran, latency_us)
            reply = await self.aside(lambda: taken.form.answer(taken, done), elsewhere)
            self._count(taken, done, ran, latency_us)
        except FORESEEN as error:
            return error
        finally:
            self.apart -= 1
            self._apart_bytes -= len(asked.body)
        return reply

    async def aside(self, work: Callable[[], Done], elsewhere: Elsewhere) -> Done:
        """Have something done that would hold up everybody; little at a time, because Python's own lock is shared."""
        async with self._seats:
            return cast("Done", await elsewhere(work))

    def _prepared(self, asked: Asked) -> Taken:
        """Any thread may do this. Raises Refused."""
        taken = self._bound(asked)
        taken.kept = kept_of(taken)
        return taken

    def run_together(self, asked: Sequence[Asked]) -> list[Outcome]:
        """What each would come to alone, of whatever protocols they are, with as few runs and writes as can be."""
        began = perf_counter_ns()
        if len(asked) < asked[0].compiled.worth_gathering:
            return [self.run(each) for each in asked]
        outcomes: dict[int, Outcome] = {}
        taken: list[Taken] = []
        for place, each in enumerate(asked):
            try:
                found = self._take(each)
            except FORESEEN as error:
                outcomes[place] = error
            else:
                found.place, found.waited_before = place, began - each.began
                self._metrics.waited(found.compiled.endpoint.name, found.waited_before // 1000)
                taken.append(found)
        finished: list[tuple[Taken, Execution]] = []
        for portion in portions(taken):
            try:
                finished += zip(portion, self._executed(portion), strict=True)
            except FORESEEN as error:
                outcomes[portion[0].place] = error
        outcomes.update(self._finished_together(finished, asked))
        return [outcomes[place] for place in range(len(asked))]

    def surplus(self, asked: Sequence[Asked]) -> dict[int, Refused]:
        """Those that are too many of what waits for its turn: the least important, and of those the last."""
        waiting: dict[str, list[int]] = {}
        for place, each in enumerate(asked):
            waiting.setdefault(each.compiled.endpoint.name, []).append(place)
        refused = {}
        for name, places in waiting.items():
            last = asked[places[-1]].compiled
            most = most_waiting(last)
            if len(places) <= most:
                continue
            if last.handling is not None and last.handling.policy.priority_header:
                places.sort(key=lambda place: (_priority(asked[place]), place))
            said = f"More than {most} requests wait for endpoint {name!r}; no more are taken for now."
            for place in places[most:]:
                self._metrics.turned_away[name] += 1
                refused[place] = Refused(TOO_BUSY, said)
        return refused

    def _finished_together(
        self, finished: Sequence[tuple[Taken, Execution]], asked: Sequence[Asked]
    ) -> dict[int, Outcome]:
        ran = perf_counter_ns()
        timed: list[Finished] = [(taken, done, (ran - taken.began) // 1000) for taken, done in finished]
        outcomes: dict[int, Outcome] = {}
        for (taken, done, latency_us), kept in zip(timed, self._recorder.keep_together(timed), strict=True):
            try:
                if not kept:
                    raise Unavailable("The prediction could not be put on record, so it is not given.")
                outcomes[taken.place] = self._answered(taken, done, asked[taken.place].headers, ran, latency_us)
            except FORESEEN as error:
                outcomes[taken.place] = error
        return outcomes

    def run_safely(self, asked: Asked) -> Outcome:
        """The same as `run`, for one that nobody catches exceptions of."""
        return self._safely_together([asked])[0]

    def _safely_together(self, asked: Sequence[Asked]) -> list[Outcome]:
        try:
            return self.run_together(asked) if len(asked) > 1 else [self.run(asked[0])]
        except Exception:  # noqa: BLE001 - the edge of the process: no request may end without an answer
            _log.exception("a request failed in a way that was not foreseen")
            return [Refused(_FAULT, "The server failed; the failure is in its log.") for _ in asked]

    def refused(self, compiled: CompiledEndpoint | None, error: Failure, asked: Asked | None = None) -> Refused:
        """Count a request that could not be answered, and say so in one way."""
        found = error if isinstance(error, Refused) else Refused(TOO_BUSY, str(error))
        self._tell_of_refusal(compiled, error, found.status, asked)
        self._metrics.requests[compiled.endpoint.name if compiled else "", found.status] += 1
        return found

    def _take(self, asked: Asked) -> Taken:
        """What was asked, bound for whoever answers it. Raises Refused: over quota, past the deadline, or what is wrong."""
        compiled, headers, body, began, form = asked
        if compiled.handling is None and DEADLINE not in headers and b"content-encoding" not in headers:
            taken = form.take(compiled, headers, body, began)
            self._recorder.require_room(compiled)
            return taken
        let = self._admitted(compiled, headers, began)
        return self._let_in(self._bound(asked), let)

    def _let_in(self, taken: Taken, let: Let) -> Taken:
        self._recorder.require_room(taken.compiled)
        taken.priority, taken.deadline, taken.handling = let.priority, let.deadline, taken.compiled.handling
        return taken

    def _bound(self, asked: Asked) -> Taken:
        """Any thread may do this. Raises Refused."""
        compiled, headers, body, began, form = asked
        handling = compiled.handling
        if b"content-encoding" in headers:
            body = decoded(headers, body, limit=self._limit)
        if handling is None:
            return form.take(compiled, headers, body, began)
        # by a header it is known before the body is bound, by a parameter only then
        taken = form.take(chosen_by_caller(compiled, handling, headers, None), headers, body, began)
        chosen = chosen_by_caller(taken.compiled, handling, headers, taken.parameters)
        return taken if chosen is taken.compiled else _rebound(taken, chosen)

    def _require_place(self, asked: Asked) -> None:
        """Raises Refused (503) where too many wait for slow models, and none of them matters less."""
        compiled, headers = asked.compiled, asked.headers
        if self.apart and self._apart_bytes + len(asked.body) > MOST_APART_BYTES:
            self._metrics.turned_away[compiled.endpoint.name] += 1
            raise Refused(TOO_BUSY, "Big requests wait to be answered; no more are taken for now.")
        full = self._full(compiled)
        if full:
            priority = priority_of(compiled.handling.policy, headers) if compiled.handling else Priority.NORMAL
            among = compiled if self.apart < MOST_APART else None
            if not self._slow.turn_out(priority, among):
                self._metrics.turned_away[compiled.endpoint.name] += 1
                raise Refused(TOO_BUSY, full)

    def _full(self, compiled: CompiledEndpoint) -> str:
        """Why no more requests for slow models are taken now; empty when they are."""
        if self.apart >= MOST_APART:
            return f"{self.apart} requests wait for slow models; no more are taken for now."
        most = compiled.handling.policy.queue if compiled.handling is not None else 0
        if most and self._slow.waiting_for(compiled) >= most:
            return f"{most} requests wait for endpoint {compiled.endpoint.name!r}; no more are taken for now."
        return ""

    def _admitted(self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], began: int) -> Let:
        """Raises Refused: over quota, past the deadline."""
        policy = compiled.handling.policy if compiled.handling is not None else NO_POLICY
        return self._guard.admission.let_in(compiled.endpoint.name, policy, headers, began, perf_counter_ns())

    def _executed(self, portion: Sequence[Taken]) -> list[Execution]:
        """Raises Refused only for a request that is alone."""
        if portion[0].compiled.handling is None:
            return run_portion(portion, self._metrics)
        return self._guard.run_portion(portion)

    async def _executed_apart(self, taken: Taken, elsewhere: Elsewhere) -> Execution:
        compiled = taken.compiled
        if not compiled.apart:
            elsewhere = self._aside_of(elsewhere)
        if compiled.handling is not None:
            return await self._guard.run_apart(taken, self._slow, elsewhere)
        if not compiled.runs_inline(taken.batch.rows):
            return await self._slow.run(taken, elsewhere)
        self._metrics.waited(compiled.endpoint.name, 0)
        return self._executed([taken])[0]

    def _aside_of(self, elsewhere: Elsewhere) -> Elsewhere:
        return lambda work: self.aside(work, elsewhere)

    def _recorded(self, taken: Taken, done: Execution, headers: Mapping[bytes, bytes]) -> Reply | bytes:
        ran = perf_counter_ns()
        latency_us = (ran - taken.began) // 1000
        self._recorder.keep(taken, done, latency_us)
        return self._answered(taken, done, headers, ran, latency_us)

    def _answered(
        self, taken: Taken, done: Execution, headers: Mapping[bytes, bytes], ran: int, latency_us: int
    ) -> Reply | bytes:
        """What is on record, for the client. Raises Refused if the model failed."""
        if done.error or taken.handling is not None or self._witness is not None:
            self._notice(taken, done, headers, ran, latency_us)
        reply = taken.form.answer(taken, done)
        self._count(taken, done, ran, latency_us)
        return reply

    def _notice(self, taken: Taken, done: Execution, headers: Mapping[bytes, bytes], ran: int, latency_us: int) -> None:
        """Tell all who look at what was answered. Raises Refused if the model failed."""
        if self._witness is not None:
            self._witness.see(_seen(taken, done, latency_us, headers))
        if taken.handling is not None and taken.handling.shadows:
            self._copy(taken)
        if done.error:
            failed = taken.compiled.arms[done.failed].variant
            self._metrics.tallies[taken.compiled.endpoint.name, failed.version].failed_one(ran - taken.began)
            raise _Recorded(done.status, done.error)

    def _copy(self, taken: Taken) -> None:
        if len(self._copies) < MOST_COPIES:
            self._copies.append(taken)
        else:
            self._shadows.dropped(taken.compiled.endpoint.name)

    def _count(self, taken: Taken, done: Execution, ran: int, latency_us: int) -> None:
        compiled, rows = taken.compiled, taken.batch.rows
        name, metrics = compiled.endpoint.name, self._metrics
        metrics.answered(name, latency_us)
        began, bound, now = taken.began, taken.bound, perf_counter_ns()
        if done.variant != MIXED:
            variant = compiled.arms[done.variant].variant
            metrics.predictions[name, variant.name] += rows
            tally = metrics.tallies[name, variant.version]
            tally.answered(rows, began, bound, ran, now, taken.waited_before, taken.waited_after)
            return
        for index, arm in enumerate(compiled.arms):
            part = done.variants.count(index)
            metrics.predictions[name, arm.variant.name] += part
            if part:  # each version's share of the time is that of the rows
                bound_, ran_, now_ = (began + (moment - began) * part // rows for moment in (bound, ran, now))
                metrics.tallies[name, arm.variant.version].answered(part, began, bound_, ran_, now_)

    def _tell_of_refusal(
        self, compiled: CompiledEndpoint | None, error: Exception, status: int, asked: Asked | None
    ) -> None:
        """To who looks at each answer, and for the log where the endpoint's policy keeps what it refused."""
        if compiled is None or asked is None or isinstance(error, _Recorded):
            return
        name = compiled.endpoint.name
        if compiled.endpoint.recording.refused and status < _FAULT:
            self._recorder.keep_refusal(name, status, str(error), len(asked.body))
        if self._witness is not None:
            took = (perf_counter_ns() - asked.began) // 1000
            self._witness.see(Seen(status, time_ns(), took, asked.headers, endpoint=name, error=str(error)))


def _rebound(taken: Taken, chosen: CompiledEndpoint) -> Taken:
    """The same request, for the variant that its caller asked for by a parameter. Raises Refused."""
    return structs.replace(taken, compiled=chosen, batch=chosen.binder.bind(read_recorded(taken.body)))


class _Recorded(Refused):
    """A failure of the model, which the prediction log and the witnesses know already."""


def _seen(taken: Taken, done: Execution, latency_us: int, headers: Mapping[bytes, bytes]) -> Seen:
    index = done.failed if done.error else done.variant
    variant = None if index == MIXED else taken.compiled.arms[index].variant
    return Seen(
        status=done.status if done.error else 200,
        ended_ns=time_ns(),
        latency_us=latency_us,
        headers=headers,
        endpoint=taken.compiled.endpoint.name,
        variant=variant.name if variant else "",
        version=variant.version if variant else 0,
        id=taken.request_id,
        rows=taken.batch.rows,
        error=done.error,
    )


def _priority(asked: Asked) -> int:
    handling = asked.compiled.handling
    return Priority.NORMAL if handling is None else priority_of(handling.policy, asked.headers)
