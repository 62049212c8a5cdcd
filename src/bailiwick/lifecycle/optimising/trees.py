"""Tree ensembles with fewer trees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.optimising.parts import NEW_TREES, TREES, ensembles, ints, text, values_of
from bailiwick.lifecycle.optimising.refitting import refit, scale

LEAST_TREES = 8


def tree_count(model: onnx.ModelProto) -> int:
    """Trees of all its ensembles."""
    return sum(len(set(ints(node, "nodes_treeids"))) for node in ensembles(model))


def whole(model: onnx.ModelProto, share: int) -> str:
    """Why no trees are left out, so that `share` percent stay; empty where they can be."""
    nodes = ensembles(model)
    if any(node.op_type == NEW_TREES for node in model.graph.node):
        return "its trees are written as ai.onnx.ml 5 does (TreeEnsemble), which nothing here cuts"
    if not nodes:
        return "it has no trees"
    if any(each.name.endswith("_as_tensor") and each.t.dims for node in nodes for each in node.attribute):
        return "the numbers of its trees are doubles, which nothing here cuts"
    counts = [len(set(ints(node, "nodes_treeids"))) for node in nodes]
    if min(counts) * share // 100 < LEAST_TREES:
        said = (
            f"{counts[0]} trees" if len(counts) == 1 else f"{min(counts)} trees of one of its {len(counts)} ensembles"
        )
        return f"{said} are too few to leave some out"
    return ""


def first_trees(model: onnx.ModelProto, share: int) -> onnx.ModelProto:
    """The same with the first `share` percent of the trees of each ensemble: of boosted trees the model as it was then.

    Of trees that each speak for one of several classes or numbers the same share of each stays. Trees of a forest each bear
    a share of the answer, so those that stay bear more. Raises InvalidInput where a class is left without a tree.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for node in ensembles(made):
        _keep_first(node, share)
    return made


def pruned(model: onnx.ModelProto, share: int, columns: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """The first trees, with leaves set anew where that brings them closer to the whole (see `refitting`)."""
    made = first_trees(model, share)
    known: dict[str, NDArray[np.float32]] = {}
    for before, node in zip(ensembles(model), ensembles(made), strict=True):
        source = str(node.input[0])
        if source not in known:
            known[source] = values_of(model, source, columns)
        if node.op_type == TREES[1]:
            scale(node, before, known[source])
        refit(node, before, known[source])
    return made


def _keep_first(node: onnx.NodeProto, share: int) -> None:
    side = "class" if node.op_type == TREES[0] else "target"
    ids = sorted(set(ints(node, "nodes_treeids")))
    groups = _groups(node, side, ids)
    if min(len(group) * share // 100 for group in groups) < 1:
        raise InvalidInput("so few trees do not speak for every class")
    kept = {each for group in groups for each in group[: len(group) * share // 100]}
    masks = {
        "nodes_": [each in kept for each in ints(node, "nodes_treeids")],
        f"{side}_": [each in kept for each in ints(node, f"{side}_treeids")],
    }
    forest = text(node, "post_transform") in {"", "NONE"} and side == "class"
    for attribute in node.attribute:
        for prefix, mask in masks.items():
            if attribute.name.startswith(prefix):
                _filter(attribute, mask)
        if forest and attribute.name == "class_weights":
            attribute.floats[:] = [each * len(ids) / len(kept) for each in attribute.floats]


def _groups(node: onnx.NodeProto, side: str, ids: list[int]) -> list[list[int]]:
    """Trees by what they speak for; one group where each speaks for all."""
    spoken: dict[int, set[int]] = {}
    for tree, target in zip(ints(node, f"{side}_treeids"), ints(node, f"{side}_ids"), strict=True):
        spoken.setdefault(tree, set()).add(target)
    every = set().union(*spoken.values()) if spoken else set()
    if len(every) < 2 or any(len(each) > 1 for each in spoken.values()):
        return [ids]
    return [[tree for tree in ids if spoken.get(tree) == {target}] for target in sorted(every)]


def _filter(attribute: onnx.AttributeProto, mask: Iterable[bool]) -> None:
    for field in ("ints", "floats", "strings"):
        values = getattr(attribute, field)
        if values:
            values[:] = [value for value, wanted in zip(list(values), mask, strict=True) if wanted]
