"""JSON Schema of the project file's `features`, for editors: which transforms there are, and what each may be told.

What a transform means is known to `features`, which this floor does not import; a test holds both to the same words.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_COLUMN: Schema = {"type": "string", "minLength": 1, "description": "Column it reads, where that is not its name"}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_TRUTH: Schema = {"type": "boolean"}
_PAIR: Schema = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_COLUMNS: Schema = {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}
_IMPUTE: Schema = {
    "anyOf": [{"type": "number"}, {"enum": ["median", "mean", "most_frequent"]}],
    "description": "What a missing value counts as",
}
_DATE_PARTS = ["year", "month", "day", "hour", "minute", "minute_of_day", "weekday", "day_of_year"]
_DATE_PARTS += ["hour_cyclic", "weekday_cyclic", "month_cyclic", "day_of_year_cyclic"]


def _some_of(choices: list[str]) -> Schema:
    one = {"enum": choices}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}]}


_NUMERIC: dict[str, Schema] = {
    "column": _COLUMN,
    "impute": _IMPUTE,
    "clip": _PAIR,
    "clip_quantiles": _PAIR,
    "indicator": _TRUTH,
}
_FREQUENT: dict[str, Schema] = {"min_count": _COUNT, "max_size": _COUNT}
_CATEGORY: dict[str, Schema] = {"column": _COLUMN, **_FREQUENT, "indicator": _TRUTH}
_ORDER: Schema = {
    "anyOf": [{"const": "sorted"}, {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1}]
}

TRANSFORMS: dict[str, dict[str, Schema]] = {
    "number": _NUMERIC,
    "impute": {"column": _COLUMN, "with": _IMPUTE, "indicator": _TRUTH},
    "scale": {"method": {"enum": ["standard", "min_max", "robust"]}, **_NUMERIC},
    "log": _NUMERIC,
    "clip": {"column": _COLUMN, "to": _PAIR, "quantiles": _PAIR, "impute": _IMPUTE, "indicator": _TRUTH},
    "bucketize": {
        "buckets": {"type": "integer", "minimum": 2, "maximum": 1000},
        "by": {"enum": ["quantile", "width"]},
        "edges": {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 1000},
        **_NUMERIC,
    },
    "category": _CATEGORY,
    "one_hot": _CATEGORY,
    "ordinal": {"column": _COLUMN, "order": _ORDER, **_FREQUENT},
    "hash": {
        "column": _COLUMN,
        "buckets": {"type": "integer", "minimum": 2, "maximum": 1_000_000},
        "one_hot": _TRUTH,
    },
    "target": {
        "column": _COLUMN,
        "smoothing": {"type": "number", "minimum": 0, "maximum": 1e9},
        "min_count": _COUNT,
        "folds": {"type": "integer", "minimum": 2, "maximum": 20},
    },
    "date": {"column": _COLUMN, "parts": _some_of(_DATE_PARTS)},
    "age": {"columns": _COLUMNS, "impute": _IMPUTE},
    "text": {"column": _COLUMN, "measures": _some_of(["length", "tokens"])},
    "ngrams": {
        "column": _COLUMN,
        "longest": {"type": "integer", "minimum": 1, "maximum": 3},
        **_FREQUENT,
        "hash_buckets": {"type": "integer", "minimum": 2, "maximum": 4096},
    },
    "cross": {"columns": _COLUMNS, **_FREQUENT, "one_hot": _TRUTH},
    "sklearn": {
        "pipeline": {"type": "string", "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"},
        "inputs": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True},
    },
    "expression": {"expression": {"type": "string", "minLength": 1, "maxLength": 1000}, "impute": _IMPUTE},
}
MAIN = {
    "number": "impute",
    "impute": "with",
    "scale": "method",
    "log": "impute",
    "clip": "to",
    "bucketize": "buckets",
    "category": "min_count",
    "one_hot": "min_count",
    "ordinal": "order",
    "hash": "buckets",
    "target": "smoothing",
    "date": "parts",
    "age": "columns",
    "text": "measures",
    "ngrams": "longest",
    "cross": "columns",
    "sklearn": "pipeline",
    "expression": "expression",
}
"""The option that a value which stands alone is meant for."""

NEEDED = {"ordinal", "hash", "date", "age", "cross", "sklearn", "expression"}
"""Transforms whose main option has no default, so that their name alone says too little."""

_NEEDED_TOO = {"sklearn": ("inputs",)}


def transform_schema() -> Schema:
    """One feature: a transform's name, or its name with a value, or with its options."""
    properties: Schema = {}
    for name, options in TRANSFORMS.items():
        told: Schema = {"type": "object", "properties": options, "additionalProperties": False}
        if name in NEEDED:
            told["required"] = [MAIN[name], *_NEEDED_TOO.get(name, ())]
        properties[name] = told if name in _NEEDED_TOO else {"anyOf": [options[MAIN[name]], told]}
    return {
        "anyOf": [
            {"enum": [name for name in TRANSFORMS if name not in NEEDED]},
            {
                "type": "object",
                "properties": properties,
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ],
        "examples": ["number", {"scale": "standard"}, {"bucketize": 10}, {"one_hot": {"min_count": 50}}],
    }
