"""The trees of a package, as arrays: read from the nodes TreeEnsembleClassifier and TreeEnsembleRegressor of its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPERATORS = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
_LEAF = "LEAF"
_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Every leaf of every tree with the way to it. Nodes and leaves are numbered over all trees.

    `entry_leaf`, `entry_node`, `entry_went` are the steps of all ways, sorted by leaf: at the node, towards its true
    branch or not. `weights` has a row a leaf and a column a score; a score is `base` plus the weights of the leaves that
    a row falls into.
    """

    feature: Ints
    mode: Ints
    threshold: Floats
    missing_true: Bools
    entry_leaf: Ints
    entry_node: Ints
    entry_went: Bools
    weights: Floats
    base: Floats

    @property
    def leaves(self) -> int:
        """Of all trees."""
        return len(self.weights)

    def turns(self, rows: NDArray[np.float32]) -> Bools:
        """[rows, nodes]: whether a row takes the true branch there; compared in float32, as ONNX Runtime does."""
        values = rows[:, self.feature]
        limit = self.threshold.astype(np.float32)
        taken = np.empty(values.shape, np.bool_)
        compare = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)
        for mode, of_mode in enumerate(compare):
            here = self.mode == mode
            if here.any():
                with np.errstate(invalid="ignore"):
                    taken[:, here] = of_mode(values[:, here], limit[here])
        missing = np.isnan(values)
        # A comparison with NaN is false but for inequality; a node may say that missing goes to the true branch.
        taken[missing & self.missing_true] = True
        return taken

    def reached(self, rows: NDArray[np.float32]) -> Bools:
        """[rows, leaves]: one leaf of each tree for every row."""
        turns = self.turns(rows)
        kept = turns[:, self.entry_node] == self.entry_went
        found = np.ones((len(rows), self.leaves), np.bool_)
        if self.entry_leaf.size:
            starts = np.flatnonzero(np.r_[True, self.entry_leaf[1:] != self.entry_leaf[:-1]])
            found[:, self.entry_leaf[starts]] = np.logical_and.reduceat(kept, starts, axis=1)
        return found

    def scores(self, rows: NDArray[np.float32], at_once: int = 256) -> Floats:
        """[rows, scores], before any link."""
        parts = [
            self.reached(rows[start : start + at_once]) @ self.weights + self.base
            for start in range(0, len(rows), at_once)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(self.base)))


def ensemble_node(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """The one node of trees in the graph; None where there is none, or several, whose answers are put together."""
    found = [node for node in model.graph.node if node.op_type in OPERATORS]
    return found[0] if len(found) == 1 else None


def read_ensemble(node: onnx.NodeProto) -> Ensemble | None:
    """The trees of a node; None for a kind that is not known, such as one that takes the largest leaf."""
    said = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if _text(said.get("aggregate_function", b"SUM")) not in {"SUM", "AVERAGE"}:
        return None
    kind = "class" if node.op_type == OPERATORS[0] else "target"
    modes = [_text(mode) for mode in said["nodes_modes"]]
    if not {*modes} <= {_LEAF, *_MODES}:
        return None
    nodes = list(zip(said["nodes_treeids"], said["nodes_nodeids"], strict=True))
    place = {key: number for number, key in enumerate(nodes)}
    is_leaf = np.array([mode == _LEAF for mode in modes], np.bool_)
    leaf_number = np.cumsum(is_leaf) - 1
    ways = _ways(nodes, place, is_leaf, said)
    scores = max((*said[f"{kind}_ids"], 0)) + 1
    weights = np.zeros((int(is_leaf.sum()), scores))
    values = _numbers(said, f"{kind}_weights")
    keys = zip(said[f"{kind}_treeids"], said[f"{kind}_nodeids"], strict=True)
    for key, score, value in zip(keys, said[f"{kind}_ids"], values, strict=True):
        weights[leaf_number[place[key]], score] += value
    if _text(said.get("aggregate_function", b"SUM")) == "AVERAGE":
        weights /= len({*said["nodes_treeids"]})
    tracks = said.get("nodes_missing_value_tracks_true") or [0] * len(nodes)
    leaf, entry, went = (np.array(part) for part in zip(*ways, strict=True)) if ways else (np.empty(0),) * 3
    return Ensemble(
        feature=np.array(said["nodes_featureids"], np.int64),
        mode=np.array([_MODES.index(mode) if mode != _LEAF else 0 for mode in modes], np.int64),
        threshold=_numbers(said, "nodes_values"),
        missing_true=np.array(tracks, np.bool_),
        entry_leaf=leaf_number[leaf.astype(np.int64)].astype(np.int64),
        entry_node=entry.astype(np.int64),
        entry_went=went.astype(np.bool_),
        weights=weights,
        base=_base(said, scores),
    )


def _ways(
    nodes: list[tuple[int, int]], place: dict[tuple[int, int], int], is_leaf: Bools, said: dict[str, Any]
) -> list[tuple[int, int, bool]]:
    """(leaf, node, went true) of every step, leaf by leaf."""
    children: set[int] = set()
    branches: dict[int, tuple[int, int]] = {}
    for number, (tree, _) in enumerate(nodes):
        if not is_leaf[number]:
            pair = tuple(place[tree, said[f"nodes_{way}nodeids"][number]] for way in ("true", "false"))
            branches[number] = (pair[0], pair[1])
            children.update(pair)
    found: dict[int, list[tuple[int, int, bool]]] = {}
    waiting: list[tuple[int, tuple[tuple[int, bool], ...]]] = [
        (number, ()) for number in range(len(nodes)) if number not in children
    ]
    while waiting:
        number, way = waiting.pop()
        if is_leaf[number]:
            found[number] = [(number, node, went) for node, went in way]
            continue
        yes, no = branches[number]
        waiting += [(yes, (*way, (number, True))), (no, (*way, (number, False)))]
    return [step for leaf in sorted(found) for step in found[leaf]]


def _base(said: dict[str, Any], scores: int) -> Floats:
    values = _numbers(said, "base_values")
    base = np.zeros(scores)
    if len(values) == scores:
        base[:] = values
    elif len(values):
        base += values[0]
    return base


def _numbers(said: dict[str, Any], name: str) -> Floats:
    """The attribute as it was written, in float32 or, as a tensor, in float64."""
    tensor = said.get(f"{name}_as_tensor")
    if tensor is not None:
        return np.asarray(numpy_helper.to_array(tensor), np.float64)
    return np.asarray(said.get(name, ()), np.float64)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
