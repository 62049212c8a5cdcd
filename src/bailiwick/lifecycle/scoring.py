"""Running a package over Arrow rows: what evaluation and batch jobs use; serving has its own, for single requests."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import Corrupted, InvalidInput
from bailiwick.features.columns import tensor
from bailiwick.features.model import OUTPUT
from bailiwick.training.metadata import read_metadata

_ROWS_AT_ONCE = 65_536


def load(package: bytes) -> onnx.ModelProto:
    """The package's graph. Raises Corrupted for bytes that are none."""
    try:
        return onnx.load_from_string(package)
    except Exception as error:  # protobuf's error class is private and differs between its implementations
        raise Corrupted(f"These bytes are no ONNX package: {error}.") from error


def score(package: bytes, rows: pa.Table, *, threads: int = 0) -> NDArray[np.float64]:
    """Probability of each row, [rows]. `threads` 0 means one for each core. Raises InvalidInput for a missing column."""
    datatypes = read_metadata(load(package)).inputs
    for name in datatypes:
        if name not in rows.column_names:
            raise InvalidInput.choice("Input column", name, rows.column_names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(package, options, providers=["CPUExecutionProvider"])
    parts = []
    for start in range(0, rows.num_rows, _ROWS_AT_ONCE):
        part = rows.slice(start, _ROWS_AT_ONCE)
        feed = {name: tensor(part.column(name), datatype) for name, datatype in datatypes.items()}
        parts.append(np.asarray(session.run([OUTPUT], feed)[0], np.float64))
    return np.concatenate(parts) if parts else np.empty(0)
