"""Files that say their types themselves: Parquet, Arrow IPC, and Delta tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import deltalake
import pyarrow as pa
from deltalake import exceptions
from pyarrow import ipc, parquet

from bailiwick.core.errors import InvalidInput
from bailiwick.data.reading.model import BATCH_ROWS, one_of_each
from bailiwick.data.reading.places import Place

_FILE_MAGIC = b"ARROW1"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class ParquetReader:
    """One Parquet file; only the chosen columns' bytes are read."""

    def __init__(self, place: Place) -> None:
        self.name = place.name
        self._place = place

    def schema(self) -> pa.Schema:
        """From the footer."""
        with _named(self.name), parquet.ParquetFile(self._place.opened()) as file:
            schema = file.schema_arrow
        one_of_each(schema.names, self.name)
        return schema.remove_metadata()

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Row group by row group."""
        del schema
        with _named(self.name), parquet.ParquetFile(self._place.opened(), pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))

    def coded_batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The same rows, text that the file keeps as numbers of a dictionary left so, which is several times faster."""
        with _named(self.name):
            with parquet.ParquetFile(self._place.opened(), pre_buffer=False) as file:
                coded = _coded(file)
            with parquet.ParquetFile(self._place.opened(), pre_buffer=False, read_dictionary=coded) as file:
                yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))


class ArrowReader:
    """One Arrow IPC file or stream; its first bytes say which."""

    def __init__(self, place: Place) -> None:
        self.name = place.name
        self._place = place

    def schema(self) -> pa.Schema:
        """From the header."""
        with _named(self.name), self._opened(self._place.opened()) as reader:
            schema = reader.schema
        one_of_each(schema.names, self.name)
        return schema.remove_metadata()

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batch by batch, as they were written."""
        del schema
        with _named(self.name), self._opened(self._place.opened()) as reader:
            if isinstance(reader, ipc.RecordBatchFileReader):
                found = (reader.get_batch(index) for index in range(reader.num_record_batches))
            else:
                found = iter(reader)
            for batch in found:
                yield batch.select(list(columns))

    @staticmethod
    def _opened(file: Any) -> Any:
        begins = file.read(len(_FILE_MAGIC))
        file.seek(0)
        return ipc.open_file(file) if begins == _FILE_MAGIC else ipc.open_stream(file)


class DeltaReader:
    """A Delta table at one version, which stays what it is while others write."""

    def __init__(self, location: str, version: int | None) -> None:
        self.name = location
        try:
            self._table = deltalake.DeltaTable(location, version=version)
        except (exceptions.DeltaError, OSError) as error:
            at = "" if version is None else f" at version {version}"
            raise InvalidInput(f"{location} cannot be read as a Delta table{at}: {_reason(error)}.") from error
        self.version = self._table.version()
        try:
            with _named(self.name):
                self._dataset = self._table.to_pyarrow_dataset()
        except exceptions.DeltaProtocolError as error:
            needs = ", ".join(self._table.protocol().reader_features or ["a later protocol"])
            raise InvalidInput(
                f"{location} is a Delta table that needs {needs} of its readers, which is not known here.",
                hint="Copy it without, e.g. `CREATE TABLE … AS SELECT` with delta.enableDeletionVectors and "
                "delta.columnMapping.mode off, or compute where it is with `--engine spark`.",
            ) from error

    def schema(self) -> pa.Schema:
        """From the log."""
        return self._dataset.schema.remove_metadata()

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """File by file in order of name, so that the same version is always read in the same order."""
        del schema
        with _named(self.name):
            for fragment in sorted(self._dataset.get_fragments(), key=lambda each: str(each.path)):
                yield from fragment.to_batches(
                    schema=self._dataset.schema, columns=list(columns), batch_size=BATCH_ROWS, use_threads=False
                )


def _coded(file: parquet.ParquetFile) -> list[str]:
    """Columns of text of which every row group takes so little that its values are hardly there but in a dictionary."""
    texts = [
        field.name
        for field in file.schema_arrow
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    places = {file.metadata.schema.column(i).path: i for i in range(file.metadata.num_columns)}
    groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
    chunks = {name: [group.column(places[name]) for group in groups] for name in texts if name in places}
    return [name for name, found in chunks.items() if all(map(_is_dictionary, found))]


def _is_dictionary(chunk: Any) -> bool:
    """Plain text takes four bytes a value and more."""
    return bool(chunk.has_dictionary_page and chunk.total_uncompressed_size < 4 * chunk.num_values)


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInput(f"{name} cannot be read: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """The first line, without what libraries add for their authors."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _COLOURS.sub("", str(error)).strip().partition("\n")[0].rstrip(" .")
