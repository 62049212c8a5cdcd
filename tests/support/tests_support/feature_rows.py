"""Features of every transform, fitted to a few rows, and rows of every kind to try them on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.specification import parse_features

ROWS: list[dict[str, Any]] = [
    {"x": 1.0, "n": 5, "c": "a", "d": "u", "t": 951_782_400_000, "u": 1_700_000_000_000, "s": "red apple pie"},
    {"x": 2.5, "n": 5, "c": "b", "d": "v", "t": -2_208_988_800_000, "u": 0, "s": "red  apple"},
    {"x": None, "n": 7, "c": "a", "d": "u", "t": 4_102_444_799_999, "u": None, "s": ""},
    {"x": -4.0, "n": None, "c": None, "d": "é", "t": None, "u": 1, "s": None},
    {"x": 100.0, "n": 2**62, "c": "rare", "d": "v", "t": 1_234_567_890_123, "u": 10**15, "s": "pie red apple ☃"},
    {"x": 2.5, "n": 7, "c": "b", "d": "u", "t": 5, "u": 5, "s": "apple"},
]
SCHEMA = pa.schema(
    {
        "x": pa.float64(),
        "n": pa.int64(),
        "c": pa.string(),
        "d": pa.string(),
        "t": pa.int64(),
        "u": pa.int64(),
        "s": pa.string(),
    }
)
TRAINING = pa.Table.from_pylist(ROWS, SCHEMA)
LABELS = np.array([1, 0, 1, 0, 1, 0])
DECLARED: dict[str, object] = {
    "mean": {"impute": {"column": "x", "with": "mean", "indicator": True}},
    "frequent": {"impute": {"column": "x", "with": "most_frequent"}},
    "min_max": {"scale": {"column": "x", "method": "min_max"}},
    "robust": {"scale": {"column": "x", "method": "robust", "clip": [-3, 50]}},
    "clipped": {"clip": {"column": "x", "to": [0, 10]}},
    "shares": {"clip": {"column": "x", "quantiles": [0.2, 0.8]}},
    "log": {"log": {"column": "x", "clip": [0, 1e9], "impute": 0}},
    "width": {"bucketize": {"column": "x", "by": "width", "buckets": 4}},
    "given": {"bucketize": {"column": "x", "edges": [-4, 0, 2.5]}},
    "few": {"one_hot": {"column": "c", "min_count": 1, "max_size": 2, "indicator": True}},
    "numbers": {"one_hot": {"column": "n", "min_count": 1}},
    "ordered": {"ordinal": {"column": "c", "order": ["rare", "a"]}},
    "sorted": {"ordinal": {"column": "d", "order": "sorted"}},
    "hashed": {"hash": {"column": "s", "buckets": 1000}},
    "buckets": {"hash": {"column": "c", "buckets": 7, "one_hot": True}},
    "encoded": {"target": {"column": "c", "folds": 2, "smoothing": 2}},
    "numbered": {"target": {"column": "n", "folds": 2}},
    "parts": {
        "date": {
            "column": "t",
            "parts": ["year", "month", "day", "hour", "minute", "minute_of_day", "weekday", "day_of_year"],
        }
    },
    "round": {
        "date": {"column": "t", "parts": ["hour_cyclic", "weekday_cyclic", "month_cyclic", "day_of_year_cyclic"]}
    },
    "moment": {"number": {"column": "t"}},
    "age": {"age": ["t", "u"]},
    "size": {"text": {"column": "s"}},
    "grams": {"ngrams": {"column": "s", "longest": 3, "min_count": 1}},
    "tokens": {"ngrams": {"column": "s", "hash_buckets": 5}},
    "pair": {"cross": {"columns": ["c", "d"], "min_count": 1}},
    "pairs": {"cross": {"columns": ["c", "n"], "min_count": 1, "one_hot": True}},
    "ratio": {"expression": {"expression": "x / n", "impute": -1}},
    "rule": {"expression": "1 if c in ('a', 'b') and not missing(x) and 0 < x <= 2.5 or d == 'é' else min(abs(x), n)"},
    "roots": {"expression": "sqrt(abs(x)) + coalesce(n, 3) - log1p(abs(x)) * (c != 'a')"},
}
FITTED = fit_features(parse_features(DECLARED), TRAINING, LABELS)
GRAPH = FeatureGraph(compile_features(FITTED))

special = st.sampled_from([math.inf, -math.inf, math.nan, 3.4e38, 1e39, 0.0, -0.0, 2.5, -4.0, np.nextafter(2.5, 3)])
numbers = st.one_of(st.none(), st.floats(width=32), special)
whole = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.sampled_from([5, 7, 2**62, 2**63 - 1, -(2**63)]))
texts = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.lists(st.sampled_from(["red", "apple", "pie", "", "☃", "x"]), max_size=6).map(" ".join),
    st.sampled_from(["", "a", "b", "A", "u", "v", "é", "é", "rare", "\0", "\n", "<pad>", "🛫"]),
)
moments = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2_208_988_800_000, 4_133_980_799_999),
    st.sampled_from([-62_135_596_800_000, -62_135_596_800_001, 253_402_300_799_999, 253_402_300_800_000]),
)
rows = st.lists(
    st.fixed_dictionaries({"x": numbers, "n": whole, "c": texts, "d": texts, "t": moments, "u": moments, "s": texts}),
    min_size=1,
    max_size=6,
)
