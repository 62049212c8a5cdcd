"""What the project file may say of each transform: its options, the one that may stand alone, and what they default to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TEXT_PARTS = ("length", "tokens")


@dataclass(frozen=True, slots=True)
class Declared:
    """`main` is the option meant by a value that stands alone; `required` ones have no default."""

    main: str
    options: tuple[str, ...]
    example: str
    required: tuple[str, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)


_NUMERIC = ("column", "impute", "clip", "clip_quantiles", "indicator")

OPTIONS: Mapping[str, Declared] = {
    "number": Declared("impute", _NUMERIC, "number"),
    "impute": Declared("with", ("column", "with", "indicator"), "{impute: mean}"),
    "scale": Declared("method", ("method", *_NUMERIC), "{scale: standard}"),
    "log": Declared("impute", _NUMERIC, "log"),
    "clip": Declared("to", ("column", "to", "quantiles", "impute", "indicator"), "{clip: [0, 100]}"),
    "bucketize": Declared("buckets", ("buckets", "by", "edges", *_NUMERIC), "{bucketize: 10}"),
    "category": Declared("min_count", ("column", "min_count", "max_size", "indicator"), "{category: {min_count: 50}}"),
    "one_hot": Declared("min_count", ("column", "min_count", "max_size", "indicator"), "{one_hot: {min_count: 50}}"),
    "ordinal": Declared(
        "order",
        ("column", "order", "min_count", "max_size"),
        "{ordinal: [low, high]}",
        ("order",),
        {"min_count": 1},
    ),
    "hash": Declared("buckets", ("column", "buckets", "one_hot"), "{hash: 64}", ("buckets",)),
    "target": Declared(
        "smoothing", ("column", "smoothing", "min_count", "folds"), "{target: {smoothing: 20}}", (), {"min_count": 1}
    ),
    "date": Declared("parts", ("column", "parts"), "{date: [hour, weekday]}", ("parts",)),
    "age": Declared("columns", ("columns", "impute"), "{age: {columns: [from, until]}}", ("columns",)),
    "text": Declared("measures", ("column", "measures"), "{text: [length, tokens]}", (), {"parts": TEXT_PARTS}),
    "ngrams": Declared(
        "longest",
        ("column", "longest", "min_count", "max_size", "hash_buckets"),
        "{ngrams: {longest: 2, min_count: 20}}",
        (),
        {"max_size": 1000},
    ),
    "cross": Declared(
        "columns",
        ("columns", "min_count", "max_size", "one_hot"),
        "{cross: [origin, dest]}",
        ("columns",),
        {"max_size": 1000},
    ),
    "sklearn": Declared(
        "pipeline",
        ("pipeline", "inputs"),
        '{sklearn: {pipeline: "flights:prepare", inputs: [air_time, carrier]}}',
        ("pipeline", "inputs"),
    ),
    "expression": Declared("expression", ("expression", "impute"), "{expression: distance / hours}", ("expression",)),
}
