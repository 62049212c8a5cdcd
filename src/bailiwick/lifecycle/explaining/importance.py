"""How much each column matters to a model: the mean size of exact SHAP values over rows that nothing was learnt from."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
from msgspec import Struct

from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.explaining.rows import rows_of_table
from bailiwick.lifecycle.explaining.subject import GraphSubject, Rows, Trees, trees_of
from bailiwick.lifecycle.explaining.tree_shap import interventional

ROWS = 100
BACKGROUND = 50
LEAST_ROWS = 20
SECONDS = 20.0
_MOST_STEPS = 2_000_000
"""Of all ways to the leaves: beyond it one row alone could take longer than all may."""


class Importance(Struct, frozen=True):
    """Mean |SHAP| by column, largest first, over `rows` rows each against `background` others, in `space` (log-odds or the
    output). Columns that a feature joins are told together. Nothing was computed where there is a `reason`.
    """

    columns: dict[str, float] = {}
    rows: int = 0
    background: int = 0
    space: str = ""
    reason: str = ""


def importance_of(package: bytes, sample: pa.Table, *, seconds: float = SECONDS) -> Importance:
    """Of an ONNX package that answers by its trees; for another, why there is none. The same rows give the same numbers
    unless time runs out, which only makes the rows fewer.
    """
    if sample.num_rows < LEAST_ROWS:
        return Importance(reason=f"there are only {sample.num_rows} rows to measure it on, of at least {LEAST_ROWS}")
    try:
        subject = GraphSubject(package, "", -1)
        rows = rows_of_table(sample, subject.columns)
        trees = trees_of(subject, rows)
    except BailiwickError as error:
        return Importance(reason=error.message)
    if isinstance(trees, str):
        return Importance(reason=f"{trees}, and only of trees it is exact and cheap")
    if len(trees.ensemble.entry_leaf) > _MOST_STEPS:
        return Importance(reason="the trees are too many to measure it in the time that it may take")
    return _measured(trees, rows, sample.num_rows, time.monotonic() + seconds)


def _measured(trees: Trees, rows: Rows, count: int, deadline: float) -> Importance:
    order = np.random.default_rng(0).permutation(count)
    behind = min(BACKGROUND, count // 2)
    features = trees.features(rows)
    others, explained = features[order[:behind]], order[behind : behind + ROWS]
    total, done = np.zeros(len(trees.players)), 0
    for place in explained:
        own = features[place : place + 1]
        total += np.abs(interventional(trees.ensemble, trees.player, len(trees.players), trees.score, own, others))
        done += 1
        if time.monotonic() > deadline:
            break
    found = {" and ".join(columns): float(value) for columns, value in zip(trees.players, total / done, strict=True)}
    found |= dict.fromkeys((name for name in rows if not any(name in columns for columns in trees.players)), 0.0)
    ordered = dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
    return Importance(ordered, done, behind, trees.space)
