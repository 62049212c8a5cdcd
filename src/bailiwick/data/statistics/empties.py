"""Values that often stand for none: empty texts, empty lists in lists, and -1. TFDV's custom statistics of these names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.data.arrow_types import storable
from bailiwick.data.statistics.compute import countable_column

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np = deferred("numpy")
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")


def add_empties(dataset: Any, table: pa.Table) -> None:
    """`str_empty`, `list_empty` or `int_-1` (of numbers of every kind) for each feature that has some."""
    rows = storable(table)
    for feature in dataset.features:
        name = feature.path.step[0]
        if name not in rows.column_names:
            continue
        column = countable_column(name, rows.column(name))
        if column.levels:
            found = "list_empty", int(np.count_nonzero(column.levels[1][1] == 0))
        elif column.kind in {protos.FeatureNameStatistics.STRING, protos.FeatureNameStatistics.BYTES}:
            found = "str_empty", pc.sum(pc.equal(pc.binary_length(column.values), 0)).as_py() or 0
        elif column.kind == protos.FeatureNameStatistics.STRUCT:
            continue
        else:
            found = "int_-1", pc.sum(pc.equal(column.values, -1)).as_py() or 0
        if found[1]:
            feature.custom_stats.add(name=found[0], num=found[1])
