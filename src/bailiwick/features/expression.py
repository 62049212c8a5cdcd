"""The language of user expressions: arithmetic, comparison and choice over columns. Nothing in it can run code.

Python's parser reads the text and an allow-list takes from the tree what it knows; all else is refused by name. Numbers
are float32 with NaN for missing, as in the graph: a comparison with a missing number is false, except `!=`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput

MAX_LENGTH = 1_000
MAX_NODES = 200
MAX_DEPTH = 40

Kind = Literal["number", "boolean"]

_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}
_FUNCTIONS = {"abs": 1, "exp": 1, "log": 1, "log1p": 1, "sqrt": 1, "floor": 1, "ceil": 1, "missing": 1, "coalesce": 2}
_FUNCTIONS |= {"min": 2, "max": 2}
FUNCTIONS = (*_FUNCTIONS, "col")
"""What may be called. `col("a b")` names a column that is no Python name."""


@dataclass(frozen=True, slots=True)
class Term:
    """One step of an expression: `operation` is `number`, `column`, `among` (text in a set) or what to do with `parts`."""

    operation: str
    kind: Kind
    parts: tuple[Term, ...] = ()
    value: float = 0.0
    column: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """A read expression, with the columns it names: True for those it reads as text."""

    root: Term
    columns: dict[str, bool]


def read_expression(text: str) -> Expression:
    """Raises InvalidInput saying what part of the text is not allowed, and what is."""
    if len(text) > MAX_LENGTH:
        raise InvalidInput(f"The expression has {len(text)} characters; at most {MAX_LENGTH} are allowed.")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise InvalidInput(f"The expression {text[:80]!r} cannot be read: {reason}.") from error
    if sum(1 for _ in ast.walk(body)) > MAX_NODES:
        raise InvalidInput(f"The expression has more than {MAX_NODES} parts.", hint="Split it into several features.")
    reader = _Reader()
    root = reader.number(reader.read(body, 0))
    if not reader.columns:
        raise InvalidInput(f"The expression {text[:80]!r} names no column.")
    return Expression(root, reader.columns)


@dataclass
class _Reader:
    columns: dict[str, bool] = field(default_factory=dict)

    def read(self, node: ast.expr, depth: int) -> Term:
        if depth > MAX_DEPTH:
            raise InvalidInput(f"The expression is nested more than {MAX_DEPTH} deep.")
        found = self._simple(node) or self._composed(node, depth)
        if found is None:
            raise _refused(node)
        return found

    def _simple(self, node: ast.expr) -> Term | None:
        match node:
            case ast.Constant(value=bool() as value):
                return Term("truth", "boolean", value=float(value))
            case ast.Constant(value=int() | float() as value):
                return Term("number", "number", value=_finite(value))
            case ast.Name(id=name):
                return self._column(name, text=False)
        return None

    def _composed(self, node: ast.expr, depth: int) -> Term | None:
        found = None
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                found = Term("not", "boolean", (self._truth(operand, depth),))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                found = Term("negative", "number", (self.number(self.read(operand, depth + 1)),))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                sides = tuple(self.number(self.read(side, depth + 1)) for side in (left, right))
                found = Term(_ARITHMETIC[type(op)], "number", sides)
            case ast.BoolOp(op=op, values=values):
                word = "and" if isinstance(op, ast.And) else "or"
                found = _chain(word, [self._truth(value, depth) for value in values])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                sides = tuple(self.number(self.read(side, depth + 1)) for side in (body, orelse))
                found = Term("where", "number", (self._truth(test, depth), *sides))
            case ast.Compare():
                found = self._compare(node, depth)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                found = self._call(name, args, depth)
        return found

    def number(self, term: Term) -> Term:
        return term if term.kind == "number" else Term("as_number", "number", (term,))

    def _truth(self, node: ast.expr, depth: int) -> Term:
        term = self.read(node, depth + 1)
        if term.kind != "boolean":
            raise InvalidInput(f"{_text(node)} is a number where a condition is needed.", hint="Compare it: `x > 0`.")
        return term

    def _column(self, name: str, *, text: bool) -> Term:
        if self.columns.setdefault(name, text) != text:
            raise InvalidInput(f"Column {name!r} is used as a number and as text in one expression.")
        return Term("column", "number", column=name)

    def _compare(self, node: ast.Compare, depth: int) -> Term:
        found = []
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            found.append(self._comparison(left, op, right, depth))
        return _chain("and", found)

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr, depth: int) -> Term:
        texts = _texts(right, several=isinstance(op, ast.In | ast.NotIn))
        if texts is not None and isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
            column = _column_name(left)
            if column is None:
                raise InvalidInput(f"{_text(left)} is compared with text, and only a column can be.")
            self._column(column, text=True)
            among = Term("among", "boolean", column=column, texts=tuple(dict.fromkeys(texts)))
            return among if isinstance(op, ast.Eq | ast.In) else Term("not", "boolean", (among,))
        if type(op) not in _COMPARISONS:
            raise _refused(op)
        sides = tuple(self.number(self.read(side, depth + 1)) for side in (left, right))
        return Term(_COMPARISONS[type(op)], "boolean", sides)

    def _call(self, name: str, args: list[ast.expr], depth: int) -> Term:
        if name == "col":
            column = _column_name(ast.Call(ast.Name("col"), args, []))
            if column is None:
                raise InvalidInput('col needs the name of one column in quotes: col("a b").')
            return self._column(column, text=False)
        if name not in _FUNCTIONS:
            raise InvalidInput.choice("Function", name, FUNCTIONS)
        if len(args) != _FUNCTIONS[name] or any(isinstance(each, ast.Starred) for each in args):
            raise InvalidInput(f"{name} takes {_FUNCTIONS[name]} values, and is given {len(args)}.")
        terms = tuple(self.number(self.read(each, depth + 1)) for each in args)
        return Term(name, "boolean" if name == "missing" else "number", terms)


def _chain(word: str, terms: list[Term]) -> Term:
    return reduce(lambda left, right: Term(word, "boolean", (left, right)), terms)


def _finite(value: float) -> float:
    if abs(value) > 3e38:  # past float32; the test also keeps whole numbers out that no float holds
        raise InvalidInput("A number in the expression is too large; at most 3e38 is allowed.")
    return float(value)


def _texts(node: ast.expr, *, several: bool) -> list[str] | None:
    if several and isinstance(node, ast.Tuple | ast.List | ast.Set):
        found = [each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        return found if found and len(found) == len(node.elts) else None
    if not several and isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return None


def _column_name(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str() as name)], keywords=[]):
            return name
    return None


def _refused(node: ast.AST) -> InvalidInput:
    return InvalidInput(
        f"{_text(node)} is not allowed in an expression ({type(node).__name__}).",
        hint=f"There are columns, numbers, texts to compare with, + - * /, comparisons, `in`, and, or, not, `a if c else b`, and {', '.join(FUNCTIONS)}.",
    )


def _text(node: ast.AST) -> str:
    try:
        return repr(ast.unparse(node)[:80])
    except (RecursionError, AttributeError, ValueError):  # an operator alone has no text
        return type(node).__name__


Values = Mapping[str, NDArray[Any]]

_NUMPY: dict[str, Any] = {
    "negative": np.negative,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "abs": np.abs,
    "missing": np.isnan,
    "log1p": lambda value: np.log(np.float32(1) + value),
    "min": np.minimum,
    "max": np.maximum,
    "as_number": lambda truth: truth.astype(np.float32),
    "coalesce": lambda value, other: np.where(np.isnan(value), other, value),
    "where": np.where,
}


def evaluate(expression: Expression, columns: Values) -> NDArray[np.float32]:
    """What the expression means, [rows], by NumPy: float32 numbers, texts as objects with "" for missing."""
    rows = len(next(iter(columns.values())))
    with np.errstate(all="ignore"):
        found = np.asarray(_evaluate(expression.root, columns), np.float32)
    return np.broadcast_to(found, (rows,))


def _evaluate(term: Term, columns: Values) -> NDArray[Any]:
    match term.operation:
        case "number":
            return np.float32(term.value)  # type: ignore[return-value]
        case "truth":
            return np.bool_(term.value)  # type: ignore[return-value]
        case "column":
            return columns[term.column]
        case "among":
            return _among(columns[term.column], term)
    function = _NUMPY.get(term.operation) or getattr(np, term.operation)
    found: NDArray[Any] = function(*(_evaluate(part, columns) for part in term.parts))
    return found


def _among(values: NDArray[Any], term: Term) -> NDArray[np.bool_]:
    wanted = set(term.texts)
    return np.fromiter((value in wanted for value in values), np.bool_, len(values))
