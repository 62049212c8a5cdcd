"""The code that executors get."""

from __future__ import annotations

import ast
import zipfile
from pathlib import Path

import bailiwick
from bailiwick.adapters.spark import shipping


def test_what_executors_are_sent_imports_nothing_that_they_are_not_sent() -> None:
    root = Path(bailiwick.__file__).parent
    with zipfile.ZipFile(shipping._archive()) as archive:
        sent = set(archive.namelist())
    missing = []
    for name in sorted(sent):
        for node in ast.walk(ast.parse((root.parent / name).read_text(encoding="utf-8"))):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            path = module.replace(".", "/")
            if module.startswith("bailiwick") and not {f"{path}.py", f"{path}/__init__.py"} & sent:
                missing.append((name, module))
    assert missing == []
