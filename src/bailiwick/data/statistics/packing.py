"""What was counted of rows, as bytes to be kept: read back it is equal, and merges with what is counted of later rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import Corrupted
from bailiwick.data.statistics.columns import ColumnPart
from bailiwick.data.statistics.counts import Numbers, Spread
from bailiwick.data.statistics.merging import Part
from bailiwick.data.statistics.texts import Texts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
else:
    np, pa = deferred("numpy"), deferred("pyarrow")

FORMAT = 1
MOST_BYTES = 64 << 20
"""What is larger is not worth keeping beside the rows: counting them again costs less than this does."""

_LARGEST = 1 << 30


class _Numbers(Struct, frozen=True, array_like=True):
    values: bytes
    counts: bytes
    nan: int
    low_infinity: int
    high_infinity: int
    zeros: int
    error: int
    spread: tuple[float, float, float, float, float] | None


class _Texts(Struct, frozen=True, array_like=True):
    kind: str
    values: bytes
    counts: bytes
    total: int
    size: int
    error: int
    hashes: bytes | None


class _Column(Struct, frozen=True, array_like=True):
    name: str
    kind: int
    present: int
    missing: int
    lengths: _Numbers
    numbers: _Numbers
    texts: _Texts
    sizes: _Numbers
    levels: tuple[tuple[int, _Numbers], ...]


class _Part(Struct, frozen=True):
    format: int
    rows: int
    columns: tuple[_Column, ...]


def pack(part: Part) -> bytes | None:
    """Its bytes; None where they are more than `MOST_BYTES`."""
    if 16 * sum(column.weight for column in part.columns.values()) > 4 * MOST_BYTES:
        return None
    columns = tuple(_packed(name, column) for name, column in part.columns.items())
    data = msgspec.msgpack.encode(_Part(FORMAT, part.rows, columns))
    packed = pa.compress(data, codec="zstd", asbytes=True)
    whole = len(data).to_bytes(8, "little") + packed
    return whole if len(whole) <= MOST_BYTES else None


def unpack(data: bytes) -> Part | None:
    """The same again; None for a format that is not known here. Raises Corrupted for what is none."""
    size = min(int.from_bytes(data[:8], "little"), _LARGEST)
    try:
        plain = pa.decompress(data[8:], decompressed_size=size, codec="zstd", asbytes=True)
        if msgspec.msgpack.decode(plain, type=dict[str, Any])["format"] != FORMAT:
            return None
        found = msgspec.msgpack.decode(plain, type=_Part)
        return Part(found.rows, {column.name: _unpacked(column) for column in found.columns})
    except (msgspec.MsgspecError, pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise Corrupted(f"This is not what was counted of rows: {str(error).partition(chr(10))[0]}.") from error


def _packed(name: str, column: ColumnPart) -> _Column:
    return _Column(
        name,
        column.kind,
        column.present,
        column.missing,
        _packed_numbers(column.lengths),
        _packed_numbers(column.numbers),
        _packed_texts(column.texts),
        _packed_numbers(column.sizes),
        tuple((missing, _packed_numbers(lengths)) for missing, lengths in column.levels),
    )


def _unpacked(column: _Column) -> ColumnPart:
    return ColumnPart(
        column.kind,
        column.present,
        column.missing,
        _unpacked_numbers(column.lengths),
        _unpacked_numbers(column.numbers),
        _unpacked_texts(column.texts),
        _unpacked_numbers(column.sizes),
        tuple((missing, _unpacked_numbers(lengths)) for missing, lengths in column.levels),
    )


def _packed_numbers(numbers: Numbers) -> _Numbers:
    told = numbers.spread
    return _Numbers(
        numbers.values.astype("<f8").tobytes(),
        numbers.counts.astype("<i8").tobytes(),
        numbers.nan,
        numbers.low_infinity,
        numbers.high_infinity,
        numbers.zeros,
        numbers.error,
        (told.count, told.low, told.high, told.mean, told.deviations) if told is not None else None,
    )


def _unpacked_numbers(packed: _Numbers) -> Numbers:
    return Numbers(
        np.frombuffer(packed.values, dtype="<f8"),
        np.frombuffer(packed.counts, dtype="<i8"),
        packed.nan,
        packed.low_infinity,
        packed.high_infinity,
        packed.zeros,
        packed.error,
        Spread(int(packed.spread[0]), *packed.spread[1:]) if packed.spread is not None else None,
    )


def _packed_texts(texts: Texts) -> _Texts:
    """Values end to end with their lengths: Arrow's own layout, whatever the array was cut from."""
    raw = texts.values.cast(pa.binary())
    lengths = np.array([len(value) for value in raw.to_pylist()], dtype="<i4")
    return _Texts(
        "text" if pa.types.is_string(texts.values.type) else "bytes",
        lengths.tobytes() + b"".join(raw.to_pylist()),
        texts.counts.astype("<i8").tobytes(),
        texts.total,
        texts.size,
        texts.error,
        None if texts.hashes is None else texts.hashes.astype("<u8").tobytes(),
    )


def _unpacked_texts(packed: _Texts) -> Texts:
    counts = np.frombuffer(packed.counts, dtype="<i8")
    lengths = np.frombuffer(packed.values[: 4 * len(counts)], dtype="<i4")
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(packed.values[4 * len(counts) :])]
    kind = pa.string() if packed.kind == "text" else pa.binary()
    values = pa.Array.from_buffers(kind, len(counts), buffers)
    values.validate(full=True)
    hashes = None if packed.hashes is None else np.frombuffer(packed.hashes, dtype="<u8")
    return Texts(values, counts, packed.total, packed.size, packed.error, hashes)
