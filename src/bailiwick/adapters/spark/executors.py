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


def _row(learnt: bytes) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch([pa.array([learnt], pa.binary())], names=["learnt"])
