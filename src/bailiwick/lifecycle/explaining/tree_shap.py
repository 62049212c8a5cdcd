"""Exact Shapley values of ensembles of trees: every leaf is a product of conditions, and such a game has a closed form.

Players are sets of features. A leaf of weight w that a row reaches where every one of its players agrees is worth, to a
player i with the value `a` (does the row's own value pass the player's conditions there?) against `b` (would the other's?),
the integral over t from 0 to 1 of w (a_i - b_i) prod_{j != i} (t a_j + (1 - t) b_j). Where `a` and `b` are 0 or 1 that is the
interventional value against one other row (Lundberg et al. 2020, algorithm 3); where `b` is a share of training rows it is the
path-dependent one (algorithm 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from bailiwick.lifecycle.explaining.ensemble import Bools, Ensemble, Floats, Ints

_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Segments:
    """The ways to all leaves, with the steps of one player to one leaf as one segment."""

    order: Ints  # of the ensemble's entries
    starts: Ints  # of segments in the ordered entries
    leaf: Ints
    player: Ints
    leaf_starts: Ints  # of leaves in the segments; leaves without a way (a tree of one leaf) have none
    leaves: Ints
    most: int


def segments_of(ensemble: Ensemble, player: Ints) -> Segments:
    """`player` has the number of the player that each feature belongs to."""
    owner = player[ensemble.feature[ensemble.entry_node]]
    order = np.lexsort((owner, ensemble.entry_leaf))
    leaf, owner = ensemble.entry_leaf[order], owner[order]
    if not order.size:
        none = np.empty(0, np.int64)
        return Segments(none, none, none, none, none, none, 0)
    starts = np.flatnonzero(np.r_[True, (leaf[1:] != leaf[:-1]) | (owner[1:] != owner[:-1])])
    leaf, owner = leaf[starts], owner[starts]
    leaf_starts = np.flatnonzero(np.r_[True, leaf[1:] != leaf[:-1]])
    sizes = np.diff(np.r_[leaf_starts, len(leaf)])
    return Segments(order, starts, leaf, owner, leaf_starts, leaf[leaf_starts], int(sizes.max()))


def interventional(
    ensemble: Ensemble,
    player: Ints,
    players: int,
    score: Floats,
    rows: NDArray[np.float32],
    others: NDArray[np.float32],
) -> Floats:
    """[players]: the mean over `others` of the values of `rows` against them. `rows` is one row, or one for each other.

    `score` has the weight of each leaf. The values sum to the mean score of `rows` minus that of `others`, exactly.
    """
    segments = segments_of(ensemble, player)
    total = np.zeros(players)
    if not segments.most:
        return total
    worth_own, worth_other = _worth(segments.most)
    at_once = max(1, _CELLS_AT_ONCE // max(1, len(segments.order)))
    own = _passes(ensemble, segments, rows) if len(rows) == 1 else None
    for start in range(0, len(others), at_once):
        part = slice(start, start + at_once)
        theirs = _passes(ensemble, segments, others[part])
        mine = np.broadcast_to(own, theirs.shape) if own is not None else _passes(ensemble, segments, rows[part])
        total += _against(segments, score, mine, theirs, (worth_own, worth_other), players)
    return total / len(others)


def _against(
    segments: Segments, score: Floats, mine: Bools, theirs: Bools, worth: tuple[Floats, Floats], players: int
) -> Floats:
    only_mine, only_theirs = mine & ~theirs, theirs & ~mine
    needs_mine, needs_theirs = _count(only_mine, segments), _count(only_theirs, segments)
    alive = _count(~(mine | theirs), segments) == 0
    weight = score[segments.leaves] * alive
    sizes = np.diff(np.r_[segments.leaf_starts, len(segments.leaf)])
    gain = np.repeat(weight * worth[0][needs_mine, needs_theirs], sizes, axis=1)
    loss = np.repeat(weight * worth[1][needs_mine, needs_theirs], sizes, axis=1)
    per_segment = (gain * only_mine - loss * only_theirs).sum(axis=0)
    values = np.bincount(segments.player, weights=per_segment, minlength=players)
    return values[:players].astype(np.float64)


def _count(marks: Bools, segments: Segments) -> Ints:
    """[rows, leaves]: marked segments of each leaf."""
    counts: Ints = np.add.reduceat(marks, segments.leaf_starts, axis=1, dtype=np.int64)
    return counts


def path_dependent(
    ensemble: Ensemble, player: Ints, players: int, score: Floats, row: NDArray[np.float32], cover: Floats
) -> tuple[Floats, float]:
    """([players], base value): what was not known is answered by the shares of training rows, `cover` at each leaf."""
    segments = segments_of(ensemble, player)
    shares = _shares(ensemble, cover)
    alone = np.ones(ensemble.leaves)
    values = np.zeros(players)
    if segments.most:
        share = np.multiply.reduceat(shares[segments.order], segments.starts)
        passes = _passes(ensemble, segments, row)[0].astype(np.float64)
        alone[segments.leaves] = np.multiply.reduceat(share, segments.leaf_starts)
        points, point_weights = np.polynomial.legendre.leggauss(segments.most // 2 + 1)
        for point, point_weight in zip((points + 1) / 2, point_weights / 2, strict=True):
            mixed = point * passes + (1 - point) * share
            rest = _products_of_others(mixed, segments)
            per_segment = score[segments.leaf] * (passes - share) * rest * point_weight
            values += np.bincount(segments.player, weights=per_segment, minlength=players)[:players]
    return values, float(score @ alone)


def _passes(ensemble: Ensemble, segments: Segments, rows: NDArray[np.float32]) -> Bools:
    """[rows, segments]: whether a row's values pass all conditions of the player on the way to the leaf."""
    turns = ensemble.turns(rows)
    node, went = ensemble.entry_node[segments.order], ensemble.entry_went[segments.order]
    passed: Bools = np.logical_and.reduceat(turns[:, node] == went, segments.starts, axis=1)
    return passed


