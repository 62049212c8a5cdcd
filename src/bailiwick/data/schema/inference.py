"""Schemas inferred from statistics as TFDV 1.21 does it: presence and shape from what was seen, then a domain of
booleans, whole numbers in text, or text values.

Ours, on request: features whose text values are much alike share a domain, and numbers get the range that was seen.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from bailiwick.data.schema.tree import SchemaTree
from bailiwick.data.statistics.view import DatasetView, FeatureView, Stats, dataset_of

MAX_STRING_DOMAIN = 100
TRUE_WORDS = frozenset({"TRUE", "true", "SET", "set", "1", ""})
FALSE_WORDS = frozenset({"FALSE", "false", "CLEAR", "clear", "0"})

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,40}\s*", re.ASCII)
_SIMILAR = 0.5  # Jaccard similarity above which two large sets of values are one domain …
_LARGE = 10  # … if both have more values than this; smaller sets must be equal


@dataclass(frozen=True, slots=True)
class Inference:
    """What is read out of statistics about a new feature.

    `shape`: a fixed number of values becomes a shape (not a value count). `max_string_domain`: most values of a text
    domain. `share_domains`: one domain for like sets of values. `ranges`: numbers may be no smaller or larger than seen.
    """

    shape: bool = True
    max_string_domain: int = MAX_STRING_DOMAIN
    share_domains: bool = True
    ranges: bool = False


def infer_schema(statistics: Any, how: Inference | None = None) -> Any:
    """A `Schema` that the statistics (of all examples, where there are slices) satisfy: a start to review, no promise."""
    tree = SchemaTree(schema_pb2.Schema())
    view = DatasetView(dataset_of(statistics))
    known = LikeDomains(tree)
    for feature in view.roots:
        add_feature(tree, feature, how or Inference(), known)
    return tree.schema


def add_feature(tree: SchemaTree, view: FeatureView, how: Inference, known: LikeDomains | None = None) -> None:
    """Add the feature, and what is in it, to the schema. Features without common statistics teach nothing and are not.

    `known`: domains of this schema; whoever adds many features should keep it.
    """
    if view.stats.WhichOneof("stats") is None:
        return
    feature = tree.add(view.path)
    feature.type = view.schema_type
    _infer_presence(feature, view, shape=how.shape)
    if view.stats.HasField("validation_derived_source"):
        feature.validation_derived_source.CopyFrom(view.stats.validation_derived_source)
        feature.lifecycle_stage = schema_pb2.VALIDATION_DERIVED
    known = known or LikeDomains(tree)
    _infer_domain(tree, feature, view, how, known)
    for child in view.children:
        add_feature(tree, child, how, known)


class LikeDomains:
    """Which text domains hold which words, so that a like one is found without looking at all of them."""

    def __init__(self, tree: SchemaTree) -> None:
        self._domains = tree.domains
        self._words: dict[str, set[str]] = {}
        self._holders: dict[str, dict[str, None]] = {}
        for name, domain in tree.domains.items():
            self._learn(name, domain.value)

    def find(self, values: set[str]) -> str | None:
        """The first domain of the schema that has the same words, or of many words more than half."""
        overlaps: Counter[str] = Counter()
        for value in values:
            overlaps.update(self._holders.get(value, {}).keys())
        found = [name for name, shared in overlaps.items() if self._is_like(self._words[name], values, shared)]
        return min(found, key=list(self._words).index) if len(found) > 1 else next(iter(found), None)

    def extend(self, name: str, values: set[str]) -> None:
        """Give a domain the words that it lacks."""
        self._domains[name].value.extend(sorted(values - self._words.get(name, set())))
        self._learn(name, values)

    def _is_like(self, known: set[str], values: set[str], shared: int) -> bool:
        overlap = shared / (len(known) + len(values) - shared)
        return overlap == 1 or (overlap > _SIMILAR and min(len(known), len(values)) > _LARGE)

    def _learn(self, name: str, values: Iterable[str]) -> None:
        self._words.setdefault(name, set()).update(values)
        for value in values:
            self._holders.setdefault(value, {})[name] = None


def infer_value_count(feature: Any, view: FeatureView) -> None:
    """Say how many values an example has: exactly so many, or at least one."""
    if view.nested:
        for low, high in view.lengths:
            _limit(feature.value_counts.value_count.add(), low, high)
    elif view.lengths[0][0] > 0:
        _limit(feature.value_count, *view.lengths[0])


def adopt_semantic_domain(feature: Any, view: FeatureView) -> bool:
    """Take over the domain that the statistics guess (custom statistic `domain_info`), if the feature has none yet.

    Anything but exactly one field of the `domain_info` choice is passed over, as TFDV does.
    """
    guesses = [stat.str for stat in view.stats.custom_stats if stat.name == "domain_info" and stat.str]
    if len(guesses) != 1 or feature.WhichOneof("domain_info") is not None:
        return False
    try:
        guess = text_format.Parse(guesses[0], schema_pb2.Feature())
    except (text_format.ParseError, RecursionError):  # a guess that cannot be read is no guess
        return False
    fields = guess.ListFields()
    if len(fields) != 1 or guess.WhichOneof("domain_info") != fields[0][0].name:
        return False
    feature.MergeFrom(guess)
    return True


def is_integer(text: str) -> bool:
    """Whether text is a whole number that fits in 64 bits."""
    return bool(_INTEGER.fullmatch(text)) and -(2**63) <= int(text) < 2**63


def _infer_presence(feature: Any, view: FeatureView, *, shape: bool) -> None:
    feature.presence.min_count = 1 if view.present >= 1 else 0
    if view.present <= 0:
        return
    if view.missing == 0:
        feature.presence.min_fraction = 1.0
    fixed = all(low == high > 0 for low, high in view.lengths) and not any(view.missing_by_level)
    if shape and fixed and view.schema_type != schema_pb2.STRUCT:
        for size, _ in view.lengths:
            feature.shape.dim.add(size=size)
    else:
        infer_value_count(feature, view)


def _limit(count: Any, low: int, high: int) -> None:
    if low == high > 0:
        count.min, count.max = low, high
    elif low > 0:
        count.min = 1


def _infer_domain(tree: SchemaTree, feature: Any, view: FeatureView, how: Inference, known: LikeDomains) -> None:
    values = list(view.values)
    if adopt_semantic_domain(feature, view):
        return
    if view.invalid_utf8 or view.type == Stats.BYTES:
        return
    if _is_bool(view):
        feature.bool_domain.SetInParent()
        for word in values if view.type == Stats.STRING else ():
            if word in TRUE_WORDS:
                feature.bool_domain.true_value = word
            else:
                feature.bool_domain.false_value = word
    elif view.type == Stats.STRING and values and all(map(is_integer, values)):
        feature.int_domain.SetInParent()
        if how.ranges:
            feature.int_domain.min, feature.int_domain.max = min(map(int, values)), max(map(int, values))
    elif 0 < len(values) <= how.max_string_domain:
        feature.domain = _domain_of(tree, view, how, known)
    elif how.ranges:
        _infer_range(feature, view)


def _is_bool(view: FeatureView) -> bool:
    if view.type == Stats.INT:
        return bool(view.numbers.min >= 0 and view.numbers.max == 1)
    words = set(view.values)
    if view.type != Stats.STRING or not words or len(words) > 2:
        return False
    return len(words & TRUE_WORDS) <= 1 and len(words & FALSE_WORDS) <= 1 and words <= TRUE_WORDS | FALSE_WORDS


def _infer_range(feature: Any, view: FeatureView) -> None:
    low, high = view.numbers.min, view.numbers.max
    if view.present <= 0 or not (math.isfinite(low) and math.isfinite(high)):
        return
    if view.type == Stats.INT and -(2**63) <= low <= high < 2**63:
        feature.int_domain.min, feature.int_domain.max = int(low), int(high)
    elif view.type == Stats.FLOAT:
        feature.float_domain.min, feature.float_domain.max = low, high


def _domain_of(tree: SchemaTree, view: FeatureView, how: Inference, known: LikeDomains) -> str:
    """The name of a domain of like values that gains those it lacks, or of a new one."""
    values = set(view.values)
    like = known.find(values) if how.share_domains else None
    if like is None:
        like = str(tree.add_domain(".".join(view.path)).name)
    known.extend(like, values)
    return like
