"""How fast a form answers, beside the version; which settings nothing else beats, and which is shown to keep an objective.

A shared machine is noisy, and its noise comes in bursts and only ever makes things slower. So nothing is said by one stretch
of time: form and version take turns, `ROUNDS` times, and what is said of a form is the median over rounds. Whether it is
faster is said by the interval between the third smallest and the third greatest ratio of a round, which needs no assumption
but that rounds are alike, and stands two rounds in which something else got in the way on either side: all of it is below
the true median ratio with a chance of at most P(Binomial(16, 1/2) <= 2) = 0.2 %, so of nine forms one that is no faster is
called faster with a chance of at most 2 %.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bailiwick.core.serving_setting import MOST_ROWS
from bailiwick.lifecycle.optimising.judging import ERROR, seldom_beyond
from bailiwick.lifecycle.optimising.model import Kept, Setting, Speed
from bailiwick.lifecycle.optimising.rows import fed
from bailiwick.serving.runtime import OnnxRuntime, threads_here
from bailiwick.serving.runtimes.residency import SESSION_BYTES, TIMES_ITS_FILE

BATCHES = (1, 8, 64, 256)
WORKERS = (1, 2, 4, 8)
THREADS = (1, 2, 4, 8)
MOST_THREADS = 8
SECONDS = 0.25
ROUNDS = 16
LEFT_OUT = 2
"""Of the ratios of rounds, on either side."""
PASSES = 3
CONFIRMED = 3
"""Settings that are tried for an objective, one after the other, each on calls of its own."""
CONFIRMING_CALLS = 2_000
_CONFIRMING_TIMES = 20
_LEAST_CALLS = 5

Columns = Mapping[str, NDArray[Any]]


def runtime_of(package: bytes, threads: int = 1) -> OnnxRuntime:
    """As serving loads it. Raises InvalidInput, ModelFailed."""
    with tempfile.TemporaryDirectory(prefix="bailiwick-optimise-") as folder:
        path = Path(folder) / "package.onnx"
        path.write_bytes(package)
        runtime = OnnxRuntime(path, threads)
    runtime.warm_up()
    return runtime


def speed_of(
    runtime: OnnxRuntime, columns: Columns, *, beside: OnnxRuntime | None = None, seconds: float = SECONDS
) -> Speed:
    """Measured for `seconds` with each size of batch; one row in turns with the version, where that is given."""
    part = seconds / ROUNDS
    one, other = fed(runtime, columns, 1), fed(beside or runtime, columns, 1)
    mine: list[NDArray[np.float64]] = []
    ratios: list[float] = []
    for turn in range(ROUNDS):
        if beside is None:
            mine.append(_times(runtime, one, part))
            continue
        pair = [(runtime, one), (beside, other)]
        found = [_times(*each, part) for each in (pair if turn % 2 else pair[::-1])]
        own, version = found if turn % 2 else found[::-1]
        mine.append(own)
        ratios.append(float(np.median(own)) / float(np.median(version)))
    p50, p99 = (float(np.median([np.quantile(each, q) for each in mine])) * 1e6 for q in (0.5, 0.99))
    rates = {batch: _rate(runtime, fed(runtime, columns, batch), batch, seconds) for batch in BATCHES[1:]}
    speed = Speed(p50, p99, {1: 1e6 / p50, **rates})
    if not ratios:
        return speed
    ordered = sorted(ratios)
    low, high = ordered[LEFT_OUT], ordered[-1 - LEFT_OUT]
    return replace(speed, ratio=float(np.median(ratios)), ratio_low=low, ratio_high=high)


def combinations(package_bytes: int, cores: int | None = None, free_bytes: int | None = None) -> list[tuple[int, int]]:
    """(workers, threads) that are worth trying here: of no more threads in all than cores, or than 8, and in half of the
    memory that is free.
    """
    there = cores or threads_here(1 << 20)
    room = _free_bytes() if free_bytes is None else free_bytes
    each = SESSION_BYTES + TIMES_ITS_FILE * package_bytes
    return [
        (workers, threads)
        for threads in THREADS
        for workers in WORKERS
        if threads <= there
        and workers * threads <= max(there, MOST_THREADS)
        and (workers == 1 or workers * each <= room / 2)
    ]


def sweep(
    package: bytes, columns: Columns, *, seconds: float = SECONDS, watch: Callable[[float], None] = lambda _: None
) -> list[Setting]:
    """Every number of workers and threads with every batch, in passes over all of them; the median of the passes counts.

    Those are best that none beats in both time and rows a second.
    """
    tried = combinations(len(package))
    found: dict[tuple[int, int, int], list[tuple[float, float]]] = {}
    done, whole = 0, len(tried) * PASSES
    for _ in range(PASSES):
        for workers, threads in tried:
            runtimes = [runtime_of(package, threads) for _ in range(workers)]
            for batch in BATCHES:
                times, took = _together(runtimes, fed(runtimes[0], columns, batch), seconds / PASSES)
                measured = float(np.quantile(times, 0.99)) * 1e3, batch * len(times) / took
                found.setdefault((workers, threads, batch), []).append(measured)
            done += 1
            watch(done / whole)
    return front(
        [
            Setting(
                workers,
                batch,
                float(np.median([p99 for p99, _ in each])),
                float(np.median([rate for _, rate in each])),
                threads=threads,
            )
            for (workers, threads, batch), each in found.items()
        ]
    )


def front(settings: Sequence[Setting]) -> list[Setting]:
    """The same, those marked that no other beats (Pareto)."""
    return [
        replace(
            one,
            best=not any(
                other.p99_ms <= one.p99_ms
                and other.rows_per_second >= one.rows_per_second
                and (other.p99_ms, other.rows_per_second) != (one.p99_ms, one.rows_per_second)
                for other in settings
            ),
        )
        for one in settings
    ]


def promising(settings: Sequence[Setting], p99_ms: float) -> list[Setting]:
    """Those to be tried for an objective: within it when they were swept, of most rows a second first."""
    within = [each for each in settings if each.p99_ms <= p99_ms]
    return sorted(within, key=lambda each: -each.rows_per_second)[:CONFIRMED]


def confirm(
    package: bytes, columns: Columns, settings: Sequence[Setting], p99_ms: float, *, seconds: float
) -> list[Kept]:
    """Each on fresh calls until one is shown to keep the objective: that fewer than 1 in 100 take longer.

    What was swept chose them, so it is no evidence any more. The chance that one is shown that does not keep it is at most
    `ERROR`, all that may be tried counted in (calls taken as independent). Those of small calls count the calls of all.
    """
    found: list[Kept] = []
    for setting in settings:
        runtimes = [runtime_of(package, setting.threads) for _ in range(setting.workers)]
        feed = fed(runtimes[0], columns, setting.batch)
        times: NDArray[np.float64] = np.empty(0)
        end = time.perf_counter() + seconds * _CONFIRMING_TIMES
        while len(times) < CONFIRMING_CALLS and time.perf_counter() < end:
            times = np.concatenate([times, _together(runtimes, feed, min(seconds, 0.1))[0]])
        limit = p99_ms / 1e3
        p_value = seldom_beyond(times, limit)
        shown = p_value * CONFIRMED <= ERROR
        found.append(Kept(setting, len(times), int((times > limit).sum()), p_value, shown))
        if shown:
            break
    return found


def served_rows(setting: Setting) -> int:
    """Rows that a run of several requests may have, so that none takes longer than was measured."""
    return min(setting.batch, MOST_ROWS)


def _rate(runtime: OnnxRuntime, feed: Mapping[str, NDArray[Any]], batch: int, seconds: float) -> float:
    return batch / float(np.median(_times(runtime, feed, seconds)))


def _times(runtime: OnnxRuntime, feed: Mapping[str, NDArray[Any]], seconds: float) -> NDArray[np.float64]:
    return np.array(list(_timed(runtime, feed, seconds, threading.Event())))


def _timed(
    runtime: OnnxRuntime, feed: Mapping[str, NDArray[Any]], seconds: float, stop: threading.Event
) -> Iterator[float]:
    end, count = time.perf_counter() + seconds, 0
    while (count < _LEAST_CALLS or time.perf_counter() < end) and not stop.is_set():
        began = time.perf_counter()
        runtime.run(feed)
        yield time.perf_counter() - began
        count += 1


def _together(
    runtimes: Sequence[OnnxRuntime], feed: Mapping[str, NDArray[Any]], seconds: float
) -> tuple[NDArray[np.float64], float]:
    found: list[list[float]] = []
    failed: list[Exception] = []
    stop = threading.Event()

    def call(runtime: OnnxRuntime) -> None:
        try:
            found.append(list(_timed(runtime, feed, seconds, stop)))
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            failed.append(error)

    threads = [threading.Thread(target=call, args=(each,)) for each in runtimes]
    began = time.perf_counter()
    try:
        for thread in threads:
            thread.start()
    finally:
        try:
            for thread in threads:
                thread.join()
        finally:
            stop.set()  # Ctrl-C while it waits: nobody goes on measuring
    if failed:
        raise failed[0]
    return np.concatenate([np.array(each) for each in found]), time.perf_counter() - began


def _free_bytes() -> int:
    with Path("/proc/meminfo").open(encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0
