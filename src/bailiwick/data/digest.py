"""The digest of a table: what the values are, not how they are laid out.

Each column is hashed as streams that chunk borders cannot show in: the positions of nulls, the lengths of lists and
strings, and the values end to end with nulls as zeros. The table's digest is that of the names, types and column hashes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from bailiwick.core.canonical import digest_of
from bailiwick.core.deferred import deferred
from bailiwick.data.arrow_types import is_list, storable, type_name

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np = deferred("numpy")
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")

FORMAT = "bailiwick.table.1"
_WORTH_THREADS = 1 << 20


def table_digest(table: pa.Table) -> str:
    """SHA-256 in hex over names, types, values and row order, after `storable` has settled the types.

    Chunking, row groups, dictionary encoding and offsets do not change it; any edit of a value, name, type or order does.
    """
    settled = storable(table)
    with RunningDigest(settled.schema) as running:
        running.update(settled)
        return running.hexdigest()


class RunningDigest:
    """The same digest, of rows that come in pieces of one storable schema; its size does not grow with them.

    Large pieces are fed by threads while the caller goes on; `close`, or the end of a `with` block, ends these.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = 0
        self._schema = schema
        self._streams = [_Stream(field.type) for field in schema]
        self._pool: ThreadPoolExecutor | None = None
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def update(self, rows: pa.Table) -> None:
        """Feed the next rows, which `storable` has settled but for text that may be dictionary-coded."""
        self._wait()
        self.rows += rows.num_rows
        if rows.nbytes < _WORTH_THREADS:
            for stream, column in zip(self._streams, rows.columns, strict=True):
                _feed(stream, column)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)  # hashing releases the interpreter lock
        pairs = zip(self._streams, rows.columns, strict=True)
        self._running = [self._pool.submit(_feed, stream, column) for stream, column in pairs]

    def hexdigest(self) -> str:
        """The digest of all rows so far."""
        self._wait()
        columns = [
            [field.name, type_name(field.type), digest_of(list(stream.digests()))]
            for field, stream in zip(self._schema, self._streams, strict=True)
        ]
        return digest_of({"format": FORMAT, "rows": self.rows, "columns": columns})

    def _wait(self) -> None:
        running, self._running = self._running, []
        for each in running:
            each.result()


def _feed(stream: _Stream, column: pa.ChunkedArray) -> None:
    for chunk in column.chunks:
        stream.feed(chunk.cast(pa.string()) if pa.types.is_dictionary(chunk.type) else chunk)


class _Stream:
    """Hashes of one nesting level: null positions, lengths, values, and one stream per child."""

    def __init__(self, arrow_type: pa.DataType) -> None:
        self.nulls = hashlib.sha256()
        self.lengths = hashlib.sha256()
        self.values = hashlib.sha256()
        self.rows = 0
        self.children = [_Stream(child) for child in _child_types(arrow_type)]

    def feed(self, chunk: pa.Array) -> None:
        if chunk.null_count:
            positions = np.flatnonzero(chunk.is_null().to_numpy(zero_copy_only=False)) + self.rows
            self.nulls.update(_int64(positions))
        self.rows += len(chunk)
        if is_list(chunk.type):
            self.lengths.update(_int64(pc.fill_null(pc.list_value_length(chunk), 0).to_numpy(zero_copy_only=False)))
            self.children[0].feed(chunk.flatten())
        elif pa.types.is_struct(chunk.type):
            for child, values in zip(self.children, chunk.flatten(), strict=True):
                child.feed(values)
        elif pa.types.is_string(chunk.type) or pa.types.is_binary(chunk.type):
            self._feed_text(chunk.fill_null("" if pa.types.is_string(chunk.type) else b""))
        else:
            self.values.update(_fixed_width(chunk))

    def _feed_text(self, chunk: pa.Array) -> None:
        _, offsets_buffer, data = chunk.buffers()
        if len(chunk) == 0:
            return
        offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        self.lengths.update(_int64(offsets[1:] - offsets[:-1]))
        if data is not None:
            self.values.update(memoryview(data)[offsets[0] : offsets[-1]])

    def digests(self) -> Iterator[str]:
        yield f"{self.rows}:{self.nulls.hexdigest()}:{self.lengths.hexdigest()}:{self.values.hexdigest()}"
        for child in self.children:
            yield from child.digests()


def _child_types(arrow_type: pa.DataType) -> list[pa.DataType]:
    if is_list(arrow_type):
        return [arrow_type.value_type]
    return [field.type for field in arrow_type] if pa.types.is_struct(arrow_type) else []


def _fixed_width(chunk: pa.Array) -> memoryview | bytes:
    """Little-endian bytes of numbers, booleans (a byte each), dates, instants and decimals; nulls are zeros."""
    if not len(chunk):
        return b""
    if pa.types.is_boolean(chunk.type):
        chunk = chunk.cast(pa.uint8())
    width = chunk.type.bit_width // 8
    integers = {1: pa.int8, 2: pa.int16, 4: pa.int32, 8: pa.int64}
    plain = chunk.view(pa.binary(16) if width == 16 else integers[width]())
    if plain.null_count:
        plain = plain.fill_null(bytes(16) if width == 16 else 0)
    start = plain.offset * width
    return memoryview(plain.buffers()[1])[start : start + len(plain) * width]


def _int64(numbers: np.ndarray[Any, Any]) -> memoryview:
    """Eight bytes each, little-endian."""
    return np.ascontiguousarray(numbers, dtype="<i8").data