def _worth(most: int) -> tuple[Floats, Floats]:
    """By how many players must be the row's (a) and the other's (b): (a-1)! b! / (a+b)!, and a! (b-1)! / (a+b)!."""
    own, other = np.zeros((most + 1, most + 1)), np.zeros((most + 1, most + 1))
    for mine in range(most + 1):
        for theirs in range(most + 1 - mine):
            whole = factorial(mine + theirs)
            if mine:
                own[mine, theirs] = factorial(mine - 1) * factorial(theirs) / whole
            if theirs:
                other[mine, theirs] = factorial(mine) * factorial(theirs - 1) / whole
    return own, other


def _products_of_others(values: Floats, segments: Segments) -> Floats:
    """Of each segment, the product of the values of the other segments of its leaf; no division, for there are zeros."""
    sizes = np.diff(np.r_[segments.leaf_starts, len(segments.leaf)])
    place = np.arange(len(values)) - np.repeat(segments.leaf_starts, sizes)
    row = np.repeat(np.arange(len(sizes)), sizes)
    padded = np.ones((len(sizes), segments.most + 2))
    padded[row, place + 1] = values
    before = np.cumprod(padded, axis=1)
    after = np.cumprod(padded[:, ::-1], axis=1)[:, ::-1]
    products: Floats = before[row, place] * after[row, place + 2]
    return products


def _shares(ensemble: Ensemble, cover: Floats) -> Floats:
    """Of each step, the share of the training rows at the node that went that way; a node none came to is split evenly."""
    nodes = len(ensemble.feature)
    through = np.bincount(ensemble.entry_node, weights=cover[ensemble.entry_leaf], minlength=nodes)
    true_way = ensemble.entry_went
    by_true = np.bincount(ensemble.entry_node[true_way], weights=cover[ensemble.entry_leaf[true_way]], minlength=nodes)
    share_true = np.divide(by_true, through, out=np.full(nodes, 0.5), where=through > 0)
    of_step = share_true[ensemble.entry_node]
    shares: Floats = np.where(true_way, of_step, 1 - of_step)
    return shares
