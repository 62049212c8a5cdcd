"""Memory for one row that ONNX Runtime was told of once: it then neither looks at what it is given, nor makes room for answers.

Only rows of numbers have such a place, and one run at a time. Binding anew for each run costs more than it gains
(`benchmarks/serving_parts.py --only binding`), so a row is copied in, and its answers out.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort

from bailiwick.serving.packing import Block
from bailiwick.serving.tensors import TensorSpec


class OneRow:
    """The bound inputs and outputs of a session, for whoever holds `free`."""

    def __init__(self, session: ort.InferenceSession, blocks: Sequence[Block], outputs: Sequence[TensorSpec]) -> None:
        self.free = threading.Lock()
        self._inputs = [(block.name, block.blank(1)) for block in blocks]
        self._outputs: list[np.ndarray] = [np.zeros((1, *spec.tail), spec.dtype) for spec in outputs]
        self._kept = binding = session.io_binding()
        for name, held in self._inputs:
            binding.bind_input(name, "cpu", 0, held.dtype.type, held.shape, held.ctypes.data)
        for spec, held in zip(outputs, self._outputs, strict=True):
            binding.bind_output(spec.name, "cpu", 0, held.dtype.type, held.shape, held.ctypes.data)
        # The public `run_with_iobinding` asks on every call for what only WebGPU has.
        self._binding, self._run = binding._iobinding, session._sess.run_with_iobinding  # noqa: SLF001

    def run(self, feed: Mapping[str, np.ndarray], options: ort.RunOptions) -> list[np.ndarray]:
        """Outputs of one row, the caller's own. Raises what ONNX Runtime raises, also for outputs of another shape."""
        for name, held in self._inputs:
            held[...] = feed[name]
        self._run(self._binding, options)
        return [held.copy() for held in self._outputs]


def bound_row(session: ort.InferenceSession, blocks: Sequence[Block], outputs: Sequence[TensorSpec]) -> OneRow | None:
    """None for a model that takes or gives texts, and for one that declares other shapes than it gives: those are only
    complained of where ONNX Runtime makes the room itself.
    """
    specs = [*(spec for block in blocks for spec in block.specs), *outputs]
    declared = {each.name: each.shape[1:] for each in session.get_outputs()}
    if any(spec.datatype == "BYTES" for spec in specs) or any(_gives_others(declared[s.name], s) for s in outputs):
        return None
    return OneRow(session, blocks, outputs)


def _gives_others(declared: Sequence[object], spec: TensorSpec) -> bool:
    """Whether sizes are declared that the signature, which was asked of the model itself, contradicts."""
    sizes = zip(declared, spec.tail, strict=False)
    return any(isinstance(size, int) and size != found for size, found in sizes)
