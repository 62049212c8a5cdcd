"""Runs a compiled feature graph over Arrow tables, in training exactly as in serving: through onnxruntime."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.features.columns import MOMENTS, NUMBERS, TEXTS, datatype_of, is_moment, tensor

if TYPE_CHECKING:
    import onnx

_DATATYPES = {"tensor(float)": NUMBERS, "tensor(string)": TEXTS, "tensor(double)": MOMENTS}
_ROWS_AT_ONCE = 16_384


class FeatureGraph:
    """A feature graph, or the bytes of one, ready to run; onnxruntime is enough. Deterministic, safe to share between
    threads; holds no reference to any table.

    `threads` run pieces of a large table side by side, each whole within its thread: operators that are divided among threads
    wait for each other after every one of them.
    """

    def __init__(self, model: onnx.ModelProto | bytes, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )
        told = self._session.get_modelmeta().custom_metadata_map
        if "bailiwick.names" not in told:
            raise InvalidInput("The graph carries no 'bailiwick.names'; make it with compile_features.")
        self.names: tuple[str, ...] = tuple(json.loads(told["bailiwick.names"]))
        self.inputs = {item.name: _DATATYPES[item.type] for item in self._session.get_inputs()}
        self.output: str = self._session.get_outputs()[0].name
        self._threads = threads

    def run(self, table: pa.Table) -> NDArray[np.float32]:
        """The feature matrix, [rows, len(names)], all finite. Raises InvalidInput for a missing or mistyped column."""
        self._check(table)
        if 0 < table.num_rows <= _ROWS_AT_ONCE:
            return self._run(table)
        matrix = np.empty((table.num_rows, len(self.names)), np.float32)
        starts = range(0, table.num_rows, _ROWS_AT_ONCE)
        if self._threads < 2 or len(starts) < 2:
            for start in starts:
                self._fill(matrix, table, start)
            return matrix
        with ThreadPoolExecutor(max_workers=self._threads) as pool:
            for filled in [pool.submit(self._fill, matrix, table, start) for start in starts]:
                filled.result()
        return matrix

    def _fill(self, matrix: NDArray[np.float32], table: pa.Table, start: int) -> None:
        part = table.slice(start, _ROWS_AT_ONCE)
        matrix[start : start + part.num_rows] = self._run(part)

    def _run(self, rows: pa.Table) -> NDArray[np.float32]:
        feed = {name: tensor(rows.column(name), datatype) for name, datatype in self.inputs.items()}
        matrix: NDArray[np.float32] = self._session.run([self.output], feed)[0]
        return matrix

    def _check(self, table: pa.Table) -> None:
        for name, datatype in self.inputs.items():
            if name not in table.column_names:
                raise InvalidInput.choice("Feature column", name, table.column_names)
            kind = table.schema.field(name).type
            fits = is_moment(kind) if datatype == MOMENTS else datatype_of(kind) == datatype
            if not fits and not pa.types.is_null(kind):
                wanted = {TEXTS: "text", NUMBERS: "numbers", MOMENTS: "moments"}[datatype]
                raise InvalidInput(f"Feature {name!r} was fitted on {wanted}, and the column now holds {kind}.")


def lists_of(graph: FeatureGraph, table: pa.Table) -> pa.ListArray:
    """The feature matrix as an Arrow column: a list of floats a row. Raises as `FeatureGraph.run`."""
    matrix = graph.run(table)
    width = len(graph.names)
    ends = pa.array(np.arange(0, width * (len(matrix) + 1), max(1, width), dtype=np.int32)[: len(matrix) + 1])
    return pa.ListArray.from_arrays(ends, pa.array(matrix.reshape(-1)))
