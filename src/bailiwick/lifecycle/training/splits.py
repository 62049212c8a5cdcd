"""Which rows teach, which choose, which judge: always by event time, so that no split can look ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bailiwick.core.errors import CheckFailed, InvalidInput
from bailiwick.pipelines.notation import Holdout

LEAST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Split:
    """Rows in event order: `train` teaches, `valid` (its newest part) chooses parameters, `holdout` (the newest) judges.

    The final model is fitted on `train` and `valid` together; `holdout` is seen by nothing but the evaluation.
    """

    train: pa.Table
    valid: pa.Table
    holdout: pa.Table

    @property
    def known(self) -> pa.Table:
        """`train` and `valid`: what the final model is fitted on."""
        return pa.concat_tables([self.train, self.valid])


def split_by_time(rows: pa.Table, *, time: str, holdout: Holdout, valid: float = 0.2) -> Split:
    """Cut at two moments of event time: rows of one moment never fall on both sides.

    `valid` is a share of what `holdout` leaves. Raises CheckFailed when a part has under 200 rows.
    """
    ordered = rows.sort_by(time)
    first, second = _cuts(ordered, time, holdout, valid)
    parts = Split(ordered.slice(0, first), ordered.slice(first, second - first), ordered.slice(second))
    sizes = {"train": parts.train.num_rows, "valid": parts.valid.num_rows, "holdout": parts.holdout.num_rows}
    if min(sizes.values()) < LEAST_ROWS:
        raise CheckFailed(f"Too few rows to train and to judge: {sizes}; each part needs {LEAST_ROWS}.")
    return parts


def _cuts(ordered: pa.Table, time: str, holdout: Holdout, valid: float) -> tuple[int, int]:
    moments = ordered[time].to_numpy()
    if holdout.length_ms:
        second = int(np.searchsorted(moments, moments[-1] - holdout.length_ms + 1, side="left")) if len(moments) else 0
    else:
        second = _at_moment(moments, round(len(moments) * (1 - holdout.fraction)))
    return _at_moment(moments, round(second * (1 - valid))), second


def _at_moment(moments: npt.NDArray[np.int64], cut: int) -> int:
    """The first row of the moment at `cut`, so that rows of one moment stay together."""
    return int(np.searchsorted(moments, moments[cut], side="left")) if cut < len(moments) else cut


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
