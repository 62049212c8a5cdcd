"""The expressions by which steps are stacked: Python's arithmetic over their answers, and nothing else of Python.

A tree is evaluated in float32, as an ONNX graph of the same tree is.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput

MAX_LENGTH = 2_000
MAX_NODES = 200

Floats = NDArray[np.float32]

_SIGNS: Mapping[type[ast.operator], str] = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div"}
_FUNCTIONS = {
    "min": "Min",
    "max": "Max",
    "abs": "Abs",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "sigmoid": "Sigmoid",
}
_TWO = frozenset({"Min", "Max"})


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-values)), np.float32)


_COMPUTED: Mapping[str, Callable[..., Floats]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Min": np.minimum, "Max": np.maximum,
    "Abs": np.abs, "Exp": np.exp, "Log": np.log, "Sqrt": np.sqrt, "Sigmoid": _sigmoid, "Neg": np.negative,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """`operator` is one of ONNX; `Name` and `Constant` are leaves."""

    operator: str
    parts: tuple[Operation, ...] = ()
    name: str = ""
    value: float = 0.0

    def names(self) -> set[str]:
        """Steps that it refers to."""
        return {self.name} if self.operator == "Name" else set().union(*(part.names() for part in self.parts))

    def evaluate(self, answers: Mapping[str, Floats]) -> Floats:
        """One value a row."""
        if self.operator == "Name":
            return answers[self.name]
        if self.operator == "Constant":
            return np.asarray(self.value, np.float32)
        with np.errstate(all="ignore"):
            found: Floats = _COMPUTED[self.operator](*(part.evaluate(answers) for part in self.parts))
        return found.astype(np.float32, copy=False)


def parse(text: str) -> Operation:
    """Raises InvalidInput naming what is not arithmetic."""
    if len(text) > MAX_LENGTH:
        raise InvalidInput(f"An expression has at most {MAX_LENGTH} characters; this one has {len(text)}.")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(f"The expression {text[:200]!r} cannot be read: {error}.") from error
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES * 3:
        raise InvalidInput(f"The expression {text[:200]!r} has too many parts.")
    return _read(tree.body, text)


def _read(node: ast.expr, text: str) -> Operation:
    if isinstance(node, ast.Name):
        return Operation("Name", name=node.id)
    if isinstance(node, ast.Constant) and type(node.value) in {int, float} and math.isfinite(float(node.value)):  # type: ignore[arg-type]
        return Operation("Constant", value=float(node.value))  # type: ignore[arg-type]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return Operation("Neg", (_read(node.operand, text),))
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        return Operation(_SIGNS[type(node.op)], (_read(node.left, text), _read(node.right, text)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        operator = _FUNCTIONS.get(node.func.id, "")
        if operator and len(node.args) == (2 if operator in _TWO else 1):
            return Operation(operator, tuple(_read(each, text) for each in node.args))
    shown = ast.get_source_segment(text, node) or type(node).__name__
    known = ", ".join(_FUNCTIONS)
    raise InvalidInput(
        f"{shown[:100]!r} in the expression {text[:200]!r} is not arithmetic over steps.",
        hint=f"It may have steps, numbers, + - * / and {known} (min and max of two).",
    )
