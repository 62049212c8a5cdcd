"""An answer that is declared on the endpoint and looks at nothing: the last of the fallbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.model import OutputValue
from bailiwick.serving.binder import Binder
from bailiwick.serving.tensors import Signature, TensorSpec

_KINDS = {"f": (int, float), "i": (int,), "u": (int,), "b": (bool,), "O": (str,)}


class ConstantRuntime:
    """The same values for every row, behind the face of a model."""

    apart = False
    platform = "constant"

    def __init__(
        self, values: Sequence[np.ndarray], binder: Binder, outputs: tuple[TensorSpec, ...], *, documents: bool
    ) -> None:
        self.signature = Signature((), outputs, documents=documents)
        self.blocks = binder.blocks
        self._values = values

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """As many rows as it is fed."""
        rows = len(next(iter(feed.values())))
        return [np.repeat(value, rows, axis=0) for value in self._values]

    def warm_up(self) -> None:
        """It is."""

    def close(self) -> None:
        """It holds nothing."""


def constant_runtime(
    answer: Sequence[OutputValue],
    binder: Binder,
    outputs: tuple[TensorSpec, ...],
    problems: dict[str, str],
    *,
    documents: bool = False,
) -> ConstantRuntime | None:
    """None, and a line in `problems`, where the answer is not one that the endpoint's variants could give."""
    try:
        return ConstantRuntime(answered_values(answer, outputs), binder, outputs, documents=documents)
    except InvalidInput as error:
        problems["fallback constant"] = error.message
        return None


def answered_values(answer: Sequence[OutputValue], outputs: Sequence[TensorSpec]) -> list[np.ndarray]:
    """One row of each output. Raises InvalidInput where the answer is not one that a model with these outputs could give."""
    given = {each.output: each for each in answer}
    if set(given) != {spec.name for spec in outputs}:
        names = ", ".join(f"{spec.name} ({spec.datatype})" for spec in outputs)
        raise InvalidInput(f"It has values for {', '.join(given)}; the outputs are: {names}.")
    return [_value(spec, given[spec.name]) for spec in outputs]


def _value(spec: TensorSpec, given: OutputValue) -> np.ndarray:
    value = given.value
    kinds = _KINDS[np.dtype(spec.dtype).kind]
    if type(value) not in kinds:
        raise InvalidInput(f"Output {spec.name} is {spec.datatype}; {value!r} is not.")
    try:
        with np.errstate(over="raise"):
            return np.full((1, *spec.tail), value, dtype=spec.dtype)
    except (OverflowError, FloatingPointError) as error:
        raise InvalidInput(f"Output {spec.name} is {spec.datatype}; {value!r} is out of its range.") from error
