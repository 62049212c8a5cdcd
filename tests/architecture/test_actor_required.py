"""Whoever changes a record says who they are: each verb that opens a change takes `actor` first."""

from __future__ import annotations

import ast

from tests_support.source import Function, functions, modules


def _opens_change(function: Function) -> bool:
    """Whether it calls `….change(` of records itself (a nested function counts for itself alone)."""
    nested = {id(node) for inner in functions(function) if inner is not function for node in ast.walk(inner)}
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "change"
        and "records" in ast.unparse(node.func.value).lower()
        for node in ast.walk(function)
        if id(node) not in nested
    )


def _parameters(function: Function) -> list[str]:
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
    return names[1:] if names[:1] == ["self"] else names


def _services() -> list[tuple[str, ast.ClassDef]]:
    return [
        (f"{path}:{node.lineno} {node.name}", node)
        for path, _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Service")
    ]


def test_every_function_that_opens_a_change_takes_the_actor_first() -> None:
    without = [
        f"{path}:{function.lineno} {function.name}"
        for path, _, tree in modules()
        for function in functions(tree)
        if _opens_change(function) and _parameters(function)[:1] != ["actor"]
    ]
    assert without == []


def test_every_mutating_verb_of_a_service_takes_the_actor_first() -> None:
    """A public method that reaches a change through the service's own private methods mutates as well."""
    without = []
    for where, service in _services():
        methods = {node.name: node for node in service.body if isinstance(node, ast.FunctionDef)}
        mutating = {name for name, method in methods.items() if _opens_change(method)}
        while True:
            callers = {
                name
                for name, method in methods.items()
                if any(f"self.{callee}(" in ast.unparse(method) for callee in mutating)
            }
            if callers <= mutating:
                break
            mutating |= callers
        without += [
            f"{where}.{name}"
            for name in sorted(mutating)
            if not name.startswith("_") and _parameters(methods[name])[:1] != ["actor"]
        ]
    assert without == []


def test_the_rule_is_not_empty() -> None:
    assert len(_services()) >= 1
    assert any(_opens_change(function) for _, _, tree in modules() for function in functions(tree))
