"""Delta tables: dataset snapshots, predictions, outcomes. One folder a table, no catalogue, readable by Spark and DuckDB.

Written without deletion vectors or column mapping, so that every Delta reader can open them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import Corrupted, InvalidInput, NotFound, Unavailable
from bailiwick.store.table_writer import Folder, TableWriter

if TYPE_CHECKING:
    import deltalake
    import pyarrow as pa
    from deltalake import exceptions
    from pyarrow import dataset, parquet
else:
    pa = deferred("pyarrow")
    parquet = deferred("pyarrow.parquet")
    deltalake, exceptions = deferred("deltalake"), deferred("deltalake.exceptions")

BATCH_ROWS = 65_536
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]*(/[a-z0-9][a-z0-9_.\-]*)*")


class DeltaTables:
    """Named Delta tables under one root (a folder or an object-store URL). Raises InvalidInput for one it cannot use."""

    def __init__(self, root: str) -> None:
        if "://" not in root and _ENCODED.search(root):  # delta-rs decodes some paths and not others
            raise InvalidInput(
                f"Tables cannot be kept in {root!r}: a folder on the way is called by a % and two hex digits.",
                hint="Choose another home or tables_url.",
            )
        self.root = root.rstrip("/")
        self._opened = threading.local()

    def location(self, name: str) -> str:
        """Folder or URL of a table. Raises InvalidInput for a name that could leave the root."""
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"Table name {name!r} may hold only a-z 0-9 _ . - and slashes between parts.")
        return f"{self.root}/{name}"

    def exists(self, name: str) -> bool:
        """Whether the table has been written."""
        return deltalake.DeltaTable.is_deltatable(self.location(name))

    def append(
        self, name: str, rows: pa.Table, *, partition_by: Sequence[str] = (), transaction: tuple[str, int] | None = None
    ) -> int:
        """Append and return the new table version. `transaction` = (application, version) is stored in the same commit,
        so that a writer that died can ask `transaction_version` what it had committed: exactly once.
        """
        location = self.location(name)
        properties = (
            deltalake.CommitProperties(app_transactions=[deltalake.Transaction(*transaction)]) if transaction else None
        )
        try:
            if "://" not in location:
                Path(location).mkdir(parents=True, exist_ok=True)
            deltalake.write_deltalake(
                location,
                rows,
                mode="append",
                partition_by=list(partition_by) or None,
                commit_properties=properties,
                schema_mode="merge",
            )
        except (exceptions.DeltaError, OSError) as error:
            raise Unavailable(
                f"Table {name} could not be written: {error}.", hint="Is the disk full? Nothing was committed."
            ) from error
        return self.version(name)

    def open(self, name: str, version: int | None = None) -> deltalake.DeltaTable:
        """The table at a version (newest by default). Raises NotFound.

        The newest is kept open, one a thread, and reads only the commits that have come since.
        """
        try:
            if version is None:
                return self._newest(name)
            return deltalake.DeltaTable(self.location(name), version=version)
        except exceptions.TableNotFoundError:
            raise NotFound.of("Table", name) from None
        except exceptions.DeltaError as error:
            raise NotFound(f"Table {name} has no version {version}: {error}.") from error

    def _newest(self, name: str) -> deltalake.DeltaTable:
        held: dict[str, deltalake.DeltaTable] = self._opened.__dict__
        table = held.get(name)
        if table is not None and self.exists(name):
            table.update_incremental()
        else:
            held.pop(name, None)
            table = held[name] = deltalake.DeltaTable(self.location(name))
        return table

    def read(self, name: str, *, version: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows as Arrow. Raises NotFound."""
        return self.open(name, version).to_pyarrow_table(columns=list(columns) if columns else None)

    def batches(
        self, name: str, *, version: int, columns: Sequence[str], rows: int = BATCH_ROWS, skip: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a version in the order that a `TableWriter` wrote them, in constant memory: at most `rows`, and
        about 16 MB, at a time. Of the first `skip` rows no file or row group is read that holds no other. Raises NotFound,
        Corrupted.
        """
        try:
            found = self.open(name, version).to_pyarrow_dataset()
            for fragment in sorted(found.get_fragments(), key=lambda each: str(each.path)):
                held = fragment.metadata.num_rows if skip else 0
                if held <= skip and skip:
                    skip -= held
                    continue
                yield from _streamed(fragment, found.schema, list(columns), rows, skip)
                skip = 0
        except (pa.ArrowException, OSError) as error:
            raise Corrupted(f"Table {name} cannot be read: {str(error).partition(chr(10))[0]}.") from error

    def writer(self, name: str, schema: pa.Schema) -> TableWriter:
        """Begin a table that does not exist yet; nobody sees it before `commit`."""
        return TableWriter(self.location(name), name, schema)

    def drop(self, name: str) -> None:
        """Remove a table with all of its files; one that is not there is no error."""
        Folder(self.location(name)).remove_all()

    def tables_in(self, name: str) -> list[str]:
        """Names of the folders just below `name`, committed tables or not."""
        return Folder(self.location(name)).folders()

    def version(self, name: str) -> int:
        """The newest version number. Raises NotFound."""
        return self.open(name).version()

    def transaction_version(self, name: str, application: str) -> int | None:
        """The version that `application` last committed to the table, or None."""
        if not self.exists(name):
            return None
        return self.open(name).transaction_version(application)


def _streamed(
    fragment: dataset.ParquetFileFragment, schema: pa.Schema, columns: list[str], rows: int, skip: int
) -> Iterator[pa.RecordBatch]:
    """A file's rows. A scanner reads ahead by rows, however long they are, so it is asked only where it alone can answer."""
    file = parquet.ParquetFile(fragment.open(), pre_buffer=False)
    wanted = pa.schema([schema.field(name) for name in columns])
    held = {field.name: field.type for field in file.schema_arrow}
    if not columns or any(held.get(field.name) != field.type for field in wanted):
        found = fragment.to_batches(
            schema=schema, columns=columns, batch_size=rows, use_threads=False, batch_readahead=1
        )
        yield from after(found, skip)
        return
    size, read_rows, read_bytes = min(rows, _FIRST_ROWS), 0, 1
    for group in range(file.num_row_groups):
        held = file.metadata.row_group(group).num_rows
        if held <= skip:
            skip -= held
            continue
        found = file.iter_batches(batch_size=size, row_groups=[group], columns=columns, use_threads=False)
        for batch in after(found, skip):
            skip = 0
            read_rows, read_bytes = read_rows + batch.num_rows, read_bytes + batch.nbytes
            yield pa.RecordBatch.from_arrays([batch.column(name) for name in columns], schema=wanted)
        size = max(1, min(rows, read_rows * _BATCH_BYTES // read_bytes))


def after(batches: Iterable[pa.RecordBatch], skip: int) -> Iterator[pa.RecordBatch]:
    """All but the first `skip` rows."""
    for batch in batches:
        if batch.num_rows > skip:
            yield batch.slice(skip)
        skip = max(0, skip - batch.num_rows)


_FIRST_ROWS = 8_192
_BATCH_BYTES = 16 << 20
