"""Rows in, rows out: a package of either kind over Arrow tables, from several threads at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from bailiwick.core.settings import Settings
from bailiwick.lifecycle.batch.graph import GraphAnswerer, answered
from bailiwick.pyfunc.archive import is_archive
from bailiwick.serving.python_runtime import PythonModels

_PYTHON_ROWS = 2_048  # within what the setting `models_seconds` allows a call, for slow pipelines too


class ProgramAnswerer:
    """A package that stays Python, in confined processes; as many as the settings say."""

    def __init__(self, settings: Settings, package: Path) -> None:
        self._runtime = PythonModels.of(settings).open(package)
        self.signature = self._runtime.signature

    def answer(self, rows: pa.Table) -> list[pa.Array]:
        """The outputs, in the order of the signature. Raises ModelFailed, Unavailable."""
        return answered(self.signature, rows, _PYTHON_ROWS, self._run)

    def close(self) -> None:
        """End the processes."""
        self._runtime.close()

    def _run(self, feed: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
        blocks = {
            block.name: np.concatenate([feed[spec.name].reshape(-1, spec.width) for spec in block.specs], axis=1)
            if len(block.specs) > 1
            else feed[block.specs[0].name]
            for block in self._runtime.blocks
        }
        return self._runtime.run(blocks)


Answerer = GraphAnswerer | ProgramAnswerer


def open_answerer(settings: Settings, package: Path) -> Answerer:
    """By what the file is. Raises InvalidInput, Unavailable."""
    return ProgramAnswerer(settings, package) if is_archive(package) else GraphAnswerer(package.read_bytes())
