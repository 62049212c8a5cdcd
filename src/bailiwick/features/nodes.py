"""Nodes, constants and inputs of a feature graph under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from bailiwick.features.columns import MOMENTS

ML = "ai.onnx.ml"
TEXTLESS_OPSET = 15
"""Of graphs that cut no texts."""
RUNTIME = "com.microsoft"
"""ONNX Runtime's own operators, part of every build of it; the standard has none that hashes or cuts text into letters."""


class Nodes:
    """Every method returns the name of the tensor it made. All tensors are named `features/…`."""

    def __init__(self, inputs: Mapping[str, str]) -> None:
        self.inputs = inputs
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.declared: list[onnx.ValueInfoProto] = []
        self.needs_texts = False
        self.needs_runtime = False
        self._made: set[str] = set()

    def node(self, kind: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        """Add a node whose output has this name."""
        self.nodes.append(
            helper.make_node(
                kind, list(inputs), [output], name=f"features/{kind}{len(self.nodes)}", domain=domain, **attributes
            )
        )
        return output

    def constant(self, name: str, values: ArrayLike) -> str:
        """Add a constant of this name."""
        self.constants.append(numpy_helper.from_array(np.asarray(values), f"features/{name}"))
        return f"features/{name}"

    def join(self, parts: Sequence[str], name: str) -> str:
        """One matrix of these columns."""
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, f"features/{name}", axis=1)

    def number(self, column: str) -> str:
        """The column as float32, where it is fed as float64 because a moment is read from it."""
        if self.inputs[column] != MOMENTS:
            return column
        name = f"features/single/{column}"
        if name not in self._made:
            self._made.add(name)
            self.node("Cast", [column], name, to=TensorProto.FLOAT)
        return name

    def make(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node whose output needs no name that anyone reads."""
        return self.node(kind, inputs, f"features/t{len(self.nodes)}", **attributes)

    def fixed(self, value: ArrayLike, dtype: type) -> str:
        """A constant that needs no name that anyone reads. A single number is [1, 1], which ONNX Runtime joins with a
        column twenty times as fast as [1].
        """
        values: NDArray[Any] = np.asarray(value, dtype)
        alone = values.shape == (1,) and values.dtype != np.int64  # whole numbers may be axes and shapes, which are [1]
        return self.constant(f"c{len(self.constants)}", values.reshape(1, 1) if alone else values)

    def declare(self, tensor: str, kind: int, shape: Sequence[int | None]) -> None:
        """Say what the runtime's own operators make, for ONNX's checker crashes where it cannot infer it."""
        self.declared.append(helper.make_tensor_value_info(tensor, kind, list(shape)))

    def floats(self, tensor: str) -> str:
        """As float32."""
        return self.make("Cast", tensor, to=TensorProto.FLOAT)

    def one_hot(self, codes: str, width: int) -> str:
        """A column for each code from 0."""
        return self.floats(self.make("Equal", codes, self.fixed(np.arange(width), np.float32)))

    def encode(self, tensor: str, keys: list[Any], values: list[float], default: float, *, text: bool) -> str:
        """The value of each key, and the default for everything that is none, as float32."""
        if not keys:  # an encoder needs a key, and any key may have the value of all others
            keys, values = ["" if text else 0.0], [default]
        named = {"keys_strings" if text else "keys_floats": keys, "values_floats": values, "default_float": default}
        return self.make("LabelEncoder", tensor, domain=ML, **named)
