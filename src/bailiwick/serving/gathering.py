"""Requests that are run together: those of one turn of the event loop, and those that wait for a slow model.

Nobody waits for company. What is gathered is what had to wait anyway: bytes that arrived while other requests were
answered, and requests that came while every process of a model was busy. So a lone request is answered as fast as ever,
and the fuller the server, the larger its runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from time import perf_counter_ns
from typing import Any, NamedTuple

from bailiwick.serving.execution import Execution, execute, execute_together
from bailiwick.serving.http.form import Taken
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.protocol import Refused
from bailiwick.serving.router import CompiledEndpoint

MOST_TOGETHER = 64
"""Requests of one turn answered before the first of them is written: bounds what one waits for the others."""

Elsewhere = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Has something done where nothing else waits for it."""


def portions(taken: Sequence[Taken]) -> list[list[Taken]]:
    """What can share a run, in runs of at most the endpoint's `most_rows`; a request is never cut and never mixed with
    other versions.

    A request with more rows than that is a run of its own, and so is one that lacks inputs and one whose model looks at
    all rows at once. Who gives a model other params is never with it.
    """
    runs: list[list[Taken]] = []
    open_runs: dict[tuple[int, bytes], tuple[list[Taken], int]] = {}
    for each in taken:
        rows, key = each.batch.rows, (each.compiled.definition.reference, each.batch.params)
        if not each.compiled.most_rows or each.batch.missing:
            runs.append([each])
            continue
        run, held = open_runs.get(key, (None, 0))
        if run is None or held + rows > each.compiled.most_rows:
            run, held = [], 0
            runs.append(run)
        run.append(each)
        open_runs[key] = (run, held + rows)
    return runs


def run_portion(portion: Sequence[Taken], metrics: Metrics | None) -> list[Execution]:
    """Run what `portions` put together, and count the runs, where `metrics` says that they count.

    When the joint run fails, each is run alone. Raises Refused only for a request that is alone.
    """
    if len(portion) > 1:
        done = _at_once(portion)
        if done:
            if metrics is not None:
                name = portion[0].compiled.endpoint.name
                metrics.ran(name, len(portion), sum([taken.batch.rows for taken in portion]))
            return done
    return [_alone(taken, metrics) for taken in portion]


def _alone(taken: Taken, metrics: Metrics | None) -> Execution:
    if metrics is not None:
        metrics.ran(taken.compiled.endpoint.name, 1, taken.batch.rows)
    return execute(taken.compiled, taken.batch, taken.request_id)


def _at_once(taken: Sequence[Taken]) -> list[Execution]:
    """One run for all, or nothing when it fails."""
    return execute_together(taken[0].compiled, [each.batch for each in taken], [each.request_id for each in taken])


class _Waiting(NamedTuple):
    """Ordered by `priority`, then by arrival. `alone` after a joint run has failed."""

    priority: int
    arrival: int
    taken: Taken
    answer: asyncio.Future[Execution]
    alone: bool


class _Line:
    """Who waits for one endpoint's slow model, and how many runs are under way."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting] = []
        self.running = 0


class SlowModels:
    """Runs of models that may take long: what waits while every process is busy shares the next run.

    Belongs to one event loop. Memory is bounded by whoever lets requests in.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lines: dict[int, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrivals = count()

    @property
    def waiting(self) -> int:
        """Requests that no run has begun for. Any thread may ask."""
        return sum(len(line.waiting) for line in list(self._lines.values()))

    def waiting_for(self, compiled: CompiledEndpoint) -> int:
        """Those of one endpoint."""
        line = self._lines.get(compiled.definition.reference)
        return len(line.waiting) if line is not None else 0

    async def run(self, taken: Taken, elsewhere: Elsewhere) -> Execution:
        """What became of the request. Raises Refused when its `deadline` (`perf_counter_ns`, 0: none) passes first, or
        when it is turned out for one of more importance; and what running raises.
        """
        key = taken.compiled.definition.reference
        line = self._lines.setdefault(key, _Line())
        answer: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        heappush(line.waiting, _Waiting(taken.priority, next(self._arrivals), taken, answer, alone=False))
        self._begin(key, line, elsewhere)
        return await answer

    def turn_out(self, priority: int, compiled: CompiledEndpoint | None = None) -> bool:
        """Refuse the one that came last of those that wait with less importance than `priority`, for one endpoint or any;
        False if there is none.
        """
        key = compiled.definition.reference if compiled is not None else None
        lines = [line for reference, line in self._lines.items() if key in {None, reference}]
        less = [(each, line) for line in lines for each in line.waiting if each.priority > priority]
        if not less:
            return False
        last, line = max(less, key=lambda found: found[0][:2])
        line.waiting.remove(last)
        line.waiting.sort()  # a sorted list is a heap
        self._metrics.turned_away[last.taken.compiled.endpoint.name] += 1
        _fail(last, Refused(503, "The server is busy with requests of higher priority."))
        return True

    def _begin(self, key: int, line: _Line, elsewhere: Elsewhere) -> None:
        while line.waiting and line.running < line.waiting[0].taken.compiled.lanes:
            run = self._next_run(line)
            if run:
                line.running += 1
                task = asyncio.get_running_loop().create_task(self._one_run(key, line, run, elsewhere))
                self._tasks.add(task)  # the loop itself would let it be collected
                task.add_done_callback(self._tasks.discard)
        if not line.running and not line.waiting:
            self._lines.pop(key, None)

    def _next_run(self, line: _Line) -> list[_Waiting]:
        """Those that go first and fit into one run; who waited too long is refused instead."""
        now, rows = perf_counter_ns(), 0
        run: list[_Waiting] = []
        while line.waiting:
            first = line.waiting[0]
            if first.answer.done():
                heappop(line.waiting)
            elif first.taken.deadline and now >= first.taken.deadline:
                self._metrics.expired[first.taken.compiled.endpoint.name] += 1
                _fail(heappop(line.waiting), Refused(504, "The deadline passed before the model could run."))
            else:
                batch, most = first.taken.batch, first.taken.compiled.most_rows
                single = first.alone or not most or bool(batch.missing)
                if run and (single or rows + batch.rows > most or batch.params != run[0].taken.batch.params):
                    break
                run.append(heappop(line.waiting))
                rows += batch.rows
                first.taken.waited_after += now - first.taken.bound
                self._metrics.waited(first.taken.compiled.endpoint.name, (now - first.taken.bound) // 1000)
                if single:
                    break
        return run

    async def _one_run(self, key: int, line: _Line, run: list[_Waiting], elsewhere: Elsewhere) -> None:
        try:
            await self._answer(line, run, elsewhere)
        finally:
            line.running -= 1
            self._begin(key, line, elsewhere)

    async def _answer(self, line: _Line, run: list[_Waiting], elsewhere: Elsewhere) -> None:
        compiled = run[0].taken.compiled
        try:
            if len(run) == 1:
                only = run[0].taken
                done = [await elsewhere(lambda: execute(compiled, only.batch, only.request_id))]
            else:
                taken = [each.taken for each in run]
                done = await elsewhere(lambda: _at_once(taken))
        except Exception as error:  # noqa: BLE001 - whoever waits for the answer is told, and raises it
            for each in run:
                _fail(each, error)
            return
        if not done:
            for each in run:
                heappush(line.waiting, each._replace(alone=True))
            return
        self._metrics.ran(compiled.endpoint.name, len(run), sum([each.taken.batch.rows for each in run]))
        for each, execution in zip(run, done, strict=True):
            if not each.answer.done():
                each.answer.set_result(execution)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
