"""The table that every engine must tell the same of, and how to hold what one tells against it.

Put `conformance_table()` into the engine and hold its statistics against it with `differences`.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.data.statistics import compute_statistics

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
else:
    np, pa = deferred("numpy"), deferred("pyarrow")

ROWS = 3_000
_ROUNDED = {"mean", "std_dev", "avg_length", "avg_num_bytes", "median", "low_value", "high_value"}
_HOSTILE = """x"; DROP TABLE t; -- `'\\ %s é"""


def conformance_table() -> pa.Table:
    """NaN, infinities, -0.0, nulls, empty text, unicode, lists in lists, extremes of int64, moments before 1970, names
    that would be SQL; and enough skewed numbers for quantiles to be looked for in several passes.
    """
    utc = dt.UTC
    early = dt.datetime(1969, 12, 31, 23, 59, 59, 999_500, tzinfo=utc)
    late = dt.datetime(2026, 11, 25, 1, 2, 3, 456_789, tzinfo=utc)
    least, most = -(2**63), 2**63 - 1
    nan, infinity = math.nan, math.inf
    random = np.random.default_rng(7)
    skewed = np.exp(random.normal(0, 3, ROWS))
    skewed[0] = -1e9
    columns = {
        "float": _repeat([nan, infinity, -infinity, -0.0, 0.0, None, 1.5, -2.25, 5e-324, 1e150], pa.float64()),
        "single": _repeat([0.1, None, nan, 16777216.0, -infinity], pa.float32()),
        "whole": _repeat([least, most, 0, None, -1, 1, 42], pa.int64()),
        "small": _repeat([1, 2, 3, 3, 3, None], pa.int16()),
        "flag": _repeat([True, False, None, True], pa.bool_()),
        "text": _repeat(
            ["", "a", "B", "ä", "z", None, "日本", "🦆", "it's", "back\\slash", 'quo"te', "a", "%s", " a"], pa.string()
        ),
        "price": _repeat([_decimal("1.10"), _decimal("-9999999.99"), None, _decimal("0.00")], pa.decimal128(9, 2)),
        "day": _repeat([dt.date(1969, 12, 31), dt.date(2026, 2, 28), None], pa.date32()),
        "moment": _repeat([early, late, None], pa.timestamp("us", "UTC")),
        "bytes": _repeat([b"", b"\x00\xff", None, b"abc", b"abc"], pa.binary()),
        "list": _repeat([[1.0, nan, None], [], None, [infinity, -0.0], [2.5]], pa.list_(pa.float64())),
        "words": _repeat([["a", "", None], [], None, ["ä", "a"], ["b"]], pa.list_(pa.string())),
        "nested": _repeat([[[1, 2], [3, least]], None, [], [[5, None]]], pa.list_(pa.list_(pa.int64()))),
        "constant": _repeat([7], pa.int64()),
        "nothing": _repeat([None], pa.float64()),
        "no_number": _repeat([nan], pa.float64()),
        "skewed": pa.array(skewed),
        "tied": pa.array(random.integers(0, 2400, ROWS) // 7),
        "many": pa.array([f"value {number:04}" for number in random.integers(0, 1500, ROWS).tolist()]),
        _HOSTILE: _repeat([1, None, 3], pa.int64()),
    }
    return pa.table(columns)


def differences(found: Any, table: pa.Table | None = None, *, leave_out: frozenset[str] = frozenset()) -> list[str]:
    """What an engine's statistics say otherwise than `compute_statistics`, in words; counts must be equal, sums nearly so."""
    expected = compute_statistics(conformance_table() if table is None else table).datasets[0]
    dataset = found.datasets[0]
    told = {feature.path.step[0]: feature for feature in dataset.features}
    wrong = [] if dataset.num_examples == expected.num_examples else [f"{dataset.num_examples} rows"]
    for feature in expected.features:
        name = feature.path.step[0]
        if name in leave_out:
            continue
        if name not in told:
            wrong.append(f"{name}: not told")
            continue
        wrong += [f"{name}: {what}" for what in _unlike(feature, told[name], "")]
    return wrong


def _unlike(expected: Any, found: Any, where: str) -> list[str]:
    wrong = []
    scale = max(1.0, getattr(expected, "std_dev", 0.0))  # a mean is as exact as the numbers are close to it
    for field in expected.DESCRIPTOR.fields:
        one, other = getattr(expected, field.name), getattr(found, field.name)
        if field.name == "histograms":
            one, other = ([each for each in histograms if each.buckets or each.num_nan] for histograms in (one, other))
        path = f"{where}.{field.name}".lstrip(".")
        if field.is_repeated:
            if len(one) != len(other):
                wrong.append(f"{path}: {len(other)} instead of {len(one)}")
                continue
            pairs = list(zip(one, other, strict=True))
        else:
            pairs = [(one, other)]
        for place, (mine, theirs) in enumerate(pairs):
            at = f"{path}[{place}]" if field.is_repeated else path
            if field.message_type is not None:
                wrong += _unlike(mine, theirs, at)
            elif not (mine == theirs or (field.name in _ROUNDED and _near(mine, theirs, scale))):
                wrong.append(f"{at}: {theirs!r} instead of {mine!r}")
    return wrong


def _near(one: float, other: float, scale: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12 * scale) or (math.isnan(one) and math.isnan(other))


def _repeat(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array((values * (ROWS // len(values) + 1))[:ROWS], kind)


def _decimal(text: str) -> Any:
    from decimal import Decimal

    return Decimal(text)
