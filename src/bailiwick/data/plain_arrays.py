"""Between Arrow and NumPy without `pa.array`, `pa.scalar` and `to_numpy`, which import pandas to ask for its types: 0.4 s and 40 MB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from bailiwick.core.deferred import deferred

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
else:
    np, pa = deferred("numpy"), deferred("pyarrow")

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


def no_rows(schema: pa.Schema) -> pa.Table:
    """A table of that schema."""
    return pa.Table.from_batches([], schema=schema)


def no_values(kind: pa.DataType) -> pa.Array:
    """An empty array of text or bytes."""
    return pa.Array.from_buffers(kind, 0, [None, pa.py_buffer(bytes(4)), pa.py_buffer(b"")])


def zero(kind: pa.DataType) -> pa.Scalar:
    """Zero, or the empty text: what stands where a value is missing."""
    buffers = [None, pa.py_buffer(bytes(16))]
    variable = pa.types.is_string(kind) or pa.types.is_binary(kind)
    return pa.Array.from_buffers(kind, 1, [*buffers, pa.py_buffer(b"")] if variable else buffers)[0]


def places(numbers: Numbers) -> pa.Array:
    """Whole numbers, to take values by."""
    plain = np.ascontiguousarray(numbers, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(plain), [None, pa.py_buffer(plain)])


def mask(flags: Numbers) -> pa.Array:
    """Truths, to filter values by."""
    return pa.Array.from_buffers(pa.bool_(), len(flags), [None, pa.py_buffer(np.packbits(flags, bitorder="little"))])


def numbers_of(values: pa.Array | pa.ChunkedArray) -> Numbers:
    """Numbers of which none is missing, not copied where they are one piece."""
    if isinstance(values, pa.ChunkedArray):
        pieces = [numbers_of(chunk) for chunk in values.chunks if len(chunk)]
        if len(pieces) != 1:
            return np.concatenate([np.empty(0, dtype=_dtype(values.type)), *pieces])
        return pieces[0]
    if not len(values):
        return np.empty(0, dtype=_dtype(values.type))
    return np.frombuffer(values.buffers()[1], dtype=_dtype(values.type), count=len(values) + values.offset)[
        values.offset :
    ]


def truths_of(values: pa.Array | pa.ChunkedArray) -> Numbers:
    """Truth values of which none is missing."""
    if isinstance(values, pa.ChunkedArray):
        return np.concatenate([np.empty(0, dtype=np.bool_), *map(truths_of, values.chunks)])
    if not len(values):
        return np.empty(0, dtype=np.bool_)
    octets = np.frombuffer(values.buffers()[1], dtype=np.uint8)
    return np.unpackbits(octets, count=values.offset + len(values), bitorder="little")[values.offset :].view(np.bool_)


def _dtype(kind: pa.DataType) -> str:
    letter = "f" if pa.types.is_floating(kind) else "u" if pa.types.is_unsigned_integer(kind) else "i"
    return f"<{letter}{kind.bit_width // 8}"
