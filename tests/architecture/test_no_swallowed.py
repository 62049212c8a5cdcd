"""No error is swallowed: a handler of everything must do something with what it caught."""

from __future__ import annotations

import ast

from tests_support.source import modules

EVERYTHING = {"Exception", "BaseException"}


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in EVERYTHING for kind in kinds)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether it ends by raising what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_no_handler_is_bare() -> None:
    bare = [
        f"{path}:{node.lineno}"
        for path, _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


def test_no_handler_of_everything_does_nothing() -> None:
    silent = [
        f"{path}:{node.lineno}"
        for path, _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and _catches_everything(node)
        and all(isinstance(statement, ast.Pass | ast.Continue | ast.Break) for statement in node.body)
    ]
    assert silent == []


def test_everything_is_caught_only_with_a_reason_beside_it() -> None:
    unexplained = []
    for path, text, tree in modules():
        lines = text.splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and _catches_everything(node) and not _passes_on(node):
                around = lines[node.lineno - 1 : node.body[0].lineno]
                if not any("#" in line for line in around):
                    unexplained.append(f"{path}:{node.lineno}")
    assert unexplained == []
