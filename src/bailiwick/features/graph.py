"""Runs a compiled feature graph over Arrow tables, in training exactly as in serving: through onnxruntime."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.features.columns import MOMENTS, NUMBERS, TEXTS, datatype_of, is_moment, tensor

_DATATYPES = {"tensor(float)": NUMBERS, "tensor(string)": TEXTS, "tensor(double)": MOMENTS}
_ROWS_AT_ONCE = 16_384


class FeatureGraph:
    """A feature graph ready to run. Deterministic, safe to share between threads; holds no reference to any table."""

    def __init__(self, model: onnx.ModelProto, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.names: tuple[str, ...] = tuple(json.loads(_property(model, "bailiwick.names")))
        self.inputs = {item.name: _DATATYPES[item.type] for item in self._session.get_inputs()}
        self.output: str = self._session.get_outputs()[0].name

    def run(self, table: pa.Table) -> NDArray[np.float32]:
        """The feature matrix, [rows, len(names)], all finite. Raises InvalidInput for a missing or mistyped column."""
        self._check(table)
        if 0 < table.num_rows <= _ROWS_AT_ONCE:
            return self._run(table)
        matrix = np.empty((table.num_rows, len(self.names)), np.float32)
        for start in range(0, table.num_rows, _ROWS_AT_ONCE):
            part = table.slice(start, _ROWS_AT_ONCE)
            matrix[start : start + part.num_rows] = self._run(part)
        return matrix

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


def _property(model: onnx.ModelProto, key: str) -> str:
    for item in model.metadata_props:
        if item.key == key:
            return str(item.value)
    raise InvalidInput(f"The graph carries no {key!r}; make it with compile_features.")
