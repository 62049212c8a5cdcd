"""Rows in, rows out, through a graph. Executors of Spark are sent this: it needs numpy, pyarrow, msgspec and onnxruntime only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa

from bailiwick.core.errors import InvalidInput
from bailiwick.features.columns import MOMENTS, TEXTS, tensor
from bailiwick.serving.failures import ModelFailed
from bailiwick.serving.tensors import Signature, TensorSpec, parse_signature

ROWS_AT_ONCE = 8_192


class GraphAnswerer:
    """An ONNX package. Each call runs on the thread that makes it, so as many threads as cores fill the machine."""

    def __init__(self, package: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(package, options, providers=["CPUExecutionProvider"])
        told = self._session.get_modelmeta().custom_metadata_map
        self.signature = parse_signature(told["bailiwick.signature"])
        self._names = [spec.name for spec in self.signature.outputs]

    def answer(self, rows: pa.Table) -> list[pa.Array]:
        """The outputs, in the order of the signature. Raises ModelFailed."""
        return answered(self.signature, rows, ROWS_AT_ONCE, self._run)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _run(self, feed: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
        try:
            found: Sequence[np.ndarray] = self._session.run(self._names, feed)
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            raise ModelFailed(f"The model failed: {error}.") from error
        return found


def check_columns(signature: Signature, schema: pa.Schema) -> list[str]:
    """The columns that the model reads: all, of one of documents. Raises InvalidInput naming one that is not there."""
    if signature.documents:
        return list(schema.names)
    for spec in signature.inputs:
        if spec.name not in schema.names:
            raise InvalidInput.choice("Column that the model reads", spec.name, schema.names)
    return [spec.name for spec in signature.inputs]


def answered(signature: Signature, rows: pa.Table, at_once: int, run: Any) -> list[pa.Array]:
    """The outputs for all rows, as Arrow arrays, run so many rows at a time."""
    parts: list[list[np.ndarray]] = [[] for _ in signature.outputs]
    for start in range(0, rows.num_rows, at_once):
        some = rows.slice(start, at_once)
        found = run({spec.name: _fed(some.column(spec.name), spec) for spec in signature.inputs})
        for values, part in zip(found, parts, strict=True):
            part.append(np.asarray(values))
    return [_array(spec, part) for spec, part in zip(signature.outputs, parts, strict=True)]


def output_field(spec: TensorSpec) -> pa.Field:
    """Name and Arrow type of a column of answers."""
    kind = pa.string() if spec.datatype == "BYTES" else pa.from_numpy_dtype(np.dtype(spec.dtype))
    return pa.field(spec.name, kind if spec.width == 1 else pa.list_(kind))


def _fed(column: pa.ChunkedArray, spec: TensorSpec) -> np.ndarray:
    if spec.width > 1:
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, spec.dtype).reshape(len(column), *spec.tail)
    if spec.datatype in {TEXTS, MOMENTS, "FP32"}:
        made: np.ndarray = tensor(column, spec.datatype)
    elif spec.datatype == "FP16":
        made = tensor(column, "FP32").astype(np.float16)
    else:
        if column.null_count:
            raise InvalidInput(f"Column {spec.name!r} is {spec.datatype} to the model and is missing in some rows.")
        made = column.combine_chunks().to_numpy(zero_copy_only=False).astype(spec.dtype)
    return made.reshape(len(column), *spec.tail)


def _array(spec: TensorSpec, parts: list[np.ndarray]) -> pa.Array:
    field = output_field(spec)
    if not parts:
        return pa.array([], field.type)
    values = np.concatenate(parts)
    flat = values.reshape(-1)
    kind = field.type if spec.width == 1 else field.type.value_type
    made = pa.array([str(each) for each in flat], kind) if spec.datatype == "BYTES" else pa.array(flat, kind)
    if spec.width == 1:
        return made
    ends = pa.array(np.arange(0, len(flat) + 1, spec.width, dtype=np.int32))
    return pa.ListArray.from_arrays(ends, made)
