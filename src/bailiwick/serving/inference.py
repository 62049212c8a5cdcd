"""Inference, whatever protocol it is asked by: let in, bound, run by the endpoint's policy, put on record, counted."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns, time_ns

from msgspec import structs

from bailiwick.core.errors import LimitExceeded, Unavailable
from bailiwick.endpoints.model import NO_POLICY
from bailiwick.serving.admission import DEADLINE, Let, Priority, priority_of
from bailiwick.serving.execution import Execution, execute
from bailiwick.serving.frames import MIXED
from bailiwick.serving.gathering import Elsewhere, SlowModels
from bailiwick.serving.guard import Guard, chosen_by_caller
from bailiwick.serving.http import models
from bailiwick.serving.http.coding import decoded
from bailiwick.serving.http.form import Form, Reply, Taken
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.protocol import Refused
from bailiwick.serving.recorded import read_recorded
from bailiwick.serving.recorder import Recorder
from bailiwick.serving.router import NO_ROUTES, CompiledEndpoint, Handling, Routes
from bailiwick.serving.shadows import ShadowRuns
from bailiwick.serving.spool import SpoolWriter
from bailiwick.serving.witness import Seen, Witness

MOST_APART = 256
"""Requests that may be with slow models at a time; more are turned away, so that waiting never grows without end."""

MOST_COPIES = 1024
"""Requests that may be kept for shadows until somebody calls `settle`."""

DEFAULT_BODY_BYTES = 64 << 20
NO_LIMITS = Let(Priority.NORMAL, 0)
TOO_BUSY = 503
_FAULT = 500


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
    ) -> None:
        self.routes: Routes = NO_ROUTES
        self.draining = False
        self.apart = 0  # requests that are with slow models now
        self.failures: Mapping[str, str] = {}
        self.unloaded: frozenset[str] = frozenset()  # endpoints that a client has unloaded
        self._spool = spool
        self._metrics = metrics
        self._recorder = Recorder(spool, metrics)
        self._limit = max_body_bytes
        self._witness = witness
        self._slow = SlowModels(metrics)
        self._guard = Guard(metrics)
        self._shadows = ShadowRuns(metrics)
        self._copies: list[Taken] = []  # to be offered to shadows once their answers have left

    @property
    def unsettled(self) -> bool:
        """Whether `settle` has something to do."""
        return bool(self._copies) or self._shadows.pending

    @property
    def waiting(self) -> int:
        """Requests that wait for a slow model."""
        return self._slow.waiting

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

    def run(self, taken: Taken, headers: Mapping[bytes, bytes]) -> Reply | bytes:
        """What the form of `taken` answers; it is on record when this returns.

        Raises Refused, LimitExceeded, Unavailable, which `refused` then counts.
        """
        taken = self._let_in(taken, headers)
        return self._recorded(taken, self._executed(taken), headers)

    async def run_apart(self, taken: Taken, headers: Mapping[bytes, bytes], elsewhere: Elsewhere) -> Reply | bytes:
        """The same for an endpoint whose model may take long: only the model runs `elsewhere`."""
        self._require_place(taken.compiled, headers)
        self.apart += 1
        try:
            taken = self._let_in(taken, headers)
            return self._recorded(taken, await self._executed_apart(taken, elsewhere), headers)
        finally:
            self.apart -= 1

    def refused(
        self,
        compiled: CompiledEndpoint | None,
        error: Refused | LimitExceeded | Unavailable,
        headers: Mapping[bytes, bytes],
    ) -> Refused:
        """Count a request that could not be answered, and say so in one way."""
        found = error if isinstance(error, Refused) else Refused(TOO_BUSY, str(error))
        self._tell_of_refusal(compiled, error, found.status, headers)
        self._metrics.requests[compiled.endpoint.name if compiled else "", found.status] += 1
        return found

    def _let_in(self, taken: Taken, headers: Mapping[bytes, bytes]) -> Taken:
        """What was bound for the endpoint, as its policy has it. Raises Refused."""
        return self._steered(
            taken, taken.compiled.handling, headers, self._admitted(taken.compiled, headers, taken.began)
        )

    def _steered(self, taken: Taken, handling: Handling | None, headers: Mapping[bytes, bytes], let: Let) -> Taken:
        """To whom its caller asks for; with room for its record, and with what it was let in by. Raises Refused."""
        if handling is not None:
            chosen = chosen_by_caller(taken.compiled, handling, headers, taken.parameters)
            if chosen is not taken.compiled:
                taken = _rebound(taken, chosen)
        self._recorder.require_room(taken.compiled)
        taken.priority, taken.deadline, taken.handling = let.priority, let.deadline, taken.compiled.handling
        return taken

    def _require_place(self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes]) -> None:
        """Raises Refused (503) where too many wait for slow models, and none of them matters less."""
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

    def _take(
        self, form: Form, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes, began: int
    ) -> Taken:
        handling = compiled.handling
        let = NO_LIMITS if handling is None and DEADLINE not in headers else self._admitted(compiled, headers, began)
        if b"content-encoding" in headers:
            body = decoded(headers, body, limit=self._limit)
        if handling is not None:  # by a header it is known before the body is bound, by a parameter only then
            compiled = chosen_by_caller(compiled, handling, headers, None)
        return self._steered(form.take(compiled, headers, body, began), handling, headers, let)

    def _admitted(self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], began: int) -> Let:
        """Raises Refused: over quota, past the deadline."""
        policy = compiled.handling.policy if compiled.handling is not None else NO_POLICY
        return self._guard.admission.let_in(compiled.endpoint.name, policy, headers, began, perf_counter_ns())

    def _executed(self, taken: Taken) -> Execution:
        if taken.compiled.handling is None:
            return execute(taken.compiled, taken.batch, taken.request_id)
        return self._guard.run(taken)

    async def _executed_apart(self, taken: Taken, elsewhere: Elsewhere) -> Execution:
        if taken.compiled.handling is None:
            return await self._slow.run(taken, elsewhere)
        return await self._guard.run_apart(taken, self._slow, elsewhere)

    def _recorded(self, taken: Taken, done: Execution, headers: Mapping[bytes, bytes]) -> Reply | bytes:
        ran = perf_counter_ns()
        latency_us = (ran - taken.began) // 1000
        self._recorder.keep(taken, done, latency_us)
        return self._answered(taken, done, headers, ran, latency_us)

    def _answered(
        self, taken: Taken, done: Execution, headers: Mapping[bytes, bytes], ran: int, latency_us: int
    ) -> Reply | bytes:
        """What is on record, for the client. Raises Refused if the model failed."""
        if self._witness is not None:
            self._witness.see(_seen(taken, done, latency_us, headers))
        if taken.handling is not None and taken.handling.shadows:
            self._copy(taken)
        if done.error:
            failed = taken.compiled.arms[done.failed].variant
            self._metrics.tallies[taken.compiled.endpoint.name, failed.version].failed_one(ran - taken.began)
            raise _Recorded(done.status, done.error)
        reply = taken.form.answer(taken, done)
        self._count(taken, done, ran, latency_us)
        return reply

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
            metrics.tallies[name, variant.version].answered(rows, began, bound, ran, now)
            return
        for index, arm in enumerate(compiled.arms):
            part = done.variants.count(index)
            metrics.predictions[name, arm.variant.name] += part
            if part:  # each version's share of the time is that of the rows
                moments = [began + (moment - began) * part // rows for moment in (bound, ran, now)]
                metrics.tallies[name, arm.variant.version].answered(part, began, *moments)

    def _tell_of_refusal(
        self,
        compiled: CompiledEndpoint | None,
        error: Exception,
        status: int,
        headers: Mapping[bytes, bytes],
        began: int = 0,
        body_bytes: int = 0,
    ) -> None:
        """To who looks at each answer, and for the log where the endpoint's policy keeps what it refused."""
        if compiled is None or isinstance(error, _Recorded):
            return
        if compiled.endpoint.recording.refused and status < _FAULT:
            self._recorder.keep_refusal(compiled.endpoint.name, status, str(error), body_bytes)
        if self._witness is not None:
            took = (perf_counter_ns() - began) // 1000 if began else 0
            name = compiled.endpoint.name
            self._witness.see(Seen(status, time_ns(), took, headers, endpoint=name, error=str(error)))


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
