"""Running a request as its endpoint's policy has it: variants that keep failing are left alone, and fallbacks answer for them.

What failed stays on record under the variant and epoch that it was assigned to, so that a rollout sees it; the fallback's
answer is on record beside it, under no epoch, with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from bailiwick.core.errors import Unavailable
from bailiwick.serving.admission import Admission
from bailiwick.serving.breaker import Breakers
from bailiwick.serving.execution import Execution, assigned, refusal
from bailiwick.serving.gathering import Elsewhere, SlowModels, run_portion
from bailiwick.serving.http.form import Taken
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.params import params_of
from bailiwick.serving.protocol import Refused
from bailiwick.serving.quotas import Quotas
from bailiwick.serving.router import CompiledEndpoint, Handling


class Guard:
    """One a worker; belongs to the thread that answers requests."""

    def __init__(self, metrics: Metrics, quotas: Quotas) -> None:
        self.breakers = Breakers()
        self.admission = Admission(metrics, quotas)
        self._metrics = metrics
        metrics.breakers = self.breakers.states

    def run_portion(self, portion: Sequence[Taken]) -> list[Execution]:
        """Of requests that can share a run, each one's own variant, or else a fallback. Raises Refused only for a request
        that is alone, and lacks an input.
        """
        compiled, now = portion[0].compiled, perf_counter_ns()
        stopped = [self.breakers.stopped(compiled, each.batch, each.request_id, now) for each in portion]
        ready = [taken for taken, stop in zip(portion, stopped, strict=True) if stop is None]
        ran = iter(self._tried(ready) if ready else [])
        done = []
        for taken, stop in zip(portion, stopped, strict=True):
            each = next(ran) if stop is None else stop
            done.append(self._fall_back(taken, each) if each.is_fault else each)
        return done

    async def run_apart(self, taken: Taken, slow: SlowModels, elsewhere: Elsewhere) -> Execution:
        """The same where models take long: one that takes longer than the policy allows is not waited for."""
        done = self.breakers.stopped(taken.compiled, taken.batch, taken.request_id, perf_counter_ns())
        if done is None:
            done = await self._tried_apart(taken, slow, elsewhere)
        if not done.is_fault:
            return done
        for fallback in self._fallbacks(taken):
            found = await self._tried_apart(taken.for_another(fallback), slow, elsewhere)
            if not found.error:
                return self._answered_by(fallback, taken, done, found)
        return done

    def _tried(self, portion: Sequence[Taken]) -> list[Execution]:
        began = perf_counter_ns()
        try:
            done = run_portion(portion, self._metrics)
        except Unavailable as error:
            done = [_cut_short(taken, error.message, status=503) for taken in portion]
        now = perf_counter_ns()
        for taken, each in zip(portion, done, strict=True):
            self._heard(taken.compiled, each, began, now)
        return done

    async def _tried_apart(self, taken: Taken, slow: SlowModels, elsewhere: Elsewhere) -> Execution:
        if taken.compiled.runs_inline(taken.batch.rows):
            return self._tried([taken])[0]
        handling, began = taken.compiled.handling, perf_counter_ns()
        limit = handling.policy.slow_ms / 1000 if handling is not None and handling.policy.slow_ms else None
        try:
            async with asyncio.timeout(limit):
                done = await slow.run(taken, elsewhere)
        except TimeoutError:
            done = _cut_short(taken, f"It took longer than {(limit or 0) * 1000:g} ms.", status=504)
        except Unavailable as error:
            done = _cut_short(taken, error.message, status=503)
        self._heard(taken.compiled, done, began, perf_counter_ns())
        return done

    def _heard(self, compiled: CompiledEndpoint, done: Execution, began: int, now: int) -> None:
        handling = compiled.handling
        limit = handling.policy.slow_ms * 1_000_000 if handling is not None else 0
        self.breakers.heard(compiled, done, slow=bool(limit) and now - began > limit, now=now)

    def _fall_back(self, taken: Taken, failed: Execution) -> Execution:
        for fallback in self._fallbacks(taken):
            found = self._tried([taken.for_another(fallback)])[0]
            if not found.error:
                return self._answered_by(fallback, taken, failed, found)
        return failed

    def _fallbacks(self, taken: Taken) -> Iterator[CompiledEndpoint]:
        """Those that this request can be given to: what it lacks, it need not have for the variant it was sent to."""
        handling = taken.compiled.handling
        for fallback in handling.fallbacks if handling is not None else ():
            if taken.batch.missing.isdisjoint(fallback.arms[0].input_names) and _takes_params(fallback, taken):
                yield fallback

    def _answered_by(self, fallback: CompiledEndpoint, taken: Taken, failed: Execution, found: Execution) -> Execution:
        variant = fallback.arms[0].variant.name
        self._metrics.fallbacks[taken.compiled.endpoint.name, variant] += 1
        blamed = taken.compiled.arms[failed.failed].variant.name
        found.why = f"{variant} answers for {blamed}: {failed.error}"
        taken.attempts = [(taken.compiled, failed)]
        taken.compiled = fallback
        return found


def _takes_params(fallback: CompiledEndpoint, taken: Taken) -> bool:
    """Whether it can be run with the same params as what it answers for."""
    try:
        params_of(fallback.arms[0].runtime.signature.params, taken.batch.params)
    except Refused:
        return False
    return True


def chosen_by_caller(
    compiled: CompiledEndpoint,
    handling: Handling,
    headers: Mapping[bytes, bytes],
    parameters: Mapping[str, Any] | None,
) -> CompiledEndpoint:
    """The variant that the request asks for by name, or the endpoint as it is. Raises Refused for one that is not there."""
    wanted: object = headers.get(handling.header, b"").decode("latin-1") if handling.header else ""
    parameter = handling.policy.override_parameter
    if not wanted and parameter and parameters:
        wanted = parameters.get(parameter, "")
    if not wanted:
        return compiled
    found = handling.choices.get(wanted) if isinstance(wanted, str) else None
    if found is None:
        known = ", ".join(sorted(handling.choices))
        raise Refused(400, f"Variant {str(wanted)[:100]!r} is not known here; the variants are: {known}.")
    return found


def _cut_short(taken: Taken, error: str, *, status: int) -> Execution:
    """Blamed on the variant of the first row: which of several it was, nobody can say."""
    rows = assigned(taken.compiled, taken.batch, taken.request_id)
    return refusal(rows, int(rows[0]), error, status=status)
