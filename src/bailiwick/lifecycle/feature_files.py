"""Features fitted to any source, and made into a file or a Delta table, batch by batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import deltalake
import pyarrow as pa
from deltalake import exceptions
from pyarrow import parquet

from bailiwick.core.errors import AlreadyExists, InvalidInput, Unavailable
from bailiwick.core.ids import new_id
from bailiwick.data.sources import Source
from bailiwick.features.fitting import Fitting
from bailiwick.features.graph import FeatureGraph, lists_of
from bailiwick.features.labels import labels_of
from bailiwick.features.model import FeatureSpec, FittedFeatures

EXISTING = ("new", "replace", "append")


def fit_source(
    source: Source, specs: Sequence[FeatureSpec], *, label: str = "", positive: object = 1
) -> FittedFeatures:
    """The features, fitted on all rows in one pass. Raises InvalidInput as `fit_features`."""
    fitting, start = Fitting(specs, source.schema), 0
    if fitting.needs_labels and not label:
        raise InvalidInput("A target-encoded feature is fitted with labels; name the label's column.")
    for batch in source:
        rows = pa.Table.from_batches([batch])
        labels = labels_of(rows, column=label, positive=positive) if fitting.needs_labels else None
        fitting.update(rows, start=start, labels=labels)
        start += rows.num_rows
    return fitting.finish()


def transform_source(
    source: Source, graph: bytes, target: str, *, keep: Sequence[str], column: str, existing: str
) -> int:
    """Write the `keep` columns and a list of floats a row to `target`, `delta:PATH` or a Parquet file; how many rows.

    Raises InvalidInput as `FeatureGraph.run`, AlreadyExists where there is something and `existing` is `new`, Unavailable.
    """
    if existing not in EXISTING:
        raise InvalidInput.choice("What becomes of what exists", existing, EXISTING)
    runs = FeatureGraph(graph, threads=max(1, len(os.sched_getaffinity(0))))
    for name in (*runs.inputs, *keep):
        if name not in source.schema.names:
            raise InvalidInput.choice("Column", name, source.schema.names)
    if column in keep:
        raise InvalidInput(f"Column {column!r} is kept and would be made.", hint="Give what is made another name.")
    made = pa.field(column, pa.list_(pa.float32()))
    schema = pa.schema([*(source.schema.field(name) for name in keep), made])
    counted = _Counted(source, runs, keep, schema)
    if target.startswith("delta:"):
        _to_delta(target.removeprefix("delta:"), counted, existing)
    elif target.endswith(".parquet"):
        _to_file(Path(target), counted, existing)
    else:
        raise InvalidInput(f"Target {target!r} is neither delta:PATH nor a .parquet file.")
    return counted.rows


class _Counted:
    def __init__(self, source: Source, graph: FeatureGraph, keep: Sequence[str], schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self._source, self._graph, self._keep = source, graph, keep

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._source:
            rows = pa.Table.from_batches([batch])
            kept = [batch.column(batch.schema.get_field_index(name)) for name in self._keep]
            self.rows += batch.num_rows
            yield pa.record_batch([*kept, lists_of(self._graph, rows)], schema=self.schema)


def _to_delta(path: str, batches: _Counted, existing: str) -> None:
    if existing == "new" and deltalake.DeltaTable.is_deltatable(path):
        raise AlreadyExists(f"Delta table {path} is there already.", hint="Give --existing replace or append.")
    stream = pa.RecordBatchReader.from_batches(batches.schema, iter(batches))
    try:
        if existing == "replace":
            deltalake.write_deltalake(path, stream, mode="overwrite", schema_mode="overwrite")
        else:
            deltalake.write_deltalake(path, stream, mode="append" if existing == "append" else "error")
    except (exceptions.DeltaError, OSError) as error:
        raise Unavailable(f"Delta table {path} could not be written: {error}.") from error


def _to_file(path: Path, batches: _Counted, existing: str) -> None:
    """Written aside, then put in place: no half file."""
    if existing == "append":
        raise InvalidInput("A Parquet file is not appended to.", hint="Write delta:PATH.")
    if existing == "new" and path.exists():
        raise AlreadyExists(f"File {path} exists.", hint="Name another, or give --existing replace.")
    aside = path.with_name(f".{path.name}.{new_id()}")
    try:
        with parquet.ParquetWriter(aside, batches.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        aside.replace(path)
    except OSError as error:
        raise Unavailable(
            f"{path} could not be written: {error.strerror or error}.", hint="Is the disk full?"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
