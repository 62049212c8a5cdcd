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
    rows = storable(table)
    for sparse in schema.sparse_feature:
        indices = sorted({index.name for index in sparse.index_feature})
        columns = _Columns(rows, [sparse.value_feature.name, *indices])
        feature = dataset.features.add(path={"step": [sparse.name]})
        feature.custom_stats.add(name="missing_value", num=columns.missing(0))
        told = {name: protos.RankHistogram() for name in ("missing_index", "max_length_diff", "min_length_diff")}
        for place, index in enumerate(indices, start=1):
            least, most = columns.difference(place, 0)
            numbers = (columns.missing(place), most, least)
            for histogram, number in zip(told.values(), numbers, strict=True):
                histogram.buckets.add(label=index, sample_count=number)
        for name, histogram in told.items():
            feature.custom_stats.add(name=name, rank_histogram=histogram)
    for weighted in schema.weighted_feature:
        columns = _Columns(rows, [".".join(path.step) for path in (weighted.weight_feature, weighted.feature)])
        least, most = columns.difference(0, 1)
        feature = dataset.features.add(path={"step": [weighted.name]})
        for name, number in (
            ("missing_weight", columns.missing(0)),
            ("missing_value", columns.missing(1)),
            ("min_weight_length_diff", least),
            ("max_weight_length_diff", most),
        ):
            feature.custom_stats.add(name=name, num=number)


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

    def difference(self, place: int, other: int) -> tuple[int, int]:
        """The least and the most values that one column has more than the other."""
        differences = self._lengths[:, place] - self._lengths[:, other]
        return (int(differences.min()), int(differences.max())) if len(differences) else (0, 0)


def _whole(column: Any) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _lengths(column: pa.Array) -> Any:
    """How many values each row has; none where the row has no value at all."""
    if is_list(column.type):
        return pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return column.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
