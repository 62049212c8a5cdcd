"""SHAP values of one prediction over its raw columns: exact where trees answer, sampled for everything else."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np

from bailiwick.lifecycle.explaining.ensemble import Floats
from bailiwick.lifecycle.explaining.model import Contribution, Shap, plain
from bailiwick.lifecycle.explaining.subject import Rows, Subject, Trees, joined, repeated
from bailiwick.lifecycle.explaining.tree_shap import interventional

MOST_PARTED = 4
"""Columns joined by features whose common value is parted between them: it takes 2^n runs."""


def of_trees(trees: Trees, row: Rows, background: Rows) -> Shap:
    """Exact interventional values against the background. Columns that no feature joins are players of their own; of
    those that are joined, the common value is exact and parted by the Owen value, for up to four of them.
    """
    own, others = trees.features(row), trees.features(background)
    values = interventional(trees.ensemble, trees.player, len(trees.players), trees.score, own, others)
    contributions, crossed = [], []
    for number, columns in enumerate(trees.players):
        if len(columns) == 1:
            contributions.append(_contribution(columns, row, values[number]))
        elif len(columns) > MOST_PARTED:
            contributions.append(_contribution(columns, row, values[number]))
            crossed.append(columns)
        else:
            parted = _owen(trees, number, row, background, float(values[number]))
            contributions += [_contribution((name,), row, value) for name, value in zip(columns, parted, strict=True)]
            crossed.append(columns)
    used = {name for columns in trees.players for name in columns}
    contributions += [_contribution((name,), row, 0.0) for name in row if name not in used]
    return Shap(
        method="trees",
        space=trees.space,
        base=float(trees.margin(others).mean()),
        reached=float(trees.margin(own)[0]),
        contributions=_ordered(contributions),
        background=len(others),
        crossed=crossed,
    )


def _owen(trees: Trees, number: int, row: Rows, background: Rows, whole: float) -> Floats:
    """The value of a set of joined columns parted between them: the Shapley value of the game in which a part of the set
    is the row's, and all other columns play against the set as one.
    """
    columns = trees.players[number]
    size, count = len(columns), len(next(iter(background.values())))
    others = trees.features(background)
    worth = {(): 0.0, columns: whole}
    for taken in range(1, size):
        for some in combinations(columns, taken):
            mixed = repeated(row, count)
            mixed.update({name: background[name] for name in columns if name not in some})
            rows = trees.features(mixed)
            found = interventional(trees.ensemble, trees.player, len(trees.players), trees.score, rows, others)
            worth[some] = float(found[number])
    parted = np.zeros(size)
    for place, name in enumerate(columns):
        rest = tuple(each for each in columns if each != name)
        for taken in range(size):
            weight = factorial(taken) * factorial(size - taken - 1) / factorial(size)
            for some in combinations(rest, taken):
                with_it = tuple(each for each in columns if each in some or each == name)
                parted[place] += weight * (worth[with_it] - worth[some])
    return parted


def sampled(subject: Subject, row: Rows, background: Rows, *, permutations: int, seed: int, why: str) -> Shap:
    """Estimates from random orders, each with its reverse, in which the row's columns replace a background row's one by one
    (Castro et al. 2009). The standard error is over the pairs; base and values sum to the answer, exactly.
    """
    names = list(row)
    rng = np.random.default_rng(seed)
    size = len(next(iter(background.values())))
    pairs = max(2, permutations // 2)
    drawn = rng.permutation(np.resize(rng.permutation(size), pairs))
    found, bases = np.zeros((pairs, len(names))), np.zeros(pairs)
    for start in range(0, pairs, _PAIRS_AT_ONCE):
        orders, parts = [], []
        for pair in range(start, min(start + _PAIRS_AT_ONCE, pairs)):
            order = rng.permutation(len(names))
            other = {name: values[drawn[pair] : drawn[pair] + 1] for name, values in background.items()}
            for way in (order, order[::-1]):
                orders.append((pair, way))
                parts.append(_path(row, other, [names[each] for each in way]))
        answers = subject.score(joined(parts)).reshape(len(orders), len(names) + 1)
        for (pair, way), answer in zip(orders, answers, strict=True):
            found[pair, way] += np.diff(answer) / 2
            bases[pair] = answer[0]
    errors = found.std(axis=0, ddof=1) / np.sqrt(pairs)
    contributions = [
        Contribution((name,), (plain(row[name][0]),), float(found[:, place].mean()), float(errors[place]))
        for place, name in enumerate(names)
    ]
    return Shap(
        method="permutations",
        space="output",
        base=float(bases.mean()),
        reached=float(subject.score(row)[0]),
        contributions=_ordered(contributions),
        background=int(min(size, pairs)),
        note=f"Sampled in {2 * pairs} orders, since {why}; an error is one standard error.",
    )


_PAIRS_AT_ONCE = 16


def _path(row: Rows, other: Rows, order: list[str]) -> Rows:
    """The other row, then with one column after another from the row: [columns + 1] rows."""
    place = {name: number for number, name in enumerate(order)}
    steps = np.arange(len(order) + 1)
    return {name: np.where(steps > place[name], row[name][0], other[name][0]).astype(row[name].dtype) for name in row}


def _contribution(columns: tuple[str, ...], row: Rows, value: float) -> Contribution:
    return Contribution(columns, tuple(plain(row[name][0]) for name in columns), float(value))


def _ordered(contributions: list[Contribution]) -> list[Contribution]:
    return sorted(contributions, key=lambda each: (-abs(each.value), each.columns))
