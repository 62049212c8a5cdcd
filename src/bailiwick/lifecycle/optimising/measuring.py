"""How fast a form answers: one row, batches, and several callers at once; and which settings nothing else beats."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bailiwick.serving.runtime import OnnxRuntime

BATCHES = (1, 8, 64, 256)
CALLERS = (1, 2, 4, 8)
SECONDS = 0.25
_LEAST_CALLS = 5

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Speed:
    """Time of one row in microseconds, at the median and at the 99th percentile; rows a second by size of batch."""

    p50_us: float = 0.0
    p99_us: float = 0.0
    rows_per_second: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """So many callers with so many rows a call, each caller on a session of one thread, as a worker has it."""

    callers: int
    batch: int
    p99_ms: float
    rows_per_second: float
    best: bool = False


def runtime_of(package: bytes) -> OnnxRuntime:
    """As serving loads it. Raises InvalidInput, ModelFailed."""
    with tempfile.TemporaryDirectory(prefix="bailiwick-optimise-") as folder:
        path = Path(folder) / "package.onnx"
        path.write_bytes(package)
        runtime = OnnxRuntime(path)
    runtime.warm_up()
    return runtime


def fed(runtime: OnnxRuntime, columns: Columns, rows: int) -> dict[str, NDArray[Any]]:
    """The first rows as the runtime is fed; repeated where there are fewer."""
    count = len(next(iter(columns.values())))
    chosen = np.arange(rows) % count
    return {
        block.name: np.concatenate([columns[spec.name][chosen] for spec in block.specs], axis=1)
        if len(block.specs) > 1
        else columns[block.specs[0].name][chosen]
        for block in runtime.blocks
    }


def speed_of(runtime: OnnxRuntime, columns: Columns, *, seconds: float = SECONDS) -> Speed:
    """Measured by calling it for a while with each size of batch."""
    throughput = {}
    single: NDArray[np.float64] = np.empty(0)
    for batch in BATCHES:
        times = _times(runtime, fed(runtime, columns, batch), seconds)
        throughput[batch] = batch / float(np.median(times))
        single = times if batch == 1 else single
    p50, p99 = np.quantile(single, [0.5, 0.99])
    return Speed(float(p50) * 1e6, float(p99) * 1e6, throughput)


def sweep(package: bytes, columns: Columns, *, seconds: float = SECONDS) -> list[Setting]:
    """Every number of callers with every batch; those are best that none beats in both time and rows a second."""
    found = []
    for callers in CALLERS:
        runtimes = [runtime_of(package) for _ in range(callers)]
        for batch in BATCHES:
            times, took = _together(runtimes, fed(runtimes[0], columns, batch), seconds)
            p99 = float(np.quantile(times, 0.99)) * 1e3
            found.append(Setting(callers, batch, p99, batch * len(times) / took))
    return front(found)


def front(settings: Sequence[Setting]) -> list[Setting]:
    """The same, those marked that no other beats (Pareto)."""
    return [
        Setting(
            one.callers,
            one.batch,
            one.p99_ms,
            one.rows_per_second,
            best=not any(
                other.p99_ms <= one.p99_ms
                and other.rows_per_second >= one.rows_per_second
                and (other.p99_ms, other.rows_per_second) != (one.p99_ms, one.rows_per_second)
                for other in settings
            ),
        )
        for one in settings
    ]


def choose(settings: Sequence[Setting], p99_ms: float) -> Setting | None:
    """The setting of most rows a second whose 99th percentile is within the limit; None where there is none."""
    within = [each for each in settings if each.p99_ms <= p99_ms]
    return max(within, key=lambda each: each.rows_per_second, default=None)


def _times(runtime: OnnxRuntime, feed: Mapping[str, NDArray[Any]], seconds: float) -> NDArray[np.float64]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _LEAST_CALLS or time.perf_counter() < end:
        began = time.perf_counter()
        runtime.run(feed)
        times.append(time.perf_counter() - began)
    return np.array(times)


def _together(
    runtimes: Sequence[OnnxRuntime], feed: Mapping[str, NDArray[Any]], seconds: float
) -> tuple[NDArray[np.float64], float]:
    found: list[NDArray[np.float64]] = []
    threads = [
        threading.Thread(target=lambda each=each: found.append(_times(each, feed, seconds))) for each in runtimes
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.concatenate(found), time.perf_counter() - began
