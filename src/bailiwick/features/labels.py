"""What a row's label says: 1 or 0. Read alike in training here and by the executors of an engine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bailiwick.core.errors import InvalidInput


def labels_of(rows: pa.Table, *, column: str, positive: object) -> npt.NDArray[np.int64]:
    """1 where the label equals `positive`, else 0. Raises InvalidInput naming a missing column or value."""
    if column not in rows.column_names:
        raise InvalidInput.choice("data.label.column", column, rows.column_names)
    found = rows[column]
    if found.null_count:
        raise InvalidInput(f"Label column {column!r} is missing in {found.null_count} of {rows.num_rows} rows.")
    if pa.types.is_boolean(found.type):
        found = pc.cast(found, pa.int8())
    try:
        wanted = pa.scalar(positive, type=found.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InvalidInput(
            f"data.label.positive {positive!r} is not a value of column {column!r} ({found.type})."
        ) from error
    labels: npt.NDArray[np.int64] = pc.equal(found, wanted).to_numpy(zero_copy_only=False).astype(np.int64)
    return labels
