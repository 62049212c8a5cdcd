"""Snapshots as files for others: written aside, checked against the digest, then put in place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
from pyarrow import ipc, parquet

from bailiwick.core.errors import AlreadyExists, Corrupted, InvalidInput, Unavailable
from bailiwick.core.ids import new_id
from bailiwick.data.arrow_types import storable, type_name
from bailiwick.data.digest import WHOLE, RunningDigest

FORMATS = {"parquet": ".parquet", "csv": ".csv", "arrow": ".arrow"}


def write_file(path: Path, kind: str, empty: pa.Table, batches: Iterator[pa.RecordBatch], digest: str) -> None:
    """All rows to `path`, in constant memory. Raises Corrupted when they are not those of `digest`; then there is no file."""
    kind = kind or next((name for name, ending in FORMATS.items() if path.name.endswith(ending)), "")
    if kind not in FORMATS:
        raise InvalidInput.choice("Export format", kind or path.suffix, FORMATS)
    if kind == "csv":
        _refuse_beyond_text(empty.schema)
    if path.exists():
        raise AlreadyExists(f"File {path} exists.", hint="Name another, or remove it.")
    if not path.parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: {path.parent} is not a folder.")
    aside = path.with_name(f".{path.name}.{new_id()}")
    try:
        with (
            RunningDigest(empty.schema) as running,
            RunningDigest(empty.schema, block_rows=WHOLE) as earlier,
            _writer(aside, kind, empty.schema) as writer,
        ):
            for batch in batches:
                rows = storable(pa.Table.from_batches([batch]))
                running.update(rows)
                earlier.update(rows)
                writer.write_table(rows)
            found, as_earlier = running.hexdigest(), earlier.hexdigest()
        if digest not in {found, as_earlier}:
            raise Corrupted(f"The rows have the digest {found}; the snapshot was kept with {digest}.")
        os.link(aside, path)
    except FileExistsError:
        raise AlreadyExists(f"File {path} exists.", hint="Name another, or remove it.") from None
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unavailable(f"{path} could not be written: {reason}.", hint="Is the disk full?") from error
    finally:
        aside.unlink(missing_ok=True)


def _refuse_beyond_text(schema: pa.Schema) -> None:
    for field in schema:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            raise InvalidInput(
                f"Column {field.name!r} is {type_name(field.type)}, which CSV has no form for.",
                hint="Export to .parquet or .arrow.",
            )


@contextmanager
def _writer(path: Path, kind: str, schema: pa.Schema) -> Iterator[Any]:
    with path.open("wb") as file:
        if kind == "parquet":
            made = parquet.ParquetWriter(file, schema)
        elif kind == "arrow":
            made = ipc.new_file(file, schema)
        else:
            made = arrow_csv.CSVWriter(file, schema)
        with made as writer:
            yield writer
        file.flush()
        os.fsync(file.fileno())
