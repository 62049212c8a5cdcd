"""A new Delta table written as a stream: Parquet files first, one commit last.

delta-rs's own writer takes a stream too, but hands its batches to several tasks and so keeps their order only within one
file; a snapshot's digest is one of order. Files that no commit names are invisible to every reader of Delta.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from bailiwick.core.clock import system_clock
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import AlreadyExists, Unavailable

if TYPE_CHECKING:
    import deltalake
    import obstore
    import pyarrow as pa
    from deltalake import exceptions, transaction
    from obstore import store as stores
    from pyarrow import compute, parquet
else:
    deltalake, exceptions = deferred("deltalake"), deferred("deltalake.exceptions")
    transaction, stores, obstore = deferred("deltalake.transaction"), deferred("obstore.store"), deferred("obstore")
    pa, parquet, compute = deferred("pyarrow"), deferred("pyarrow.parquet"), deferred("pyarrow.compute")

FILE_BYTES = 256 << 20
_GROUP_ROWS = 262_144
_GROUP_BYTES = 64 << 20
_LOOKED_AT, _SHARE = 1 << 15, 3
"""Values of a column are kept by number where fewer than one in `_SHARE` of its first ones are different."""


class Folder:
    """Where a table's files are: a folder of this machine, or a prefix of an object store."""

    def __init__(self, location: str) -> None:
        self._path = None if "://" in location else Path(location)
        self._store: Any = stores.from_url(location) if "://" in location else None

    def open(self, name: str) -> Any:
        """A new file to write to."""
        if self._path is not None:
            self._path.mkdir(parents=True, exist_ok=True)
            return (self._path / name).open("xb")
        return _Sink(obstore.open_writer(self._store, name))

    def remove(self, name: str) -> None:
        """Remove a file that may be there."""
        if self._path is not None:
            (self._path / name).unlink(missing_ok=True)
        else:
            with suppress(FileNotFoundError):
                obstore.delete(self._store, name)

    def remove_all(self) -> None:
        """Remove everything."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            return
        for chunk in obstore.list(self._store):
            obstore.delete(self._store, [str(found["path"]) for found in chunk])

    def folders(self) -> list[str]:
        """Names of the folders in it."""
        if self._path is not None:
            return sorted(each.name for each in self._path.iterdir() if each.is_dir()) if self._path.is_dir() else []
        return sorted(
            str(prefix).rpartition("/")[2] for prefix in obstore.list_with_delimiter(self._store)["common_prefixes"]
        )


class _Sink:
    """obstore's writer as the kind of file that Arrow writes to."""

    closed = False

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.size = 0

    def write(self, data: Any) -> int:
        self._writer.write(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._writer.close()


class TableWriter:
    """One table being written. Leaving the block without `commit` removes what was written."""

    def __init__(self, location: str, name: str, schema: pa.Schema) -> None:
        self._location = location
        self._name = name
        self._schema = schema
        self._folder = Folder(location)
        self._files: list[transaction.AddAction] = []
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = self._file_rows = self._file_bytes = 0
        self._file: Any = None
        self._writer: parquet.ParquetWriter | None = None
        self._written_as = schema
        self._path = ""
        self._done = False
        self._to_disk = ThreadPoolExecutor(max_workers=1)
        self._syncing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._done:
            self.discard()

    def write(self, rows: pa.Table) -> None:
        """Append rows of the table's schema, in which text may be dictionary-coded. Raises Unavailable when the disk is full."""
        rows = _with_plain_codes(rows)
        if self._held and rows.schema != self._held[0].schema:
            self._flush()
        self._held.append(rows)
        self._held_rows += rows.num_rows
        self._held_bytes += rows.nbytes
        if self._held_rows >= _GROUP_ROWS or self._held_bytes >= _GROUP_BYTES:
            self._flush()

    def commit(self, *, application: str) -> None:
        """Make all of it version 0 at once. Raises AlreadyExists where another writer was first, Unavailable."""
        if self._held_rows:
            self._flush()
        self._close_file()
        try:
            if "://" not in self._location:
                Path(self._location).mkdir(parents=True, exist_ok=True)
            transaction.create_table_with_add_actions(
                self._location,
                deltalake.Schema.from_arrow(self._schema),
                self._files,
                mode="error",
                commit_properties=deltalake.CommitProperties(app_transactions=[deltalake.Transaction(application, 0)]),
            )
        except (exceptions.CommitFailedError, exceptions.DeltaError, OSError) as error:
            if deltalake.DeltaTable.is_deltatable(self._location):
                raise AlreadyExists(f"Table {self._name} was written by another process meanwhile.") from error
            raise self._refused(error) from error
        self._done = True
        self._to_disk.shutdown()

    def discard(self) -> None:
        """Remove the files that were written; those of other writers stay."""
        self._to_disk.shutdown(cancel_futures=True)
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException, ValueError):
                self._writer.close()
        if self._file is not None:
            with suppress(OSError, ValueError):
                self._file.close()
            self._folder.remove(self._path)
        for action in self._files:
            self._folder.remove(action.path)
        self._done = True

    def _flush(self) -> None:
        rows = pa.concat_tables(self._held).unify_dictionaries()
        self._held, self._held_rows, self._held_bytes = [], 0, 0
        try:
            if self._writer is None:
                self._path = f"part-{len(self._files):05d}-{uuid4()}.parquet"
                self._file = self._folder.open(self._path)
                self._writer = self._made_for(rows)
            self._writer.write_table(_as(rows, self._written_as), row_group_size=_GROUP_ROWS)
            self._file_rows += rows.num_rows
            self._file_bytes += rows.nbytes
            self._sync()
        except (OSError, pa.ArrowException) as error:
            raise self._refused(error) from error
        if self._file_bytes >= FILE_BYTES:
            self._close_file()

    def _made_for(self, rows: pa.Table) -> parquet.ParquetWriter:
        """Text that comes by number is written so, whatever the table's schema says, which Parquet does not tell apart.

        Least and most of texts are not kept: they may be of people, and nobody looks for rows by them.
        """
        self._written_as = rows.schema
        leaves = list(_leaves_of(rows))
        return parquet.ParquetWriter(
            self._file,
            rows.schema,
            compression="snappy",
            store_schema=False,
            use_dictionary=[path for path, values in leaves if _repeats(values)],
            write_statistics=[path for path, values in leaves if not _is_text(values.type)],
        )

    def _sync(self) -> None:
        """Begin to bring what was written to the disk, so that there is little left to wait for at the end."""
        if self._syncing is not None and not self._syncing.done():
            return
        if self._syncing is not None:
            self._syncing.result()
        if not isinstance(self._file, _Sink):
            self._file.flush()
            self._syncing = self._to_disk.submit(os.fdatasync, self._file.fileno())

    def _close_file(self) -> None:
        if self._writer is None:
            return
        try:
            self._writer.close()
            if self._syncing is not None:
                self._syncing.result()
            size = self._file.size if isinstance(self._file, _Sink) else _synced(self._file)
            self._file.close()
        except (OSError, pa.ArrowException) as error:
            raise self._refused(error) from error
        statistics = json.dumps({"numRecords": self._file_rows})
        self._files.append(transaction.AddAction(self._path, size, {}, system_clock(), True, statistics))
        self._writer = self._file = self._syncing = None
        self._file_rows = self._file_bytes = 0

    def _refused(self, error: Exception) -> Unavailable:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
        return Unavailable(
            f"Table {self._name} could not be written: {reason}.", hint="Is the disk full? Nothing was committed."
        )


