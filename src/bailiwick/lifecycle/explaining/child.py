"""The process that explains: given a package and rows as files, and nothing else; it writes what it found as one file.

python -m bailiwick.lifecycle.explaining.child FOLDER
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.explaining.answering import Answered, answer
from bailiwick.lifecycle.explaining.model import Asked
from bailiwick.lifecycle.explaining.subject import GraphSubject, Rows

REFUSED = 3
"""Exit status of a request that cannot be met; `refusal` has the words."""


class Request(msgspec.Struct, frozen=True):
    """`near` rows after the first are neighbours, the rest the sample; of `rows.arrow`."""

    asked: Asked
    near: int
    seconds: float
    memory_bytes: int
    threads: int


def work(folder: Path) -> Answered:
    """What FOLDER asks for."""
    request = msgspec.json.decode((folder / "request.json").read_bytes(), type=Request)
    resource.setrlimit(resource.RLIMIT_DATA, (request.memory_bytes, request.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    subject = GraphSubject(
        (folder / "package").read_bytes(), request.asked.output, request.asked.index, threads=request.threads
    )
    with pa.memory_map(str(folder / "rows.arrow")) as file:
        rows = from_arrow(pa.ipc.open_file(file).read_all())
    near = _part(rows, 1, 1 + request.near) if request.near else None
    return answer(
        subject, _part(rows, 0, 1), _part(rows, 1 + request.near, None), near, request.asked, seconds=request.seconds
    )


def to_arrow(rows: Rows) -> pa.Table:
    """As the child reads them."""
    return pa.table(
        {
            name: pa.array(values.tolist(), pa.string()) if values.dtype == object else pa.array(values)
            for name, values in rows.items()
        }
    )


def from_arrow(table: pa.Table) -> Rows:
    """Numbers as float64, texts as objects."""
    return {
        name: np.array(table[name].to_pylist(), dtype=object)
        if pa.types.is_string(table[name].type)
        else np.array(table[name].to_numpy(zero_copy_only=False), np.float64)
        for name in table.column_names
    }


def _part(rows: Rows, start: int, end: int | None) -> Rows:
    return {name: values[start:end] for name, values in rows.items()}


def main() -> None:
    """Exit status 0 with `answer.json`, or 3 with `refusal`."""
    folder = Path(sys.argv[1])
    try:
        answered = work(folder)
    except BailiwickError as error:
        (folder / "refusal").write_text(error.message, encoding="utf-8")
        sys.exit(REFUSED)
    except MemoryError:
        (folder / "refusal").write_text("It needs more memory than an explanation may have.", encoding="utf-8")
        sys.exit(REFUSED)
    temporary = folder / ".answer.json"
    temporary.write_bytes(msgspec.json.encode(answered))
    temporary.rename(folder / "answer.json")


if __name__ == "__main__":
    main()
