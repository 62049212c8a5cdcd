"""Sparse and weighted features of a schema: whether the columns they are made of are there together, and as long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.data.arrow_types import is_list, storable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np = deferred("numpy")
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")


def add_composites(dataset: Any, table: pa.Table, schema: Any) -> None:
    """A feature, of custom statistics alone, for each sparse and weighted feature of the schema, as TFDV has them.

    A row counts where at least one of the columns has a value; a column that the table lacks is missing in every row.
    Only of features at the top, not of those within structs.
    """
    found = Composites(schema)
    found.add(storable(table))
    found.tell(dataset)


class Composites:
    """What `add_composites` tells, of rows that come in parts."""

    def __init__(self, schema: Any) -> None:
        self._sparse = {
            sparse.name: _Joint([sparse.value_feature.name, *sorted({index.name for index in sparse.index_feature})])
            for sparse in schema.sparse_feature
        }
        self._weighted = {
            weighted.name: _Joint([".".join(path.step) for path in (weighted.weight_feature, weighted.feature)])
            for weighted in schema.weighted_feature
        }

    def add(self, rows: pa.Table) -> None:
        """The next rows, in storable types."""
        for joint in (*self._sparse.values(), *self._weighted.values()):
            joint.add(rows)

    def tell(self, dataset: Any) -> None:
        """Add what was found."""
        for name, joint in self._sparse.items():
            feature = dataset.features.add(path={"step": [name]})
            feature.custom_stats.add(name="missing_value", num=joint.missing[0])
            told = {name: protos.RankHistogram() for name in ("missing_index", "max_length_diff", "min_length_diff")}
            for place, index in enumerate(joint.names[1:], start=1):
                least, most = joint.difference(place)
                numbers = (joint.missing[place], most, least)
                for histogram, number in zip(told.values(), numbers, strict=True):
                    histogram.buckets.add(label=index, sample_count=number)
            for name_of, histogram in told.items():
                feature.custom_stats.add(name=name_of, rank_histogram=histogram)
        for name, joint in self._weighted.items():
            least, most = joint.difference(1)
            feature = dataset.features.add(path={"step": [name]})
            for what, number in (
                ("missing_weight", joint.missing[0]),
                ("missing_value", joint.missing[1]),
                ("min_weight_length_diff", -most),
                ("max_weight_length_diff", -least),
            ):
                feature.custom_stats.add(name=what, num=number)


class _Joint:
    """How often each of some columns is missing where another is there, and how its number of values differs from the first's."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.missing = [0] * len(self.names)
        self._ends: list[tuple[int, int] | None] = [None] * len(self.names)

    def add(self, rows: pa.Table) -> None:
        """The next rows."""
        columns = _Columns(rows, self.names)
        for place in range(len(self.names)):
            self.missing[place] += columns.missing(place)
            found, before = columns.difference(place, 0), self._ends[place]
            if found is not None:
                least, most = before or found
                self._ends[place] = (min(least, found[0]), max(most, found[1]))

    def difference(self, place: int) -> tuple[int, int]:
        """The least and the most values that a column has more than the first."""
        return self._ends[place] or (0, 0)


class _Columns:
    """Columns that belong together, in rows where at least one of them is there."""

    def __init__(self, rows: pa.Table, names: Sequence[str]) -> None:
        found = [rows.column(name) if name in rows.column_names else pa.nulls(rows.num_rows) for name in names]
        there = np.column_stack([column.is_valid().to_numpy(zero_copy_only=False) for column in map(_whole, found)])
        lengths = np.column_stack([_lengths(column) for column in map(_whole, found)])
        some = there.any(axis=1)
        self._there, self._lengths = there[some], lengths[some]

    def missing(self, place: int) -> int:
        return int((~self._there[:, place]).sum())

    def difference(self, place: int, other: int) -> tuple[int, int] | None:
        """The least and the most values that one column has more than the other; None of no rows."""
        differences = self._lengths[:, place] - self._lengths[:, other]
        return (int(differences.min()), int(differences.max())) if len(differences) else None


def _whole(column: Any) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _lengths(column: pa.Array) -> Any:
    """How many values each row has; none where the row has no value at all."""
    if is_list(column.type):
        return pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return column.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
