"""Whether a model answers each row by itself, so that rows of several callers may share a run.

A graph can look at all of its rows at once: subtract their mean, rank them, take the largest. Such a model answers one
caller differently for who else is there. No format says so; it is tried out once, before the model gets traffic.
"""

from __future__ import annotations

import logging
from time import perf_counter_ns
from weakref import WeakKeyDictionary

import numpy as np
from msgspec import Struct

from bailiwick.core.errors import BailiwickError
from bailiwick.serving.packing import Block
from bailiwick.serving.runtime import Runtime

ROWS = 5

HEAVY_US = 30.0
"""What one row costs of a model for which two requests are worth gathering; with less, four are (`docs/decisions/0016`)."""

PAIR, FEW = 2, 4

TIMED_ROWS = 64
UNKNOWN_ROW_US = 20.0
"""What a row is taken to cost of a model that cannot be tried."""

MOST_INLINE_US = 5_000.0
"""For so long a model may hold the event loop."""

LONG_ROW_US = 500.0
"""With rows that cost more, a turn of the event loop would take too long: such a model always runs in a thread."""

_TOLERANCE = 1e-4  # kernels for many rows add up in another order than those for one

_log = logging.getLogger(__name__)
_known: WeakKeyDictionary[Runtime, Found] = WeakKeyDictionary()


class Found(Struct, frozen=True):
    """Whether it answers row by row, microseconds of its quickest run of one row, and of a row among many."""

    by_row: bool
    one_us: float
    row_us: float


def answers_row_by_row(runtime: Runtime) -> bool:
    """Whether rows that are run together come out as each does alone. A model that fails on what is tried is not trusted."""
    return _of(runtime).by_row


def worth_gathering(runtime: Runtime) -> int:
    """How many requests of one turn are cheaper to run together than one by one."""
    return PAIR if _of(runtime).one_us >= HEAVY_US else FEW


def inline_rows(runtime: Runtime) -> int:
    """How many rows it may be given where everybody else waits meanwhile; 0 for one that always takes long."""
    row_us = _of(runtime).row_us
    return 0 if row_us > LONG_ROW_US else int(MOST_INLINE_US / max(row_us, 0.5))


def _of(runtime: Runtime) -> Found:
    known: Found | None = getattr(runtime, "found", None) or _known.get(runtime)
    if known is None:
        known = _known[runtime] = tried(runtime)
    return known


def tried(runtime: Runtime) -> Found:
    """By some runs, so of a model that is loaded and warm. A runtime that is not has it as `found` from when it was."""
    if runtime.signature.documents:
        return Found(by_row=False, one_us=0.0, row_us=UNKNOWN_ROW_US)
    random = np.random.default_rng(7)
    feed = {block.name: _values(block, random, ROWS) for block in runtime.blocks}
    try:
        together = runtime.run(feed)
        alone, took = [], []
        for row in range(ROWS):
            single = {name: values[row : row + 1] for name, values in feed.items()}
            began = perf_counter_ns()
            alone.append(runtime.run(single))
            took.append((perf_counter_ns() - began) / 1000)
    except BailiwickError as error:
        _log.info("a model whose rows cannot be tried is not batched: %s", error)
        return Found(by_row=False, one_us=0.0, row_us=UNKNOWN_ROW_US)
    same = all(_same(whole, np.concatenate([each[place] for each in alone])) for place, whole in enumerate(together))
    return Found(same, min(took), UNKNOWN_ROW_US if runtime.apart else _timed(runtime, random))


def _timed(runtime: Runtime, random: np.random.Generator) -> float:
    """Microseconds of a row among many."""
    feed = {block.name: _values(block, random, TIMED_ROWS) for block in runtime.blocks}
    took = []
    try:
        for _ in range(2):
            began = perf_counter_ns()
            runtime.run(feed)
            took.append((perf_counter_ns() - began) / 1000 / TIMED_ROWS)
    except BailiwickError:
        return UNKNOWN_ROW_US
    return min(took)


def _values(block: Block, random: np.random.Generator, rows: int) -> np.ndarray:
    """Rows that differ, of values that nearly every model takes."""
    shape, dtype = (rows, *block.row_shape), np.dtype(block.specs[0].dtype)
    if dtype.kind == "O":
        texts = np.array(["", "a", "b", "0", "1"], dtype=object)
        return texts[random.integers(0, len(texts), shape)]
    if dtype.kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)


def _same(together: np.ndarray, alone: np.ndarray) -> bool:
    if together.shape != alone.shape:
        return False
    if together.dtype.kind != "f":
        return bool((together == alone).all())
    return bool(np.allclose(together, alone, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True))
