"""Features fitted and made where the rows are: each partition learns for itself, and what was learnt is merged.

The executors need `bailiwick` (and nothing of pyspark beyond its own worker). No row comes to the driver: a partition sends
counts of its different values, and the graph that serves also runs over Arrow batches of a partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bailiwick.adapters.spark.session import told_of
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    from bailiwick.features.model import FeatureSpec, FittedFeatures

_MERGERS = 8
"""Tasks that merge what partitions have learnt, so that the driver merges few."""

Batches = Iterable["pa.RecordBatch"]


def fit_on_spark(frame: Any, specs: Sequence[FeatureSpec], *, label: str = "") -> FittedFeatures:
    """The features, fitted on all rows of a DataFrame: equal, digest and all, to `fit_features` of the same rows.

    `label`: the column of 0 and 1 (or booleans) that target encoding needs. Out-of-fold encodings of training rows are not
    made here, for Spark's rows have no number. Raises InvalidInput as `fit_features`, and for a label that is not there.
    """
    from bailiwick.features.fitting import Fitting

    with told_of("The DataFrame"):
        schema = frame.limit(0).toArrow().schema
    total = Fitting(specs, schema)
    if total.needs_labels and not label:
        raise InvalidInput("A target-encoded feature is fitted with labels; name the label's column.")
    columns = list(dict.fromkeys([column for spec in specs for column in spec.reads] + ([label] if label else [])))
    for column in columns:
        if column not in schema.names:
            raise InvalidInput.choice("Column", column, schema.names)
    with told_of("The DataFrame"):
        parts = _chosen(frame, columns).mapInArrow(_learning(tuple(specs), schema, columns, label), "learnt binary")
        merged = parts.repartition(_MERGERS).mapInArrow(_merging(tuple(specs), schema), "learnt binary")
        for row in merged.toLocalIterator():
            total.absorb(bytes(row[0]))
    return total.finish()


def transform_on_spark(frame: Any, graph: bytes, *, keep: Sequence[str] = (), column: str = "features") -> Any:
    """A DataFrame of the `keep` columns and an array of floats, in the order of the graph's names, made by its executors.

    `graph`: the serialised ONNX graph of `compile_features`. Nothing runs until the DataFrame is used. Raises InvalidInput for
    a column that the graph reads and the DataFrame lacks, or whose name is taken.
    """
    import onnx

    from bailiwick.features.graph import FeatureGraph

    inputs = list(FeatureGraph(onnx.load_from_string(graph)).inputs)
    for name in (*inputs, *keep):
        if name not in frame.columns:
            raise InvalidInput.choice("Column", name, frame.columns)
    if column in keep:
        raise InvalidInput(f"Column {column!r} is kept and would be made.", hint="Give what is made another name.")
    read = list(dict.fromkeys([*inputs, *keep]))
    with told_of("The DataFrame"):
        kept = [field for name in keep for field in frame.schema.fields if field.name == name]
        return _chosen(frame, read).mapInArrow(
            _transforming(graph, read, tuple(keep), column), _with_array(kept, column)
        )


def _chosen(frame: Any, columns: Sequence[str]) -> Any:
    """These columns in this order, under names of their places: Spark's parser is told none of the data's own."""
    places = {name: f"c{place}" for place, name in enumerate(frame.columns)}
    return frame.toDF(*places.values()).select(*[places[name] for name in columns])


def _with_array(kept: Sequence[Any], column: str) -> Any:
    from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

    return StructType([*kept, StructField(column, ArrayType(FloatType(), containsNull=False), nullable=False)])


def _learning(
    specs: tuple[FeatureSpec, ...], schema: pa.Schema, columns: list[str], label: str
) -> Callable[[Batches], Iterator[Any]]:
    def learn(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa  # this function is sent to executors, and what it refers to with it

        from bailiwick.features.fitting import Fitting

        fitting, seen = Fitting(specs, schema), False
        for batch in batches:
            if batch.num_rows:
                table = pa.Table.from_batches([batch]).rename_columns(columns)
                fitting.update(table, labels=_labels(table, label) if label else None)
                seen = True
        if seen:
            yield pa.record_batch([pa.array([fitting.learnt()], pa.binary())], names=["learnt"])

    return learn


def _merging(specs: tuple[FeatureSpec, ...], schema: pa.Schema) -> Callable[[Batches], Iterator[Any]]:
    def merge(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa  # this function is sent to executors, and what it refers to with it

        from bailiwick.features.fitting import Fitting

        fitting, seen = Fitting(specs, schema), False
        for batch in batches:
            for value in batch.column(0):
                fitting.absorb(value.as_py())
                seen = True
        if seen:
            yield pa.record_batch([pa.array([fitting.learnt()], pa.binary())], names=["learnt"])

    return merge


def _transforming(
    graph: bytes, read: list[str], keep: tuple[str, ...], column: str
) -> Callable[[Batches], Iterator[Any]]:
    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import numpy as np
        import onnx
        import pyarrow as pa

        from bailiwick.features.graph import FeatureGraph

        session = FeatureGraph(onnx.load_from_string(graph))
        width = len(session.names)
        for batch in batches:
            table = pa.Table.from_batches([batch]).rename_columns(read)
            matrix = session.run(table)
            ends = pa.array(np.arange(0, width * (batch.num_rows + 1), width, dtype=np.int32))
            made = pa.ListArray.from_arrays(ends, pa.array(matrix.reshape(-1)))
            yield pa.record_batch([*(batch.column(read.index(name)) for name in keep), made], names=[*keep, column])

    return transform


def _labels(table: pa.Table, label: str) -> Any:
    """Labels as whole numbers. Raises InvalidInput where one is missing."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(label)
    if column.null_count:
        raise InvalidInput(f"Label {label!r} is missing in {column.null_count} rows of a batch.")
    return pc.cast(column, pa.int64()).to_numpy().astype(np.int64)
