"""Rows in, rows out: a package of any kind over Arrow tables, from several threads at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from bailiwick.core.errors import InvalidInput
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.batch.graph import GraphAnswerer, answered
from bailiwick.pyfunc.params import held
from bailiwick.serving.documents import answer_of, table_document
from bailiwick.serving.failures import ModelFailed
from bailiwick.serving.params import TakesParams
from bailiwick.serving.protocol import Refused
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.runtime import Runtime
from bailiwick.serving.runtimes.opening import ONNX, kind_of, opener
from bailiwick.serving.tensors import Signature

_PYTHON_ROWS = 2_048  # within what the setting `models_seconds` allows a call, for slow pipelines too


class ProgramAnswerer:
    """A package that is no graph, run as serving runs it: rules, a composition's steps one after another, and what stays
    Python in confined processes, as many as the settings say.
    """

    def __init__(self, settings: Settings, package: Path, params: Mapping[str, Any]) -> None:
        self._runtime: Runtime = opener(PythonModels.of(settings))(package)
        self.signature = self._runtime.signature
        try:
            self._params = checked(self.signature, params)
        except InvalidInput:
            self.close()
            raise

    def answer(self, rows: pa.Table) -> list[pa.Array]:
        """The outputs, in the order of the signature. Raises ModelFailed, Unavailable; InvalidInput for values that rules
        cannot hold.

        A model of documents is asked with tables of so many rows, and must answer each of them.
        """
        if self.signature.documents:
            return [pa.array(self._told(rows), pa.string())]
        return answered(self.signature, rows, _PYTHON_ROWS, self._run)

    def close(self) -> None:
        """End the processes."""
        self._runtime.close()

    def _told(self, rows: pa.Table) -> list[str]:
        told: list[str] = []
        name = self.signature.inputs[0].name
        for start in range(0, rows.num_rows, _PYTHON_ROWS):
            some = rows.slice(start, _PYTHON_ROWS)
            try:
                document = table_document(some)
            except (pa.ArrowException, ValueError) as error:
                raise InvalidInput(f"The rows cannot be made a document: {error}.") from error
            found = answer_of(str(self._run({name: np.array([document], dtype=object)})[0][0]))
            if not isinstance(found, list) or len(found) != some.num_rows:
                count = f"a list of {len(found):,}" if isinstance(found, list) else "no list"
                raise ModelFailed(
                    f"The model was asked {some.num_rows:,} rows and answered with {count}, so no answer belongs to a row."
                )
            told += [msgspec.json.encode(each).decode() for each in found]
        return told

    def _run(self, feed: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
        blocks = {
            block.name: np.concatenate([feed[spec.name].reshape(-1, spec.width) for spec in block.specs], axis=1)
            if len(block.specs) > 1
            else feed[block.specs[0].name]
            for block in self._runtime.blocks
        }
        try:
            if self._params and isinstance(self._runtime, TakesParams):
                return self._runtime.run_with(blocks, self._params)
            return self._runtime.run(blocks)
        except Refused as refusal:
            raise InvalidInput(refusal.message) from refusal


Answerer = GraphAnswerer | ProgramAnswerer


def open_answerer(settings: Settings, package: Path, params: Mapping[str, Any] | None = None) -> Answerer:
    """By what the file is. Raises InvalidInput, also for params that the model does not declare; Unavailable."""
    if kind_of(package) != ONNX:
        return ProgramAnswerer(settings, package, params or {})
    made = GraphAnswerer(package.read_bytes())
    checked(made.signature, params or {})  # they mean nothing to what became a graph, and are held to their types
    return made


def checked(signature: Signature, params: Mapping[str, Any]) -> dict[str, Any]:
    """What the model is run with. Raises InvalidInput."""
    known = [spec.name for spec in signature.params]
    for name in params:
        if name not in known:
            raise InvalidInput.choice("Param", name, known)
    return held(signature.params, params)
