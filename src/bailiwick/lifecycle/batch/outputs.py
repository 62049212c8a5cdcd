"""Where answers go, and what of them is there already: files of a folder, or commits of a Delta table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import deltalake
import msgspec
import pyarrow as pa
from deltalake import exceptions

from bailiwick.core.errors import Conflict, Unavailable
from bailiwick.lifecycle.batch.encodings import ENCODINGS
from bailiwick.lifecycle.batch.folders import Folder
from bailiwick.lifecycle.batch.parts import Job, Part, digest_of_rows
from bailiwick.store import faults

STATE = "_bailiwick"
"""Folder of a job's own files within its output; readers of Parquet and Delta leave out what begins with _."""

_JOB = f"{STATE}/job.json"
_DONE = f"{STATE}/done.json"
_PART = re.compile(r"part-(\d{5,})\.[a-z]+")


class FileOutput:
    """`part-00000.parquet` and so on, in any order of time; `_bailiwick/` says which are whole, with their digests."""

    ordered = False

    def __init__(self, folder: Folder, job: Job, schema: pa.Schema) -> None:
        self._folder = folder
        self._schema = schema
        self._encoding = ENCODINGS[job.encoding]
        self._there = folder.sizes()
        _claim(folder, job, taken=any(_PART.fullmatch(name) or name.endswith(".parquet") for name in self._there))

    def done(self, number: int, rows: pa.Table) -> Part | None:
        """By its record and its file of that size."""
        record, size = self._record(number), self._there.get(self._name(number))
        found = self._folder.read(record) if record in self._there and size is not None else None
        try:
            part = None if found is None else msgspec.json.decode(found, type=Part)
        except msgspec.DecodeError:
            return None
        if part is None or part.bytes != size:
            return None
        if part.read != digest_of_rows(rows):
            raise _other_rows(number)
        return part

    def write(self, part: Part, rows: pa.Table) -> Part:
        """The file under its name, then its record."""
        answers = rows.cast(self._schema)
        written, size = self._folder.fill(self._name(part.number), lambda file: self._encoding.write(answers, file))
        faults.reach("batch.part.renamed")
        whole = msgspec.structs.replace(part, written=written, bytes=size)
        self._folder.put(self._record(part.number), msgspec.json.encode(whole))
        faults.reach("batch.part.recorded")
        return whole

    def finish(self, parts: list[Part]) -> None:
        """Say that it is whole, and remove what a killed run left half-written."""
        beyond = [name for name in self._there if (found := _PART.fullmatch(name)) and int(found[1]) >= len(parts)]
        if beyond:
            raise _other_rows(len(parts))
        self._folder.tidy()
        told = {"parts": parts, "rows": sum(each.rows for each in parts)}
        self._folder.put(_DONE, msgspec.json.encode(told))

    def _name(self, number: int) -> str:
        return f"part-{number:05d}.{self._encoding.ending}"

    def _record(self, number: int) -> str:
        return f"{STATE}/{number:05d}.json"


class DeltaOutput:
    """Commits in order, each with (job, number): a reader of the table sees every part that was written, once."""

    ordered = True

    def __init__(self, location: str, job: Job, schema: pa.Schema) -> None:
        self._location = location
        self._schema = schema
        self._job = f"bailiwick-score-{job.digest[:32]}"
        self._next = 0
        self._digests: dict[int, str] = {}
        with _committing(f"Delta table {location}"):
            if deltalake.DeltaTable.is_deltatable(location):
                self._resume(deltalake.DeltaTable(location))

    def done(self, number: int, rows: pa.Table) -> Part | None:
        """By the number that was committed last. Raises Conflict where the table's log says that it was of other rows."""
        if number >= self._next:
            return None
        if number in self._digests and self._digests[number] != digest_of_rows(rows):
            raise _other_rows(number, "Name the source otherwise, such as by its date, or another table.")
        return Part(number, rows.num_rows, "")

    def write(self, part: Part, rows: pa.Table) -> Part:
        """One commit."""
        known = deltalake.CommitProperties(
            app_transactions=[deltalake.Transaction(self._job, part.number)],
            custom_metadata={_READ: f"{self._job} {part.number} {part.read}"},
        )
        with _committing(f"Part {part.number}"):
            faults.reach("batch.part.committing")
            if "://" not in self._location:
                Path(self._location).mkdir(parents=True, exist_ok=True)
            deltalake.write_deltalake(
                self._location, rows.cast(self._schema), mode="append", schema_mode="merge", commit_properties=known
            )
            faults.reach("batch.part.committed")
        return part

    def finish(self, parts: list[Part]) -> None:
        """The last commit was it. Raises Conflict where an earlier run committed more than there is to score now."""
        if self._next > len(parts):
            raise _other_rows(len(parts), "Name the source otherwise, such as by its date, or another table.")

    def _resume(self, table: deltalake.DeltaTable) -> None:
        before = table.transaction_version(self._job)
        if before is None:
            return
        self._next = before + 1
        for commit in table.history():
            job, number, read = [*str(commit.get(_READ, "")).split(" "), "", "", ""][:3]
            if job == self._job:
                self._digests[int(number)] = read


_READ = "bailiwick.read"
"""In a commit's metadata: job, number and digest of the rows that the part was made of."""


@contextmanager
def _committing(what: str) -> Iterator[None]:
    try:
        yield
    except (exceptions.DeltaError, OSError, pa.ArrowException) as error:
        raise Unavailable(f"{what} could not be written: {error}.") from error


def clear(folder: Folder) -> None:
    """Remove the answers of an earlier job, and nothing else; its own files last, so that a killed clearing goes on."""
    there = folder.sizes()
    if not any(name.startswith(f"{STATE}/") for name in there):
        return
    for name in sorted(there, key=lambda each: (each.startswith(STATE), each == _JOB)):
        if _PART.fullmatch(name) or name.startswith(f"{STATE}/"):
            folder.remove(name)


def _claim(folder: Folder, job: Job, *, taken: bool) -> None:
    """The folder is this job's from now on. Raises Conflict where it is another's, or nobody's and not empty."""
    found = folder.read(_JOB)
    if found is None and taken:
        raise Conflict(f"{folder.name} holds files that no scoring wrote.", hint="Name another folder.")
    if found is None and folder.claim(_JOB, msgspec.json.encode(job)):
        return
    try:
        held = msgspec.json.decode(found or folder.read(_JOB) or b"", type=Job)
    except msgspec.DecodeError:
        held = None
    if held != job:
        raise Conflict(
            f"{folder.name} holds the answers of another model, source, format or choice of columns.",
            hint="Name another folder, or have it begun anew with --overwrite.",
        )


def _other_rows(number: int, hint: str = "Name another folder, or have it begun anew with --overwrite.") -> Conflict:
    return Conflict(f"The source has changed since part {number} was scored.", hint=hint)
