"""How far one set of answers is from another, whatever they are: numbers, labels, texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bailiwick.training.model import ParityReport

LEAST_ROWS = 1000
TOLERANCE = 1e-5

_LARGEST = float(np.finfo(np.float32).max)

Named = Sequence[tuple[str, NDArray[Any]]]


def errors_of(expected: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """Error of each row, the largest of its values: |difference| / max(1, |expected|) of floats, 0 or 1 of all else.

    Both no number is no error. A number past float32 agrees with an infinity of its sign: packages compute in float32.
    """
    if expected.dtype.kind != "f" or found.dtype.kind != "f":
        return _largest(np.asarray(expected != found, np.float64))
    wide, other = expected.astype(np.float64), found.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.abs(other - wide) / np.maximum(1.0, np.abs(wide))
    same = (np.isnan(wide) & np.isnan(other)) | (wide == other)
    same |= np.isinf(other) & (np.abs(wide) >= _LARGEST) & (np.sign(wide) == np.sign(other))
    errors = np.where(same, 0.0, np.nan_to_num(errors, nan=1.0, posinf=1.0))
    return _largest(errors)


def _largest(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = errors.reshape(len(errors), -1).max(axis=1, initial=0.0)
    return found


def compare(
    rows: dict[str, NDArray[Any]], expected: Named, found: Named, *, probes: int, tolerance: float
) -> ParityReport:
    """The report of a gate. Labels (whole numbers, texts, the greatest of several numbers) must all be the same."""
    errors = np.zeros(len(expected[0][1]))
    flips = 0
    for (_, wanted), (_, given) in zip(expected, found, strict=True):
        off = errors_of(wanted, given)
        errors = np.maximum(errors, off)
        flips += _flips(wanted, given, off, tolerance)
    row = int(errors.argmax())
    return ParityReport(
        rows=len(errors),
        probes=probes,
        max_error=float(errors[row]),
        label_flips=flips,
        tolerance=tolerance,
        passed=bool(errors[row] <= tolerance),
        worst={
            "expected": {name: _json(values[row]) for name, values in expected},
            "found": {name: _json(values[row]) for name, values in found},
            "row": {name: _json(values[row]) for name, values in list(rows.items())[:64]},
        },
    )


def _flips(expected: NDArray[Any], found: NDArray[Any], errors: NDArray[np.float64], tolerance: float) -> int:
    if expected.dtype.kind != "f":
        return int((errors > 0).sum())
    if expected.ndim != 2 or expected.shape[1] < 2:
        return 0
    wanted, given = (np.nan_to_num(each, nan=-np.inf).argmax(axis=1) for each in (expected, found))
    return int(((wanted != given) & (errors > tolerance)).sum())


def _json(value: Any) -> Any:
    """JSON has no NaN and no infinities, and a report has no room for long texts or many numbers."""
    if isinstance(value, np.ndarray):
        parts = [_json(each) for each in value.ravel()[:8].tolist()]
        return parts[0] if value.size == 1 else parts
    if isinstance(value, str):
        return value[:80]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    return value.item() if isinstance(value, np.generic) else value
