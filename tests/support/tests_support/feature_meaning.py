"""What every fitted feature means, written out in plain Python, one row at a time: the reference for the graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import mmh3
import numpy as np

from bailiwick.features.derived import (
    Age,
    Computed,
    Cross,
    DateParts,
    Derived,
    Hashed,
    Missing,
    Ngrams,
    Target,
    TextSize,
)
from bailiwick.features.expression import evaluate, read_expression
from bailiwick.features.model import LIMIT, FittedFeature, FittedFeatures

Row = Mapping[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def meaning(fitted: FittedFeatures, row: Row) -> list[float]:
    """The row's line of the feature matrix."""
    return [number for feature in (*fitted.features, *fitted.derived) for number in _one(feature, row)]


def _one(feature: FittedFeature | Derived, row: Row) -> list[float]:
    if isinstance(feature, FittedFeature):
        return _plain(feature, row[feature.inputs[0][0]])
    if isinstance(feature, Missing):
        value = row[feature.source]
        return [float(_text(value) == "" if feature.datatype == "BYTES" else math.isnan(_single(value)))]
    if isinstance(feature, DateParts):
        return _date(feature, row[feature.source])
    if isinstance(feature, Age):
        first, last = _moment(row[feature.source]), _moment(row[feature.until])
        return [feature.fill if first is None or last is None else (last - first) / timedelta(days=1)]
    if isinstance(feature, Hashed):
        return _coded(
            mmh3.hash(_text(row[feature.source]), 0, signed=False) % feature.buckets, feature.buckets, feature.one_hot
        )
    if isinstance(feature, Target):
        shares = dict(zip(feature.categories, feature.values, strict=True))
        return [shares.get(_key(row[feature.source], feature.datatype), feature.prior)]
    if isinstance(feature, Cross):
        pair = tuple(_key(row[column], datatype) for column, datatype in feature.inputs)
        code = feature.pairs.index(pair) + 1 if pair in feature.pairs else 0
        return _coded(code, len(feature.pairs) + 1, feature.one_hot)
    if isinstance(feature, TextSize):
        text = _text(row[feature.source])
        sizes = {"length": len(text), "tokens": len(_tokens(text))}
        return [float(sizes[part]) for part in feature.parts]
    if isinstance(feature, Ngrams):
        return _ngrams(feature, _tokens(_text(row[feature.source])))
    assert isinstance(feature, Computed)
    return _computed(feature, row)


def _plain(feature: FittedFeature, value: Any) -> list[float]:
    if feature.transform in {"category", "one_hot"}:
        key = _key(value, feature.datatype)
        code = feature.categories.index(key) + 1 if key in feature.categories else 0
        return _coded(code, len(feature.categories) + 1, feature.transform == "one_hot")
    number = _single(value)
    number = min(max(feature.fill if math.isnan(number) else number, feature.least), feature.most)
    if feature.transform == "log":
        return [math.log1p(max(number, 0.0))]
    if feature.transform == "bucketize":
        return [float(sum(edge <= number for edge in feature.edges))]
    return [(number - feature.offset) * feature.factor]


def _date(feature: DateParts, value: Any) -> list[float]:
    moment = _moment(value)
    found: list[float] = []
    for part in feature.parts:
        plain = part.removesuffix("_cyclic")
        if moment is None:
            found.extend([-1.0] if plain == part else [0.0, 0.0])
            continue
        number, first, size = _part(moment, plain)
        angle = 2 * math.pi * (number - first) / size
        found.extend([float(number)] if plain == part else [math.sin(angle), math.cos(angle)])
    return found


def _part(moment: datetime, part: str) -> tuple[int, int, int]:
    """The part, where it begins, and how many there are."""
    minutes = moment.hour * 60 + moment.minute
    known = {
        "weekday": (moment.weekday(), 0, 7),
        "day_of_year": (moment.timetuple().tm_yday, 1, 366),
        "minute_of_day": (minutes, 0, 1440),
        "month": (moment.month, 1, 12),
        "hour": (moment.hour, 0, 24),
    }
    return known.get(part) or (int(getattr(moment, part)), 0, 1)


def _moment(value: Any) -> datetime | None:
    if value is None or math.isnan(value) or math.isinf(value):
        return None
    try:
        return EPOCH + timedelta(milliseconds=math.floor(float(value)))
    except OverflowError:
        return None


def _ngrams(feature: Ngrams, tokens: list[str]) -> list[float]:
    if feature.buckets:
        found = [0.0] * feature.buckets
        for token in tokens:
            found[mmh3.hash(token, 0, signed=False) % feature.buckets] += 1
        return found
    runs = [" ".join(tokens[at : at + size]) for size in (1, 2, 3) for at in range(len(tokens) - size + 1)]
    return [float(runs.count(gram)) for gram in feature.grams]


def _computed(feature: Computed, row: Row) -> list[float]:
    columns = {
        name: np.array([_text(row[name])], object)
        if datatype == "BYTES"
        else np.array([_single(row[name])], np.float32)
        for name, datatype in feature.reads
    }
    (value,) = evaluate(read_expression(feature.expression), columns).tolist()
    return [feature.fill if math.isnan(value) else min(max(value, -LIMIT), LIMIT)]


def _coded(code: int, width: int, one_hot: bool) -> list[float]:
    return [float(code == wanted) for wanted in range(width)] if one_hot else [float(code)]


def _tokens(text: str) -> list[str]:
    return [token for token in text.split(" ") if token][:256]


def _key(value: Any, datatype: str) -> Any:
    return _text(value) if datatype == "BYTES" else _single(value)


def _text(value: str | None) -> str:
    return "" if value is None else value


def _single(value: Any) -> float:
    with np.errstate(over="ignore"):
        return math.nan if value is None else float(np.float32(float(value)))
