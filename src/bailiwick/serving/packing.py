"""Feeding a model few wide arrays instead of many narrow ones: each input costs ONNX Runtime about a microsecond a call.

A package has one input a column. When it is loaded, its columns of one datatype become one input that a `Split` node
takes apart again, so what the model computes is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from bailiwick.core.deferred import deferred
from bailiwick.serving.tensors import TensorSpec

if TYPE_CHECKING:
    import onnx
    from onnx import helper
else:
    onnx, helper = deferred("onnx"), deferred("onnx.helper")

_ONNX_TYPES = {
    "BOOL": "BOOL",
    "UINT8": "UINT8",
    "UINT16": "UINT16",
    "UINT32": "UINT32",
    "UINT64": "UINT64",
    "INT8": "INT8",
    "INT16": "INT16",
    "INT32": "INT32",
    "INT64": "INT64",
    "FP16": "FLOAT16",
    "FP32": "FLOAT",
    "FP64": "DOUBLE",
    "BF16": "FLOAT",
    "BYTES": "STRING",
}
_SPLIT_NEEDS_COUNT = 18
_DEFAULT_OPSET = 15


class Block(Struct, frozen=True):
    """One array that is fed as `name`: a column for each of several specs, or the whole of a single one."""

    name: str
    specs: tuple[TensorSpec, ...]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Dimensions of one row of the array."""
        return (len(self.specs),) if len(self.specs) > 1 else self.specs[0].tail

    def blank(self, rows: int) -> np.ndarray:
        """Zeros, or empty texts."""
        spec, shape = self.specs[0], (rows, *self.row_shape)
        return np.full(shape, "", dtype=object) if spec.datatype == "BYTES" else np.zeros(shape, dtype=spec.dtype)


def blocks_of(specs: Sequence[TensorSpec]) -> tuple[Block, ...]:
    """How these inputs are fed: columns ([-1, 1]) by datatype, everything else alone."""
    shared: dict[str, list[TensorSpec]] = {}
    for spec in specs:
        shared.setdefault(f"bailiwick.{spec.datatype}" if spec.tail == (1,) else spec.name, []).append(spec)
    return tuple(
        Block(name if len(members) > 1 else members[0].name, tuple(members)) for name, members in shared.items()
    )


def pack_inputs(model: onnx.ModelProto, blocks: Sequence[Block]) -> bool:
    """Change the model so that it is fed by `blocks`, and takes and gives float32 where it has bfloat16; whether it had to be."""
    graph = model.graph
    changed = widen(graph)
    versions = [entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    packed = [block for block in blocks if len(block.specs) > 1]
    if not packed:
        return changed
    if not versions:
        model.opset_import.append(helper.make_opsetid("", _DEFAULT_OPSET))
    opset = versions[0] if versions else _DEFAULT_OPSET
    replaced = {spec.name for block in packed for spec in block.specs}
    kept = [declared for declared in graph.input if declared.name not in replaced]
    inputs = [_declared(block) for block in packed] + kept
    del graph.input[:]
    graph.input.extend(inputs)
    for block in packed:  # nodes stay where they are: one may hold a whole forest, and moving is copying
        graph.node.insert(0, _split(block, opset))
    return True


def widen(graph: onnx.GraphProto) -> bool:
    """Casts behind inputs and before outputs of bfloat16, which NumPy does not have; whether there are any."""
    half, single = int(onnx.TensorProto.BFLOAT16), int(onnx.TensorProto.FLOAT)
    constants = {tensor.name for tensor in graph.initializer}
    changed = False
    for declared in graph.input:
        if declared.name not in constants and declared.type.tensor_type.elem_type == half:
            inner = f"bailiwick.narrow.{declared.name}"
            _rename_uses(graph, declared.name, inner)
            graph.node.insert(0, helper.make_node("Cast", [declared.name], [inner], to=half))
            declared.type.tensor_type.elem_type = single
            changed = True
    for declared in graph.output:
        if declared.type.tensor_type.elem_type == half:
            inner = f"bailiwick.wide.{declared.name}"
            _rename_uses(graph, declared.name, inner)
            graph.node.append(helper.make_node("Cast", [inner], [declared.name], to=single))
            declared.type.tensor_type.elem_type = single
            changed = True
    return changed


def _rename_uses(graph: onnx.GraphProto, name: str, other: str) -> None:
    """In this graph and in those inside of its nodes."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, used in enumerate(names):
                if used == name:
                    names[place] = other
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    _rename_uses(inner, name, other)


def _split(block: Block, opset: int) -> onnx.NodeProto:
    names = [spec.name for spec in block.specs]
    node = helper.make_node("Split", [block.name], names, axis=1)
    if opset >= _SPLIT_NEEDS_COUNT:
        node.attribute.append(helper.make_attribute("num_outputs", len(names)))
    return node


def _declared(block: Block) -> onnx.ValueInfoProto:
    kind = int(getattr(onnx.TensorProto, _ONNX_TYPES[block.specs[0].datatype]))
    return helper.make_tensor_value_info(block.name, kind, [None, len(block.specs)])
