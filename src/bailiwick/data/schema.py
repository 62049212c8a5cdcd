"""The schema of a dataset: TFDV's `Schema` proto, inferred once, then reviewed and kept in git as text.

Inference follows TFDV 1.21: presence and shape from what was seen, then a domain of booleans, whole numbers in text, or
text values; no numeric ranges.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from bailiwick.core.errors import InvalidInput

MAX_STRING_DOMAIN = 100
TRUE_WORDS = frozenset({"TRUE", "true", "SET", "set", "1", ""})
FALSE_WORDS = frozenset({"FALSE", "false", "CLEAR", "clear", "0"})

_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")
_SIMILAR = 0.5  # Jaccard similarity above which two large sets of values are one domain …
_LARGE = 10  # … if both have more values than this; smaller sets must be equal
_Stats = statistics_pb2.FeatureNameStatistics
_TYPES = {
    _Stats.INT: schema_pb2.INT,
    _Stats.FLOAT: schema_pb2.FLOAT,
    _Stats.STRING: schema_pb2.BYTES,
    _Stats.BYTES: schema_pb2.BYTES,
    _Stats.STRUCT: schema_pb2.STRUCT,
}


def infer_schema(statistics: Any) -> Any:
    """A `Schema` that the first dataset of the statistics satisfies: a start to review, never a promise."""
    schema = schema_pb2.Schema()
    for stats in statistics.datasets[0].features:
        feature = schema.feature.add(name=feature_name(stats), type=_TYPES[stats.type])
        _infer_presence(feature, common_statistics(stats))
        _infer_domain(feature, stats, schema)
    return schema


def read_schema(path: Path) -> Any:
    """The schema in a text-format file. Raises InvalidInput naming the file, line and what is wrong there."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidInput(
            f"Schema file {path} does not exist.", hint="Infer one, review it, and keep it in git."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Schema file {path} cannot be read: {error}.") from error
    return parse_schema(text, str(path))


def parse_schema(text: str, origin: str = "schema") -> Any:
    """The schema in text format; `origin` is what an error calls the text."""
    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        where = f", line {error.GetLine()}" if error.GetLine() else ""
        reason = re.sub(r"^(\d+:\d+ : )+", "", str(error)).strip().rstrip(".")
        raise InvalidInput(
            f"{origin}{where}: {reason}.", hint="It should be a TFDV schema in protobuf text format."
        ) from error
    _check(schema, origin)
    return schema


def write_schema(schema: Any, path: Path) -> None:
    """Write the schema as text, whole or not at all (temporary file, then rename)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(schema_text(schema), encoding="utf-8")
    temporary.replace(path)


def schema_text(schema: Any) -> str:
    """The schema in protobuf text format, UTF-8 unescaped."""
    return str(text_format.MessageToString(schema, as_utf8=True))


def feature_name(stats: Any) -> str:
    """A feature's name in statistics: the path's steps joined by dots, or the old `name` field."""
    return ".".join(stats.path.step) or str(stats.name)


def common_statistics(stats: Any) -> Any:
    """The `CommonStatistics` of a feature, whatever its kind."""
    kind = stats.WhichOneof("stats")
    return getattr(stats, kind).common_stats if kind else statistics_pb2.CommonStatistics()


def string_values(stats: Any) -> dict[str, float]:
    """Values of a text feature with their counts, as far as the rank histogram goes (1,000 by default)."""
    return {bucket.label: bucket.sample_count for bucket in stats.string_stats.rank_histogram.buckets}


def is_integer(text: str) -> bool:
    """Whether text is a whole number that fits in 64 bits."""
    return bool(_INTEGER.fullmatch(text)) and -(2**63) <= int(text) < 2**63


def _infer_presence(feature: Any, common: Any) -> None:
    feature.presence.min_count = 1 if common.num_non_missing >= 1 else 0
    if not common.num_non_missing:
        return
    if common.num_missing == 0:
        feature.presence.min_fraction = 1.0
    low, high = common.min_num_values, common.max_num_values
    if low == high > 0 and common.num_missing == 0:
        feature.shape.dim.add(size=low)
    elif low == high > 0:
        feature.value_count.min, feature.value_count.max = low, high
    elif low > 0:
        feature.value_count.min = 1


def _infer_domain(feature: Any, stats: Any, schema: Any) -> None:
    if stats.type == _Stats.INT:
        if stats.num_stats.min >= 0 and stats.num_stats.max == 1:
            feature.bool_domain.SetInParent()
        return
    values = string_values(stats)
    if stats.type != _Stats.STRING or stats.string_stats.invalid_utf8_count or not values:
        return
    if len(values) <= 2 and _one_each(set(values)):
        feature.bool_domain.SetInParent()
        for word in values:
            if word in TRUE_WORDS:
                feature.bool_domain.true_value = word
            else:
                feature.bool_domain.false_value = word
    elif all(is_integer(value) for value in values):
        feature.int_domain.SetInParent()
    elif stats.string_stats.unique <= MAX_STRING_DOMAIN:
        feature.domain = _shared_domain(feature.name, set(values), schema)


def _one_each(words: set[str]) -> bool:
    return len(words & TRUE_WORDS) <= 1 and len(words & FALSE_WORDS) <= 1 and words <= TRUE_WORDS | FALSE_WORDS


def _shared_domain(name: str, values: set[str], schema: Any) -> str:
    """The name of a domain of like values that gains those it lacks, or of a new one."""
    for domain in schema.string_domain:
        known = set(domain.value)
        overlap = len(known & values) / len(known | values)
        if overlap == 1 or (overlap > _SIMILAR and min(len(known), len(values)) > _LARGE):
            domain.value.extend(sorted(values - known))
            return str(domain.name)
    schema.string_domain.add(name=name, value=sorted(values))
    return name


def _check(schema: Any, origin: str) -> None:
    names: set[str] = set()
    domains = {domain.name for domain in schema.string_domain}
    for feature in schema.feature:
        if not feature.name:
            raise InvalidInput(f"{origin}: a feature has no name.")
        if feature.name in names:
            raise InvalidInput(f"{origin}: feature {feature.name!r} appears twice.")
        names.add(feature.name)
        if feature.domain and feature.domain not in domains:
            raise InvalidInput.choice(f"{origin}: feature {feature.name!r}: domain", feature.domain, domains)
