"""Makes the rows on which conversions go wrong: missing, unseen, extreme, and on either side of a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_EXTREME = (None, float("nan"), float("inf"), float("-inf"), 3.4e38, -3.4e38, 1e15, -1e15, 1e-40, 0.0, -0.0, -1.0)
_STRANGE = (None, "", " ", "never seen before", "\u2603\U0001f6eb", "x" * 1000)
_DAY_MS = 86_400_000
_MOMENTS = (
    *(
        float(day * _DAY_MS + off)
        # 1900-01-01, 1900-03-01, 1970-01-01, 2000-02-29, 2000-03-01, 2024-02-29, 2025-01-01, 2100-02-28, 2100-03-01
        for day in (-25567, -25508, 0, 11016, 11017, 19782, 20089, 47540, 47541)
        for off in (-1, 0, 1, _DAY_MS - 1)
    ),
    *(-62_135_596_800_001.0, -62_135_596_800_000.0, 253_402_300_799_999.0, 253_402_300_800_000.0, 9.3e18, -9.3e18),
)
"""Ends of days on which calendars go wrong, the ends of years 1 and 9999, and whole numbers past 64 bits."""
_ROWS_A_VALUE = 4
_THRESHOLDS_A_COLUMN = 64


def make_probes(
    rows: pa.Table,
    datatypes: Mapping[str, str],
    *,
    thresholds: Mapping[str, NDArray[np.float32]],
    least: int,
    seed: int,
) -> pa.Table:
    """At least `least` rows made from real ones; numbers are float64, so that whole-number columns can be strained too.

    Each special value of each column is put into four real rows; one row has every value missing.
    """
    random = np.random.default_rng(seed)
    values = {name: _values(rows.column(name), datatype) for name, datatype in datatypes.items()}
    special = {name: _special(datatypes[name], values[name], thresholds.get(name), random) for name in values}
    count = sum(len(wanted) for wanted in special.values()) * _ROWS_A_VALUE
    taken = random.integers(rows.num_rows, size=count)
    made = {name: [column[row] for row in taken] for name, column in values.items()}
    start = 0
    for name, wanted in special.items():
        stop = start + len(wanted) * _ROWS_A_VALUE
        made[name][start:stop] = [value for value in wanted for _ in range(_ROWS_A_VALUE)]
        start = stop
    for name, column in made.items():
        recombined = random.integers(rows.num_rows, size=max(0, least - count))
        column.extend([None, *(values[name][row] for row in recombined)])
    return pa.table({name: pa.array(column, _kind(datatypes[name])) for name, column in made.items()})


def with_milliseconds(rows: pa.Table) -> pa.Table:
    """Timestamps and dates as whole milliseconds, as a client would send them."""
    for index, item in enumerate(rows.schema):
        if pa.types.is_date(item.type) or pa.types.is_timestamp(item.type):
            moments = rows.column(index).cast(pa.timestamp("ms", getattr(item.type, "tz", None)), safe=False)
            rows = rows.set_column(index, item.name, moments.cast(pa.int64()))
    return rows


def _special(
    datatype: str,
    column: Sequence[str | float | None],
    thresholds: NDArray[np.float32] | None,
    random: np.random.Generator,
) -> tuple[str | float | None, ...]:
    if datatype == "BYTES":
        return _STRANGE
    numbers = _numbers(column, thresholds, random)
    return (*numbers, *_MOMENTS) if datatype == "FP64" else numbers


def _values(column: pa.ChunkedArray, datatype: str) -> list[str | float | None]:
    listed = column.to_pylist()
    return listed if datatype == "BYTES" else [None if value is None else float(value) for value in listed]


def _numbers(
    column: Sequence[str | float | None], thresholds: NDArray[np.float32] | None, random: np.random.Generator
) -> tuple[float | None, ...]:
    """Extremes, the ends of what was seen, thresholds; each of the latter two with its float32 neighbours."""
    wide = np.array([value for value in column if value is not None], np.float64)
    with np.errstate(over="ignore"):  # past float32 are infinities, which are among the extremes anyway
        narrow: NDArray[np.float32] = wide.astype(np.float32)
    seen = narrow[np.isfinite(narrow)]
    points = [seen.min(initial=np.float32(np.inf)), seen.max(initial=np.float32(-np.inf))]
    if thresholds is not None:
        chosen = min(len(thresholds), _THRESHOLDS_A_COLUMN)
        points.extend(random.choice(thresholds, chosen, replace=False))
    exact = np.array(points, np.float32)
    beside = [np.nextafter(exact, np.float32(end)) for end in (-np.inf, np.inf)]
    return (*_EXTREME, *np.concatenate([exact, *beside]).astype(np.float64).tolist())


def _kind(datatype: str) -> pa.DataType:
    return pa.string() if datatype == "BYTES" else pa.float64()
