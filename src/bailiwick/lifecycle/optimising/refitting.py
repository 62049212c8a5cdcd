"""Leaves of a pruned ensemble set anew: the trees that stay make up, as far as they can, for those that are gone.

The splits stay; each leaf gets what brings the sum of the trees closest to that of the whole ensemble, on rows that nothing
is judged on: a ridge regression of what is missing on which leaf a row falls into (fully corrective boosting, with the whole
ensemble for a teacher, so no label is needed). Whether it helps, and with how much damping, is tried on a quarter of these
rows; where it does not, the leaves stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy import sparse
from scipy.sparse.linalg import lsqr

DAMPINGS = (1.0, 10.0, 100.0)
LEAST_ROWS = 100
_GAIN = 0.95
"""What is missing must shrink to this share of itself, on rows it was not fitted on, or the leaves stay."""

Nodes = Mapping[str, Any]


def refit(pruned: onnx.NodeProto, whole: onnx.NodeProto, matrix: NDArray[np.float32]) -> bool:
    """Set the leaves of `pruned` anew, in place; False where that does not bring it closer to `whole`.

    `matrix` is what both take. Of a forest of classes nothing is done: its sums are probabilities.
    """
    attributes = _attributes(pruned)
    side = "class" if pruned.op_type == "TreeEnsembleClassifier" else "target"
    text = attributes.get("post_transform", b"NONE")
    if (side == "class" and text == b"NONE") or len(matrix) < LEAST_ROWS:
        return False
    missing = _sums(whole, matrix, side) - _sums(pruned, matrix, side)
    scale = 1 / len(set(attributes["nodes_treeids"])) if attributes.get("aggregate_function") == b"AVERAGE" else 1.0
    leaves, entries = _leaves(attributes, matrix, side)
    changes = np.zeros(len(attributes[f"{side}_weights"]))
    helped = False
    for place, target in enumerate(np.unique(attributes[f"{side}_ids"])):
        chosen = [index for index, each in enumerate(attributes[f"{side}_ids"]) if each == target]
        design, used = _design(leaves, entries, chosen, len(matrix))
        change = _fitted(design * scale, missing[:, int(target) if missing.shape[1] > 1 else place])
        if change is not None:
            changes[used] = change
            helped = True
    if helped:
        weights = next(each for each in pruned.attribute if each.name == f"{side}_weights")
        weights.floats[:] = (np.asarray(weights.floats) + changes).astype(np.float32).tolist()
    return helped


def scale(pruned: onnx.NodeProto, whole: onnx.NodeProto, matrix: NDArray[np.float32]) -> None:
    """Have the trees of a forest of numbers bear more, where that brings their sum closer to the whole.

    A graph does not say whether its trees are summed up because each bears a share, or because each corrects those before.
    """
    wanted, found = _sums(whole, matrix, "target"), _sums(pruned, matrix, "target")
    trees = [len(set(_attributes(each)["nodes_treeids"])) for each in (whole, pruned)]
    more = trees[0] / trees[1]
    if np.square(wanted - found * more).mean() < np.square(wanted - found).mean():
        weights = next(each for each in pruned.attribute if each.name == "target_weights")
        weights.floats[:] = (np.asarray(weights.floats) * more).astype(np.float32).tolist()


def _fitted(design: Any, missing: NDArray[np.float64]) -> NDArray[np.float64] | None:
    tried = len(missing) * 3 // 4
    before = float(np.square(missing[tried:]).mean())
    best, least = None, before * _GAIN
    for damping in DAMPINGS:
        change = lsqr(design[:tried], missing[:tried], damp=damping**0.5)[0]
        left = float(np.square(missing[tried:] - design[tried:] @ change).mean())
        if left < least:
            best, least = damping, left
    if best is None:
        return None
    fitted: NDArray[np.float64] = lsqr(design, missing, damp=best**0.5)[0]
    return fitted


def _design(
    leaves: NDArray[np.int64], entries: Mapping[tuple[int, int], list[int]], chosen: Sequence[int], rows: int
) -> tuple[Any, list[int]]:
    """A column for each weight of one target, 1 where a row falls into its leaf; and which weights those are."""
    place = {entry: column for column, entry in enumerate(chosen)}
    across, down = [], []
    for tree in range(leaves.shape[1]):
        values = leaves[:, tree]
        for leaf in np.unique(values):
            for entry in entries.get((tree, int(leaf)), ()):
                if entry in place:
                    found = np.flatnonzero(values == leaf)
                    down.append(found)
                    across.append(np.full(len(found), place[entry]))
    ones = np.ones(sum(len(each) for each in down))
    where = (np.concatenate(down), np.concatenate(across)) if down else (np.empty(0, int), np.empty(0, int))
    return sparse.csr_matrix((ones, where), shape=(rows, len(chosen))), list(chosen)


def _leaves(
    attributes: Nodes, matrix: NDArray[np.float32], side: str
) -> tuple[NDArray[np.int64], dict[tuple[int, int], list[int]]]:
    """The leaf of each row in each tree, and the weights by (tree, leaf): ONNX Runtime itself says which branch is taken."""
    trees = {each: place for place, each in enumerate(sorted(set(attributes["nodes_treeids"])))}
    numbers: dict[tuple[int, int], int] = {}
    targets: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    counts = [0] * len(trees)
    for tree, node, mode in zip(
        attributes["nodes_treeids"], attributes["nodes_nodeids"], attributes["nodes_modes"], strict=True
    ):
        if mode == b"LEAF":
            place = trees[tree]
            numbers[tree, node] = counts[place]
            targets["treeids"].append(tree)
            targets["nodeids"].append(node)
            targets["ids"].append(place)
            targets["weights"].append(float(counts[place]))
            counts[place] += 1
    told = {f"target_{name}": values for name, values in targets.items()}
    found = _run(attributes, matrix, n_targets=len(trees), **told)
    entries: dict[tuple[int, int], list[int]] = {}
    for index, at in enumerate(zip(attributes[f"{side}_treeids"], attributes[f"{side}_nodeids"], strict=True)):
        if at in numbers:
            entries.setdefault((trees[at[0]], numbers[at]), []).append(index)
    return np.rint(found).astype(np.int64), entries


def _sums(node: onnx.NodeProto, matrix: NDArray[np.float32], side: str) -> NDArray[np.float64]:
    """What the trees sum up to, before anything is made of it."""
    attributes = _attributes(node)
    ids = attributes[f"{side}_ids"]
    wide = max(attributes.get("n_targets", 1), max(ids) + 1)
    names = ("treeids", "nodeids", "ids", "weights")
    told = {f"target_{name}": attributes[f"{side}_{name}"] for name in names}
    if attributes.get("aggregate_function"):
        told["aggregate_function"] = attributes["aggregate_function"]
    return _run(attributes, matrix, n_targets=wide, **told).astype(np.float64)


def _run(attributes: Nodes, matrix: NDArray[np.float32], **targets: Any) -> NDArray[np.float32]:
    from bailiwick.lifecycle.packaging.gate import open_session

    held = {name: value for name, value in attributes.items() if name.startswith("nodes_")}
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", post_transform="NONE", **held, **targets
    )
    graph = helper.make_graph(
        [node],
        "leaves",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, matrix.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)]
    session = open_session(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    found: NDArray[np.float32] = np.asarray(session.run(None, {"x": matrix})[0], np.float32)
    return found


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}
