"""The runtime of a package, by what the file is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bailiwick.composing.archive import is_composition
from bailiwick.pyfunc.archive import is_archive
from bailiwick.rules.package import is_rules
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtime import Runtime
from bailiwick.serving.runtimes.composition import CompositionRuntime
from bailiwick.serving.runtimes.rules import RulesRuntime

ONNX, PYTHON, RULES, COMPOSITION = "onnx", "python", "rules", "composition"


def kind_of(package: Path) -> str:
    """The word for what runs it, as a version's record has it."""
    if is_archive(package):
        return PYTHON
    if is_composition(package):
        return COMPOSITION
    return RULES if is_rules(package) else ONNX


def opener(models: PythonModels) -> Callable[[Path], Runtime]:
    """What makes the runtime of any package. It raises InvalidInput; Unavailable where this machine lacks something for now."""

    def opened(package: Path) -> Runtime:
        if is_composition(package):
            return CompositionRuntime(package, opened)
        return RulesRuntime(package) if is_rules(package) else models.open(package)

    return opened
