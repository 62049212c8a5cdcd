"""The digest of a table: what the values are, not how they are laid out.

Rows are cut into blocks of a fixed number. Of a block each column is hashed as streams that chunk borders cannot show in: the
positions of nulls, the lengths of lists and strings, and the values end to end with nulls as zeros; the block's digest is
that of the names, types and column hashes. One block's digest is the table's; those of several are chained, so that
the digest of more rows goes on from the last whole block.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from bailiwick.core.canonical import digest_of
from bailiwick.core.deferred import deferred
from bailiwick.data.arrow_types import is_list, storable, type_name
from bailiwick.data.plain_arrays import numbers_of, truths_of, zero

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np = deferred("numpy")
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")

FORMAT, CHAINED = "bailiwick.table.1", "bailiwick.table.2"
BLOCK_ROWS = 1 << 16
WHOLE = sys.maxsize
"""As `block_rows`: all rows are one block, as they were in digests that earlier versions stored."""

_WORTH_THREADS = 1 << 20


class Digested(Struct, frozen=True):
    """How far a digest got: `rows` in whole blocks, and the chain of these. It tells nothing of the values."""

    rows: int
    chain: str


def table_digest(table: pa.Table, *, block_rows: int = BLOCK_ROWS) -> str:
    """SHA-256 in hex over names, types, values and row order, after `storable` has settled the types.

    Chunking, row groups, dictionary encoding and offsets do not change it; any edit of a value, name, type or order does.
    """
    settled = storable(table)
    with RunningDigest(settled.schema, block_rows=block_rows) as running:
        running.update(settled)
        return running.hexdigest()


class RunningDigest:
    """The same digest, of rows that come in pieces of one storable schema; its size does not grow with them.

    It goes on `after` rows that were digested before and are not given again. Large pieces are fed by threads while
    the caller goes on; `close`, or the end of a `with` block, ends these.
    """

    def __init__(self, schema: pa.Schema, *, after: Digested | None = None, block_rows: int = BLOCK_ROWS) -> None:
        self.rows = after.rows if after else 0
        self._schema = schema
        self._block_rows = block_rows
        self._blocks = self.rows // block_rows
        self._chain = after.chain if after else ""
        self._newest = ""
        self._open = _Block(schema)
        self._whole: list[_Block] = []
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
        if rows.nbytes >= _WORTH_THREADS and self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)  # hashing releases the interpreter lock
        self._feed(rows, self._pool if rows.nbytes >= _WORTH_THREADS else None)

    def hexdigest(self) -> str:
        """The digest of all rows so far."""
        self._wait()
        if not self._open.rows and self._blocks == 1:
            return self._newest
        last = self._open.digest(self._schema)
        if not self._blocks:
            return last
        chain = _linked(self._chain, last) if self._open.rows else self._chain
        return digest_of({"format": CHAINED, "rows": self.rows, "blocks": chain})

    def digested(self) -> Digested:
        """What more rows can go on from, once those past its `rows` are given again."""
        self._wait()
        return Digested(self._blocks * self._block_rows, self._chain)

    def _feed(self, rows: pa.Table, pool: ThreadPoolExecutor | None) -> None:
        while rows.num_rows:
            piece = rows.slice(0, self._block_rows - self._open.rows)
            rows = rows.slice(piece.num_rows)
            pairs = zip(self._open.streams, piece.columns, strict=True)
            if pool is None:
                for stream, column in pairs:
                    _feed(stream, column)
            else:
                self._running += [pool.submit(_feed, stream, column) for stream, column in pairs]
            self._open.rows += piece.num_rows
            if self._open.rows == self._block_rows:
                self._whole.append(self._open)
                self._open = _Block(self._schema)

    def _wait(self) -> None:
        running, self._running = self._running, []
        for each in running:
            each.result()
        whole, self._whole = self._whole, []
        for block in whole:
            self._newest = block.digest(self._schema)
            self._chain = _linked(self._chain, self._newest)
            self._blocks += 1


class _Block:
    """The rows of one block so far."""

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = 0
        self.streams = [_Stream(field.type) for field in schema]

    def digest(self, schema: pa.Schema) -> str:
        columns = [
            [field.name, type_name(field.type), digest_of(list(stream.digests()))]
            for field, stream in zip(schema, self.streams, strict=True)
        ]
        return digest_of({"format": FORMAT, "rows": self.rows, "columns": columns})


def _linked(chain: str, digest: str) -> str:
    return hashlib.sha256(f"{chain}{digest}".encode()).hexdigest()


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
            positions = np.flatnonzero(truths_of(chunk.is_null())) + self.rows
            self.nulls.update(_int64(positions))
        self.rows += len(chunk)
        if is_list(chunk.type):
            self.lengths.update(_int64(numbers_of(pc.list_value_length(chunk).fill_null(zero(pa.int32())))))
            self.children[0].feed(chunk.flatten())
        elif pa.types.is_struct(chunk.type):
            for child, values in zip(self.children, chunk.flatten(), strict=True):
                child.feed(values)
        elif pa.types.is_string(chunk.type) or pa.types.is_binary(chunk.type):
            self._feed_text(chunk.fill_null(zero(chunk.type)))
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
        plain = plain.fill_null(zero(plain.type))
    start = plain.offset * width
    return memoryview(plain.buffers()[1])[start : start + len(plain) * width]


def _int64(numbers: np.ndarray[Any, Any]) -> memoryview:
    """Eight bytes each, little-endian."""
    return np.ascontiguousarray(numbers, dtype="<i8").data
