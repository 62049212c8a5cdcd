"""From prediction log rows to counts: each unit once, at its first bad event, in the epoch and arm where that happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.endpoints.log import PredictionLog
from bailiwick.rollout.canary import FAILED, WRONG, CanaryConfig
from bailiwick.rollout.sequential import EpochCounts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
else:
    np, pa = deferred("numpy"), deferred("pyarrow")

PROBABILITY = "out_probability"
FAILURE_STATUS = 500
_COLUMNS = ("time", "epoch", "variant", "unit")


def gather(
    log: PredictionLog,
    endpoint: str,
    *,
    config: CanaryConfig,
    shares: Mapping[int, float],
    candidate: str,
    control: str,
) -> dict[str, list[EpochCounts]]:
    """Counts of both metrics for the epochs in `shares` (epoch number → the candidate's planned share of units).

    Outcomes count only for predictions at least `outcome_delay_ms` older than the newest event, so that every arm's
    cohort has had the same time for its labels to arrive.
    """
    watermark = log.watermark(endpoint)
    if watermark is None or not shares:
        return {WRONG: [], FAILED: []}
    end = watermark - config.outcome_delay_ms + 1
    first = min(shares)
    judged = log.matured(endpoint, end=end, since_epoch=first, columns=[*_COLUMNS, PROBABILITY])
    called = log.predictions(endpoint, since_epoch=first, columns=[*_COLUMNS, "status"])
    arms = (candidate, control)
    return {
        WRONG: count_units(_wrong(judged, config), shares, arms),
        FAILED: count_units(_failed(called), shares, arms),
    }


def count_units(rows: pa.Table, shares: Mapping[int, float], arms: tuple[str, str]) -> list[EpochCounts]:
    """Count `rows` (columns time, epoch, variant, unit, bad) per epoch and arm; a unit seen often is counted once."""
    epoch = rows["epoch"].to_numpy()
    variant = rows["variant"].to_numpy(zero_copy_only=False)
    bad = rows["bad"].to_numpy(zero_copy_only=False).astype(bool)
    compared = np.isin(epoch, list(shares)) & np.isin(variant, arms)
    first = _first_bad(rows["unit"], rows["time"].to_numpy(), bad, compared)
    is_candidate = variant[first] == arms[0]
    return [_epoch(number, share, epoch[first], is_candidate, bad[first]) for number, share in sorted(shares.items())]


def _epoch(
    number: int, share: float, epoch: NDArray[np.int64], is_candidate: NDArray[np.bool_], bad: NDArray[np.bool_]
) -> EpochCounts:
    mine = epoch == number
    return EpochCounts(
        epoch=number,
        share=share,
        candidate_units=int((mine & is_candidate).sum()),
        control_units=int((mine & ~is_candidate).sum()),
        candidate_bad=int((mine & is_candidate & bad).sum()),
        control_bad=int((mine & ~is_candidate & bad).sum()),
    )


def _first_bad(
    unit: pa.ChunkedArray, time: NDArray[np.int64], bad: NDArray[np.bool_], compared: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Row of each unit's first bad event, or of its first event where none was bad."""
    rows = np.flatnonzero(compared)
    encoded = unit.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()[rows]
    if len(encoded.dictionary) == len(unit):
        return rows
    order = np.lexsort((time[rows], ~bad[rows], codes))
    sorted_codes = codes[order]
    begins = np.r_[True, sorted_codes[1:] != sorted_codes[:-1]] if sorted_codes.size else np.zeros(0, dtype=bool)
    return np.asarray(rows[order[begins]])


def _wrong(matured: pa.Table, config: CanaryConfig) -> pa.Table:
    probability = matured[PROBABILITY].cast(pa.float64()).to_numpy(zero_copy_only=False)
    decided = probability >= config.threshold
    bad = np.abs(matured["outcome"].to_numpy() - decided) > 0.5
    usable = ~np.isnan(probability)
    return matured.select(_COLUMNS).append_column("bad", pa.array(bad)).filter(pa.array(usable))


def _failed(called: pa.Table) -> pa.Table:
    bad = called["status"].to_numpy() >= FAILURE_STATUS
    return called.append_column("bad", pa.array(bad))
