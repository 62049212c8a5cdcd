"""Values that often stand for none: empty texts, empty and missing lists in lists, and -1. TFDV's custom statistics of these names."""

from __future__ import annotations

from collections import Counter
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
    found = Empties()
    found.add(storable(table))
    found.tell(dataset)


class Empties:
    """What `add_empties` tells, of rows that come in parts."""

    def __init__(self) -> None:
        self._found: Counter[tuple[str, str]] = Counter()

    def add(self, rows: pa.Table) -> None:
        """The next rows, in storable types."""
        for name, values in zip(rows.column_names, rows.columns, strict=True):
            column = countable_column(name, values)
            if column.levels:
                missing, lengths = column.levels[1]
                self._found[name, "list_empty"] += missing + int(np.count_nonzero(lengths == 0))
            elif column.kind in {protos.FeatureNameStatistics.STRING, protos.FeatureNameStatistics.BYTES}:
                self._found[name, "str_empty"] += pc.sum(pc.equal(pc.binary_length(column.values), 0)).as_py() or 0
            elif column.kind != protos.FeatureNameStatistics.STRUCT:
                self._found[name, "int_-1"] += pc.sum(pc.equal(column.values, -1)).as_py() or 0

    def tell(self, dataset: Any) -> None:
        """Add what was found."""
        features = {feature.path.step[0]: feature for feature in dataset.features}
        for (name, what), count in self._found.items():
            if count and name in features:
                features[name].custom_stats.add(name=what, num=count)
