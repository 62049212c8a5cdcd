"""A source cut into parts that are the same whenever it is read again, and what becomes of each of them.

What is done is kept before the next thing depends on it: a file appears whole under its name, on a disk and in an object
store; a part of a Delta table is one commit that carries (job, number). So a job that was killed anywhere goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
import pyarrow as pa
from msgspec import Struct

from bailiwick.data.sources import Source

ROWS = 131_072
BYTES = 64 << 20


class Part(Struct, frozen=True):
    """`read` is the digest of the rows that were read, `written` that of the file; `bytes` is its size."""

    number: int
    rows: int
    read: str
    written: str = ""
    bytes: int = 0


class Job(Struct, frozen=True):
    """What a folder of answers is of. Another job does not go on where this one was. `params` are JSON."""

    package: str
    source: str
    columns: tuple[tuple[str, str], ...]
    keep: tuple[str, ...]
    rows: int
    bytes: int
    format: int = 1
    encoding: str = "parquet"
    params: str = ""

    @property
    def digest(self) -> str:
        """Names the job; of Parquet and without params, as before there was anything else."""
        told = msgspec.to_builtins(self)
        if self.encoding == "parquet":
            del told["encoding"]
        if not self.params:
            del told["params"]
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def cut(source: Source, *, rows: int = ROWS, size: int = BYTES) -> Iterator[pa.Table]:
    """Tables of about so many rows, or bytes, cut where the source's batches end or at exactly so many rows."""
    held: list[pa.RecordBatch] = []
    count = weight = 0
    for whole in source:
        batch = whole
        while batch.num_rows:
            taken = batch.slice(0, rows - count)
            held.append(taken)
            count, weight = count + taken.num_rows, weight + taken.nbytes
            batch = batch.slice(taken.num_rows)
            if count >= rows or weight >= size:
                yield pa.Table.from_batches(held)
                held, count, weight = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)


class _Digest:
    """A file that only hashes what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        self.closed = True


def digest_of_rows(rows: pa.Table) -> str:
    """Of the values as they lie in memory: equal for the same source read in the same way."""
    sink = _Digest()
    with pa.PythonFile(sink, "w") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows)
    return sink.hash.hexdigest()


class Output(Protocol):
    """Where answers go. `ordered` says that parts must be written one after another."""

    ordered: bool

    def done(self, number: int, rows: pa.Table) -> Part | None:
        """The part of these rows, where it is written. Raises Conflict where it is of other rows."""
        ...

    def write(self, part: Part, rows: pa.Table) -> Part:
        """Keep the part, once and whole. Raises Unavailable."""
        ...

    def finish(self, parts: list[Part]) -> None:
        """All of it is there."""
        ...
