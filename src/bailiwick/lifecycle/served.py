"""What an endpoint was asked, as one side of a comparison: the logged inputs under the names that training knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import NotFound
from bailiwick.data.skew import Side
from bailiwick.lifecycle.platform import Platform

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")

_INPUT = "in_"
_ANSWERED = 200


def served_side(platform: Platform, workspace: str, endpoint: str) -> Side:
    """The answered predictions of an endpoint: its inputs, and the log's own columns (`unit`, `prediction_id`, `time` …).

    An input of the same name hides a column of the log. Raises NotFound where nothing is logged yet.
    """
    platform.endpoints.endpoint(workspace, endpoint)
    name = platform.logs.of(workspace).predictions_table(endpoint)
    if not platform.tables.exists(name):
        raise NotFound(f"Endpoint {endpoint!r} has answered nothing yet, or nothing that was shipped to the log.")
    table = platform.tables.open(name)
    version, schema = table.version(), table.to_pyarrow_dataset().schema
    inputs = {column.removeprefix(_INPUT): column for column in schema.names if column.startswith(_INPUT)}
    own = {column: column for column in schema.names if not column.startswith(_INPUT) and column not in inputs}
    stored = own | inputs

    def read(columns: list[str]) -> pa.RecordBatchReader:
        wanted = [stored[column] for column in columns]
        renamed = pa.schema([(column, schema.field(stored[column]).type) for column in columns])

        def batches() -> Iterator[pa.RecordBatch]:
            both = list(dict.fromkeys([*wanted, "status"]))
            for batch in platform.tables.batches(name, version=version, columns=both):
                rows = pa.Table.from_batches([batch])
                answered = rows.filter(pc.equal(rows["status"], _ANSWERED)).select(wanted)
                yield from answered.rename_columns(columns).cast(renamed).to_batches()

        return pa.RecordBatchReader.from_batches(renamed, batches())

    return Side(f"endpoint {endpoint}", tuple(stored), read)
