"""What was learnt in one process is merged in another, to the bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import Corrupted
from bailiwick.features.fitting import Fitting, fit_features
from bailiwick.features.specification import parse_features

SPECS = parse_features({
    "x": {"scale": "standard"},
    "c": {"one_hot": {"min_count": 1}},
    "t": {"target": {"folds": 2, "column": "c"}},
    "pair": {"cross": {"columns": ["c", "d"], "min_count": 1}},
})  # fmt: skip

ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e6, 1e6, width=32)),
        st.sampled_from(["a", "b", "é", "", None]),
        st.integers(0, 3),
        st.integers(0, 1),
    ),
    min_size=2,
    max_size=40,
).filter(lambda rows: any(row[0] is not None for row in rows))


@given(ROWS, st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_parts_sent_as_bytes_make_the_same_features_as_all_rows_at_once(
    rows: list[tuple[object, ...]], cut: int
) -> None:
    x, c, d, label = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({"x": pa.array(x, pa.float64()), "c": pa.array(c, pa.string()), "d": pa.array(d, pa.int64())})
    labels = np.array(label, np.int64)
    total = Fitting(SPECS, table.schema)
    for first, last in ((0, cut), (cut, len(rows))):
        part = Fitting(SPECS, table.schema)
        part.update(table.slice(first, max(0, last - first)), start=first, labels=labels[first:last])
        total.absorb(part.learnt())
    assert total.finish() == fit_features(SPECS, table, labels)
    again = Fitting(SPECS, table.schema)
    again.absorb(total.learnt())
    assert again.learnt() == total.learnt()


def test_bytes_of_other_features_are_refused() -> None:
    table = pa.table({"x": [1.0], "c": ["a"], "d": [1]})
    fitting = Fitting(SPECS, table.schema)
    for wrong in (b"", b"\xc1", Fitting(SPECS[:1], table.schema).learnt(), b"\x94\x01\x02\x03\x04"):
        with pytest.raises(Corrupted, match="not what a fitting of these features has learnt"):
            fitting.absorb(wrong)
