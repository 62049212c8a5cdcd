"""What executors run. It is sent to them with the parts of the platform that it uses: see `shipping`.

Their Python needs what is imported here and there: numpy, pyarrow and msgspec, to make features also onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bailiwick.features.model import FeatureSpec

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Learning:
    """Of a partition's rows, all that features learn from them: one row of bytes, or none where there are no rows."""

    specs: tuple[FeatureSpec, ...]
    schema: pa.Schema
    columns: tuple[str, ...]
    label: str
    positive: object

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches have the columns in this order, under other names."""
        import pyarrow as pa

        from bailiwick.features.fitting import Fitting
        from bailiwick.features.labels import labels_of

        fitting, seen = Fitting(self.specs, self.schema), False
        for batch in batches:
            if batch.num_rows:
                table = pa.Table.from_batches([batch]).rename_columns(list(self.columns))
                labels = labels_of(table, column=self.label, positive=self.positive) if self.label else None
                fitting.update(table, labels=labels)
                seen = True
        if seen:
            yield _row(fitting.learnt())


@dataclass(frozen=True)
class Merging:
    """Of what partitions have learnt, all of it together."""

    specs: tuple[FeatureSpec, ...]
    schema: pa.Schema

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches have one column of what `Learning` gave."""
        from bailiwick.features.fitting import Fitting

        fitting, seen = Fitting(self.specs, self.schema), False
        for batch in batches:
            for value in batch.column(0):
                fitting.absorb(value.as_py())
                seen = True
        if seen:
            yield _row(fitting.learnt())


@dataclass(frozen=True)
class Making:
    """Of each row, the columns that are kept and what the graph makes of it, as a list of floats."""

    graph: bytes
    read: tuple[str, ...]
    keep: tuple[str, ...]
    column: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches have the columns that are read in this order, under other names."""
        import pyarrow as pa

        from bailiwick.features.graph import FeatureGraph, lists_of

        graph = FeatureGraph(self.graph)
        for batch in batches:
            made = lists_of(graph, pa.Table.from_batches([batch]).rename_columns(list(self.read)))
            kept = (batch.column(self.read.index(name)) for name in self.keep)
            yield pa.record_batch([*kept, made], names=[*self.keep, self.column])


@dataclass(frozen=True)
class Packing:
    """Rows as Arrow's own bytes, a batch at a time: Spark's rows come to a driver one Python object a value."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Any columns."""
        import pyarrow as pa

        for batch in batches:
            if batch.num_rows:
                yield pa.record_batch([pa.array([_packed(batch)], pa.binary())], names=["packed"])


@dataclass(frozen=True)
class Encoding:
    """Of each row the label and what the graph makes of it, or that of its fold where there are several; packed."""

    graphs: tuple[bytes, ...]
    read: tuple[str, ...]
    label: str
    fold: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches have the columns that are read in this order, under other names."""
        import numpy as np
        import pyarrow as pa

        from bailiwick.features.graph import FeatureGraph

        graphs = [FeatureGraph(graph) for graph in self.graphs]
        for batch in batches:
            if not batch.num_rows:
                continue
            rows = pa.Table.from_batches([batch]).rename_columns(list(self.read))
            folds = rows.column(self.fold).to_numpy() if self.fold else np.zeros(rows.num_rows, np.int64)
            made = np.empty((rows.num_rows, len(graphs[0].names)), np.float32)
            for fold, graph in enumerate(graphs):
                places = np.flatnonzero(folds == fold)
                if len(places):
                    made[places] = graph.run(rows.take(places))
            matrix = pa.FixedSizeListArray.from_arrays(pa.array(made.reshape(-1)), made.shape[1])
            label = rows.column(self.label).combine_chunks()
            packed = _packed(pa.record_batch([label, matrix], names=["label", "matrix"]))
            yield pa.record_batch([pa.array([packed], pa.binary())], names=["packed"])


def _packed(batch: pa.RecordBatch) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _row(learnt: bytes) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch([pa.array([learnt], pa.binary())], names=["learnt"])
