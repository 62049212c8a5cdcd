"""A source cut into parts that are the same whenever it is read again, and what becomes of each of them.

What is done is on disk before the next thing depends on it: a Parquet file appears whole under its name; a part of a Delta
table is one commit that carries (job, number). So a job that was killed anywhere goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import deltalake
import msgspec
import pyarrow as pa
from deltalake import exceptions
from msgspec import Struct
from pyarrow import parquet

from bailiwick.core.errors import Conflict, Unavailable
from bailiwick.data.sources import Source
from bailiwick.store import faults

ROWS = 131_072
BYTES = 64 << 20
STATE = "_bailiwick"
"""Folder of a job's own files within its output; readers of Parquet and Delta leave out what begins with _."""


class Part(Struct, frozen=True):
    """`read` is the digest of the rows that were read, `written` that of the file; `bytes` is its size."""

    number: int
    rows: int
    read: str
    written: str = ""
    bytes: int = 0


class Job(Struct, frozen=True):
    """What a folder of answers is of. Another job does not go on where this one was."""

    package: str
    source: str
    columns: tuple[tuple[str, str], ...]
    keep: tuple[str, ...]
    rows: int
    bytes: int
    format: int = 1

    @property
    def digest(self) -> str:
        """Names the job."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


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


class ParquetFolder:
    """`part-00000.parquet` and so on, in any order of time; `_bailiwick/` says which are whole, with their digests."""

    ordered = False

    def __init__(self, folder: Path, job: Job, schema: pa.Schema) -> None:
        self._folder = folder
        self._state = folder / STATE
        self._schema = schema
        self._state.mkdir(parents=True, exist_ok=True)
        _claim(self._state, job, any(folder.glob("*.parquet")))

    def done(self, number: int, rows: pa.Table) -> Part | None:
        """By its record and its file of that size."""
        try:
            part = msgspec.json.decode((self._state / f"{number:05d}.json").read_bytes(), type=Part)
            whole = self._path(number).stat().st_size == part.bytes
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        if whole and part.read != digest_of_rows(rows):
            raise _other_rows(number)
        return part if whole else None

    def write(self, part: Part, rows: pa.Table) -> Part:
        """The file under its name, then its record."""
        temporary = self._folder / f".{part.number:05d}-{os.getpid()}"
        try:
            parquet.write_table(rows.cast(self._schema), temporary, compression="snappy")
            written = _synced_digest(temporary)
            faults.reach("batch.part.written")
            temporary.replace(self._path(part.number))
            faults.reach("batch.part.renamed")
            whole = msgspec.structs.replace(part, written=written, bytes=self._path(part.number).stat().st_size)
            _put(self._state / f"{part.number:05d}.json", msgspec.json.encode(whole))
            faults.reach("batch.part.recorded")
        except (OSError, pa.ArrowException) as error:
            temporary.unlink(missing_ok=True)
            raise Unavailable(f"Part {part.number} could not be written: {error}.", hint="Is the disk full?") from error
        return whole

    def finish(self, parts: list[Part]) -> None:
        """Remove what a killed run left half-written or beyond the end."""
        for path in self._folder.glob(".[0-9]*-*"):
            path.unlink(missing_ok=True)
        _put(self._state / "done.json", msgspec.json.encode({"parts": parts, "rows": sum(each.rows for each in parts)}))

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}.parquet"


class DeltaOutput:
    """Commits in order, each with (job, number): a reader of the table sees every part that was written, once."""

    ordered = True

    def __init__(self, location: str, job: Job, schema: pa.Schema) -> None:
        self._location = location
        self._schema = schema
        self._job = f"bailiwick-score-{job.digest[:32]}"
        there = deltalake.DeltaTable.is_deltatable(location)
        before = deltalake.DeltaTable(location).transaction_version(self._job) if there else None
        self._next = 0 if before is None else before + 1

    def done(self, number: int, rows: pa.Table) -> Part | None:
        """By the number that was committed last."""
        return Part(number, rows.num_rows, "") if number < self._next else None

    def write(self, part: Part, rows: pa.Table) -> Part:
        """One commit."""
        known = deltalake.CommitProperties(app_transactions=[deltalake.Transaction(self._job, part.number)])
        try:
            faults.reach("batch.part.committing")
            if "://" not in self._location:
                Path(self._location).mkdir(parents=True, exist_ok=True)
            deltalake.write_deltalake(
                self._location, rows.cast(self._schema), mode="append", schema_mode="merge", commit_properties=known
            )
            faults.reach("batch.part.committed")
        except (exceptions.DeltaError, OSError, pa.ArrowException) as error:
            raise Unavailable(f"Part {part.number} could not be written: {error}.") from error
        return part

    def finish(self, parts: list[Part]) -> None:
        """Nothing is left to do: the last commit was it."""


def _claim(state: Path, job: Job, taken: bool) -> None:  # noqa: FBT001 - whether files are there
    """The folder is this job's from now on. Raises Conflict where it is another's, or nobody's and not empty."""
    path = state / "job.json"
    if path.exists():
        try:
            held = msgspec.json.decode(path.read_bytes(), type=Job)
        except msgspec.DecodeError:
            held = None
        if held != job:
            raise Conflict(
                f"{state.parent} holds the answers of another model, source or choice of columns.",
                hint="Name another folder, or have it begun anew with --overwrite.",
            )
        return
    if taken:
        raise Conflict(f"{state.parent} holds Parquet files that no scoring wrote.", hint="Name another folder.")
    _put(path, msgspec.json.encode(job))


def _other_rows(number: int) -> Conflict:
    return Conflict(
        f"The source has changed since part {number} was scored.",
        hint="Name another folder, or have it begun anew with --overwrite.",
    )


def _put(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _synced_digest(path: Path) -> str:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
