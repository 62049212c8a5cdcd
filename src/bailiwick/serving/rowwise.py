"""Whether a model answers each row by itself, so that rows of several callers may share a run.

A graph can look at all of its rows at once: subtract their mean, rank them, take the largest. Such a model answers one
caller differently for who else is there. No format says so; it is tried out once, before the model gets traffic.
"""

from __future__ import annotations

import logging
from time import perf_counter_ns
from weakref import WeakKeyDictionary

import numpy as np

from bailiwick.core.errors import BailiwickError
from bailiwick.serving.packing import Block
from bailiwick.serving.runtime import Runtime

ROWS = 5

HEAVY_US = 30.0
"""What one row costs of a model for which two requests are worth gathering; with less, four are (`docs/decisions/0016`)."""

PAIR, FEW = 2, 4

_TOLERANCE = 1e-4  # kernels for many rows add up in another order than those for one

_log = logging.getLogger(__name__)
_known: WeakKeyDictionary[Runtime, tuple[bool, float]] = WeakKeyDictionary()


def answers_row_by_row(runtime: Runtime) -> bool:
    """Whether rows that are run together come out as each does alone. A model that fails on what is tried is not trusted."""
    return _of(runtime)[0]


def worth_gathering(runtime: Runtime) -> int:
    """How many requests of one turn are cheaper to run together than one by one."""
    return PAIR if _of(runtime)[1] >= HEAVY_US else FEW


def _of(runtime: Runtime) -> tuple[bool, float]:
    known = _known.get(runtime)
    if known is None:
        known = _known[runtime] = _tried(runtime)
    return known


def _tried(runtime: Runtime) -> tuple[bool, float]:
    """Whether it answers row by row, and the microseconds of its quickest run of one row."""
    random = np.random.default_rng(7)
    feed = {block.name: _values(block, random) for block in runtime.blocks}
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
        return False, 0.0
    same = all(_same(whole, np.concatenate([each[place] for each in alone])) for place, whole in enumerate(together))
    return same, min(took)


def _values(block: Block, random: np.random.Generator) -> np.ndarray:
    """Rows that differ, of values that nearly every model takes."""
    shape, dtype = (ROWS, *block.row_shape), np.dtype(block.specs[0].dtype)
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
