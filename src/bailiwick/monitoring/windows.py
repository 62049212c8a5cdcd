"""Reading the prediction log in windows of event time: which have rows, and the rows of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.endpoints.log import WITHHELD, PredictionLog, input_column
from bailiwick.endpoints.recording import EVERYTHING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from numpy.typing import NDArray
else:
    np = deferred("numpy")
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")

PROBABILITY = "out_probability"
_INPUT = "in_"


@dataclass(frozen=True, slots=True)
class Rows:
    """Answered predictions of the version that served most of the window.

    `inputs` has the model's input columns under their own names and `out_probability`; `outcomes` and `probabilities`
    are those whose outcome is known, in event order.
    """

    model: str
    version: int
    inputs: pa.Table
    outcomes: NDArray[np.float64]
    probabilities: NDArray[np.float64]


def due_starts(log: PredictionLog, endpoint: str, *, since: int | None, window_ms: int, delay_ms: int) -> list[int]:
    """Starts of the complete windows that have predictions, in order. A window is complete at `end + delay <= watermark`.

    Windows follow each other from `since`, or, before the first, from a multiple of the window's length.
    """
    watermark = log.watermark(endpoint)
    if watermark is None or (since is not None and since + window_ms + delay_ms > watermark):
        return []
    times = log.predictions(endpoint, start=since, end=watermark - delay_ms, columns=["time"])["time"].to_numpy()
    if not times.size:
        return []
    origin = since if since is not None else int(times.min()) // window_ms * window_ms
    starts = np.unique((times - origin) // window_ms) * window_ms + origin
    return [int(start) for start in starts if start + window_ms + delay_ms <= watermark]


def read_rows(log: PredictionLog, endpoint: str, start: int, end: int) -> Rows:
    """The rows of [start, end). Failed calls are left out; at least one answered prediction must be there."""
    answered = _answered(log.predictions(endpoint, start=start, end=end))
    model, version = _majority(answered)
    mine = _of(answered, model, version)
    matured = _of(
        log.matured(endpoint, start=start, end=end, columns=["time", "model", "version", PROBABILITY]), model, version
    )
    matured = matured.sort_by([("time", "ascending")])
    outcomes, probabilities = _floats(matured, "outcome"), _floats(matured, PROBABILITY)
    known = ~(np.isnan(outcomes) | np.isnan(probabilities))
    return Rows(model, version, _inputs(mine), outcomes[known], probabilities[known])


def _answered(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(rows["status"], 200))


def _majority(rows: pa.Table) -> tuple[str, int]:
    counted = rows.group_by(["model", "version"]).aggregate([([], "count_all")])
    if not counted.num_rows:
        return "", 0
    top = counted.sort_by([("count_all", "descending"), ("version", "descending")]).slice(0, 1).to_pylist()[0]
    return top["model"], top["version"]


def _of(rows: pa.Table, model: str, version: int) -> pa.Table:
    return rows.filter(pc.and_(pc.equal(rows["model"], model), pc.equal(rows["version"], version)))


def _inputs(rows: pa.Table) -> pa.Table:
    """Of the rows with inputs: a policy may have kept those of a share of requests only, and some columns of none."""
    left_out: set[str] = set()
    if WITHHELD in rows.column_names:
        rows = rows.filter(pc.fill_null(pc.not_equal(rows[WITHHELD], EVERYTHING), True))
        told = rows[WITHHELD].drop_null().unique().to_pylist()
        left_out = {input_column(name) for names in told for name in names.split("\n")}
    kept = [name for name in rows.column_names if name.startswith(_INPUT) or name == PROBABILITY]
    kept = [name for name in kept if name not in left_out]
    return rows.select(kept).rename_columns([name.removeprefix(_INPUT) for name in kept])


def _floats(rows: pa.Table, column: str) -> NDArray[np.float64]:
    return np.asarray(rows[column].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
