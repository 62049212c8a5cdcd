"""The nodes of an expression: each step of it is one operator of ONNX, or two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from bailiwick.features.expression import Term
from bailiwick.features.nodes import Nodes

_OPERATORS = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "negative": "Neg",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "equal": "Equal",
    "and": "And",
    "or": "Or",
    "not": "Not",
    "abs": "Abs",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "floor": "Floor",
    "ceil": "Ceil",
    "missing": "IsNaN",
    "min": "Min",
    "max": "Max",
    "where": "Where",
}


def compute(graph: Nodes, term: Term) -> str:
    """Add the nodes of a step and of all that it is made of; returns its tensor, float32 or boolean."""
    if term.operation in _LEAVES:
        return _LEAVES[term.operation](graph, term)
    parts = [compute(graph, part) for part in term.parts]
    if term.operation in _COMPOSED:
        return _COMPOSED[term.operation](graph, parts)
    return graph.make(_OPERATORS[term.operation], *parts)


def _among(graph: Nodes, term: Term) -> str:
    found = graph.encode(term.column, list(term.texts), [1.0] * len(term.texts), 0.0, text=True)
    return graph.make("Cast", found, to=TensorProto.BOOL)


_LEAVES: dict[str, Callable[[Nodes, Term], str]] = {
    "number": lambda graph, term: graph.fixed([term.value], np.float32),
    "truth": lambda graph, term: graph.fixed([bool(term.value)], np.bool_),
    "column": lambda graph, term: graph.number(term.column),
    "among": _among,
}
_COMPOSED: dict[str, Callable[[Nodes, list[str]], str]] = {
    "not_equal": lambda graph, parts: graph.make("Not", graph.make("Equal", *parts)),
    "as_number": lambda graph, parts: graph.floats(parts[0]),
    "log1p": lambda graph, parts: graph.make("Log", graph.make("Add", parts[0], graph.fixed([1], np.float32))),
    "coalesce": lambda graph, parts: graph.make("Where", graph.make("IsNaN", parts[0]), parts[1], parts[0]),
}
