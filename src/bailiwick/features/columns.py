"""Arrow columns as the tensors of a graph: numbers as float32 with NaN for missing, moments as
float64, texts with "" for missing.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput

NUMBERS = "FP32"
TEXTS = "BYTES"
MOMENTS = "FP64"


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


def is_moment(kind: pa.DataType) -> bool:
    """Whether a column of this Arrow type can be UTC milliseconds: whole or real numbers, dates and timestamps."""
    exact = (pa.types.is_integer, pa.types.is_floating, pa.types.is_timestamp, pa.types.is_date, pa.types.is_null)
    return any(check(kind) for check in exact)


def doubles(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Values as float64, timestamps and dates as UTC milliseconds; missing becomes NaN."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    wide: NDArray[np.float64] = column.cast(pa.float64(), safe=False).combine_chunks().to_numpy(zero_copy_only=False)
    return wide


def texts(column: pa.ChunkedArray) -> pa.Array:
    """Values as one Arrow string array without nulls; missing becomes the empty text."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if datatype_of(column.type) != TEXTS:
        raise InvalidInput(f"Texts are needed, and the column holds {column.type}.")
    return pc.fill_null(column.cast(pa.string()), "").combine_chunks()


def tensor(column: pa.ChunkedArray, datatype: str) -> NDArray[np.float32] | NDArray[np.float64] | NDArray[np.object_]:
    """The column as a tensor of shape [rows, 1]."""
    if datatype == TEXTS:
        return _objects(texts(column)).reshape(-1, 1)
    if datatype == MOMENTS:
        return doubles(column).reshape(-1, 1)
    return numbers(column).reshape(-1, 1)


def _objects(strings: pa.Array) -> NDArray[np.object_]:
    """Python texts, each different one made once: making them is what a column of texts costs."""
    if len(strings) < _WORTH_ENCODING:
        plain: NDArray[np.object_] = strings.to_numpy(zero_copy_only=False).astype(object)
        return plain
    encoded = strings.dictionary_encode()
    made: NDArray[np.object_] = encoded.dictionary.to_numpy(zero_copy_only=False).astype(object)
    taken: NDArray[np.object_] = made[encoded.indices.to_numpy()]
    return taken


_WORTH_ENCODING = 64
