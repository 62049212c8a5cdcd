"""Arrow columns as the tensors of a graph: numbers as float32 with NaN for missing, texts with "" for missing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput

NUMBERS = "FP32"
TEXTS = "BYTES"


def datatype_of(kind: pa.DataType) -> str:
    """The OIP datatype that a column of this Arrow type is fed as. Raises InvalidInput for dates, lists and the like."""
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string(values) or pa.types.is_large_string(values) or pa.types.is_string_view(values):
        return TEXTS
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    if any(check(values) for check in numeric) or pa.types.is_null(values):
        return NUMBERS
    raise InvalidInput(
        f"A column of Arrow type {kind} cannot be a feature.",
        hint="Turn it into numbers or text when preparing the data.",
    )


def numbers(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Values as float32, the precision in which the model sees them; missing becomes NaN."""
    if datatype_of(column.type) != NUMBERS:
        raise InvalidInput(f"Numbers are needed, and the column holds {column.type}.")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    wide = column.cast(pa.float64(), safe=False).combine_chunks()
    # A number past float32 becomes an infinity, which the graph bounds; numpy would warn of it.
    with np.errstate(over="ignore"):
        narrow: NDArray[np.float32] = wide.to_numpy(zero_copy_only=False).astype(np.float32)
    return narrow


def texts(column: pa.ChunkedArray) -> pa.Array:
    """Values as one Arrow string array without nulls; missing becomes the empty text."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if datatype_of(column.type) != TEXTS:
        raise InvalidInput(f"Texts are needed, and the column holds {column.type}.")
    return pc.fill_null(column.cast(pa.string()), "").combine_chunks()


def tensor(column: pa.ChunkedArray, datatype: str) -> NDArray[np.float32] | NDArray[np.object_]:
    """The column as a tensor of shape [rows, 1]."""
    if datatype == TEXTS:
        strings: NDArray[np.object_] = texts(column).to_numpy(zero_copy_only=False).astype(object)
        return strings.reshape(-1, 1)
    return numbers(column).reshape(-1, 1)
