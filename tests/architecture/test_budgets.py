"""Budgets of size: a module, a function, a front door. A marked, reasoned exception is allowed and counted."""

from __future__ import annotations

import re

from tests_support.source import functions, modules

MODULE_LINES = 600
ADAPTER_LINES = 800
FUNCTION_LINES = 60
INIT_LINES = 40
MOST_EXCEPTIONS = 5
SAYS_NOTHING = re.compile(r"/(utils?|helpers?|common|misc|base|managers?)\.py$")
EXCEPTION = re.compile(r"#\s*budget:\s*(\S.{9,})")


def test_no_module_is_over_its_budget() -> None:
    over = []
    for path, text, _ in modules():
        lines = text.count("\n")
        limit = (
            INIT_LINES if path.name == "__init__.py" else ADAPTER_LINES if "adapters" in path.parts else MODULE_LINES
        )
        if lines > limit:
            over.append(f"{path}: {lines} lines, at most {limit}")
    assert over == []


def test_no_function_is_over_its_budget_unless_a_comment_gives_the_reason() -> None:
    over: list[str] = []
    excepted: list[str] = []
    for path, text, tree in modules():
        lines = text.splitlines()
        for function in functions(tree):
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            if length <= FUNCTION_LINES:
                continue
            reason = EXCEPTION.search(lines[function.lineno - 1]) or EXCEPTION.search(lines[function.lineno - 2])
            where = f"{path}:{function.lineno} {function.name}: {length} lines, at most {FUNCTION_LINES}"
            (excepted if reason else over).append(where)
    assert over == []
    assert len(excepted) <= MOST_EXCEPTIONS, excepted


def test_modules_are_named_by_what_they_hold() -> None:
    assert [str(path) for path, _, _ in modules() if SAYS_NOTHING.search(f"/{path}")] == []


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [f"{path}" for path, text, _ in modules() if marks.search(text)] == []