def _synced(file: Any) -> int:
    file.flush()
    os.fsync(file.fileno())
    return int(file.tell())


def _with_plain_codes(rows: pa.Table) -> pa.Table:
    """Coded text as Parquet takes it: 32-bit places in a dictionary of strings, none of them null."""
    for place, column in enumerate(rows.columns):
        if not pa.types.is_dictionary(column.type):
            continue
        kept = column.type.value_type
        if any(chunk.dictionary.null_count for chunk in column.chunks):
            rows = rows.set_column(place, rows.field(place).name, column.cast(kept).cast(pa.string()))
        elif column.type != pa.dictionary(pa.int32(), pa.string()):
            rows = rows.set_column(place, rows.field(place).name, column.cast(pa.dictionary(pa.int32(), pa.string())))
    return rows


def _as(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Later rows as the first were: coded or plain."""
    for place, (column, field) in enumerate(zip(rows.columns, schema, strict=True)):
        if column.type != field.type:
            coded = pa.types.is_dictionary(field.type)
            rows = rows.set_column(place, field, column.dictionary_encode() if coded else column.cast(field.type))
    return rows


def _leaves_of(rows: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Parquet's path of each column of plain values, and the first of these."""
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        yield from _leaves(name, column.slice(0, _LOOKED_AT))


def _leaves(path: str, values: pa.ChunkedArray) -> Iterator[tuple[str, pa.ChunkedArray]]:
    kind = values.type
    if pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.{kind.value_field.name}", compute.list_flatten(values))
    elif pa.types.is_struct(kind):
        for field, inner in zip(kind, values.flatten(), strict=True):
            yield from _leaves(f"{path}.{field.name}", inner)
    else:
        yield path, values


def _repeats(values: pa.ChunkedArray) -> bool:
    if pa.types.is_dictionary(values.type):
        return True
    some = values.slice(0, _LOOKED_AT)
    return bool(_SHARE * len(some.unique()) < len(some))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind))
