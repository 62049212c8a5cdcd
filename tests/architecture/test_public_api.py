"""What the package promises: the names in `__all__` of `bailiwick` and `bailiwick.testing` are those of the golden list, so that a change of them is seen."""

from __future__ import annotations

import ast

from tests_support.source import ROOT, modules

PUBLIC = "bailiwick.testing"
GOLDEN = ROOT / "tests" / "golden" / "public_api.txt"


def _public_names() -> list[str]:
    names: list[str] = []
    for path, _, tree in modules():
        package = ".".join(path.parent.parts[1:])
        if path.name != "__init__.py" or not (package == "bailiwick" or package.startswith(PUBLIC)):
            continue
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names += [f"{package}.{name}" for name in ast.literal_eval(node.value)]
    return sorted(names)


def test_the_public_names_are_those_written_down() -> None:
    assert _public_names() == GOLDEN.read_text(encoding="utf-8").split()
