"""The runtime of a package, by what the file is."""

from __future__ import annotations

from pathlib import Path

from bailiwick.composing.archive import is_composition
from bailiwick.pyfunc.archive import is_archive
from bailiwick.rules.package import is_rules
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtime import Opener, Runtime
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


def opener(models: PythonModels) -> Opener:
    """What makes the runtime of any package; of a composition each ONNX step has so many threads."""

    def opened(package: Path, threads: int = 1, /) -> Runtime:
        if is_composition(package):
            return CompositionRuntime(package, lambda part: opened(part, threads))
        return RulesRuntime(package) if is_rules(package) else models.open(package, threads)

    return opened
