"""Reading TFDV's statistics: features by path, and the weighted numbers instead of the plain ones where all are there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from bailiwick.core.errors import InvalidInput

Path = tuple[str, ...]
Stats = statistics_pb2.FeatureNameStatistics

ALL_EXAMPLES = "All Examples"
"""TFDV's name of the slice that holds every example."""

_STANDARD_STEP = re.compile(r"(\([^()]*\))|([^().']+)")
_SCHEMA_TYPES = {
    Stats.INT: schema_pb2.INT,
    Stats.FLOAT: schema_pb2.FLOAT,
    Stats.STRING: schema_pb2.BYTES,
    Stats.BYTES: schema_pb2.BYTES,
    Stats.STRUCT: schema_pb2.STRUCT,
}


def serialise_path(path: Path) -> str:
    """The path as TFDV keys anomalies: steps joined by dots, a step that holds `.`, `'` or a bracket in quotes."""
    return ".".join(step if _STANDARD_STEP.fullmatch(step) else "'" + step.replace("'", "''") + "'" for step in path)


def dataset_of(statistics: Any, what: str = "The statistics") -> Any:
    """The only dataset of a list, or the one of all examples among slices. Raises InvalidInput for neither."""
    datasets = statistics.datasets
    if len(datasets) == 1:
        return datasets[0]
    for dataset in datasets:
        if dataset.name == ALL_EXAMPLES:
            return dataset
    raise InvalidInput(
        f"{what} hold {len(datasets)} datasets and none is called {ALL_EXAMPLES!r}.", hint="Choose one slice of them."
    )


class DatasetView:
    """One dataset's statistics; `by_weight` is decided by the data when it is None."""

    def __init__(self, dataset: Any, *, by_weight: bool | None = None) -> None:
        self.dataset = dataset
        present = [feature for feature in dataset.features if not _empty(feature)]
        self.by_weight = _weighted(dataset, present) if by_weight is None else by_weight
        paths = _named_by(dataset.features)
        placed = _by_path(present) if paths else _by_name(present)
        self.features = {path: FeatureView(self, stats, path) for path, stats in placed}
        for path in sorted(self.features):
            parent = self.features.get(path[:-1])
            if parent is not None:
                parent.children.append(self.features[path])

    @property
    def examples(self) -> float:
        """How many examples there are, or how much they weigh."""
        return float(self.dataset.weighted_num_examples if self.by_weight else self.dataset.num_examples)

    @property
    def roots(self) -> list[FeatureView]:
        """Features that belong to no struct, in the order of the statistics."""
        return [view for path, view in self.features.items() if path[:-1] not in self.features]


class FeatureView:
    """What rules ask of one feature's statistics."""

    def __init__(self, dataset: DatasetView, stats: Any, path: Path) -> None:
        self.dataset = dataset
        self.stats = stats
        self.path = path
        self.children: list[FeatureView] = []

    @property
    def type(self) -> int:
        """A `FeatureNameStatistics.Type`."""
        return int(self.stats.type)

    @property
    def schema_type(self) -> int:
        """The `FeatureType` of the schema that holds such data."""
        return int(_SCHEMA_TYPES.get(self.stats.type, schema_pb2.TYPE_UNKNOWN))

    @cached_property
    def common(self) -> Any:
        """The `CommonStatistics`, whatever the kind of statistics."""
        return common_statistics(self.stats)

    @property
    def present(self) -> float:
        """In how many examples there is a value."""
        weighted = self.common.weighted_common_stats
        return float(weighted.num_non_missing if self.dataset.by_weight else self.common.num_non_missing)

    @property
    def missing(self) -> float:
        """In how many examples there is none."""
        weighted = self.common.weighted_common_stats
        return float(weighted.num_missing if self.dataset.by_weight else self.common.num_missing)

    @property
    def missing_by_level(self) -> list[float]:
        """Missing at each level of nested lists, outermost first."""
        levels = (
            self.common.weighted_presence_and_valency_stats
            if self.dataset.by_weight
            else self.common.presence_and_valency_stats
        )
        return [float(level.num_missing) for level in levels] or [self.missing]

    @property
    def fraction_present(self) -> float | None:
        """The share of examples with a value; None where nothing says how many examples there are."""
        if self.dataset.examples <= 0:
            return None
        return 1.0 if self.missing == 0 else self.present / self.dataset.examples

    @property
    def lengths(self) -> list[tuple[int, int]]:
        """Fewest and most values of an example at each level of nested lists, outermost first."""
        levels = self.common.presence_and_valency_stats or [self.common]
        return [(max(level.min_num_values, 0), level.max_num_values) for level in levels]

    @property
    def nested(self) -> bool:
        """Whether values are lists of lists."""
        return len(self.common.presence_and_valency_stats) > 1

    @cached_property
    def values(self) -> dict[str, float]:
        """Text values with their counts in order of the text, as far as the rank histogram goes."""
        text = self.stats.string_stats
        histogram = text.weighted_string_stats.rank_histogram if self.dataset.by_weight else text.rank_histogram
        counts: dict[str, float] = {}
        for bucket in histogram.buckets:
            counts.setdefault(bucket.label, bucket.sample_count)
        return dict(sorted(counts.items()))

    @property
    def total_values(self) -> float:
        """How many values all examples have together."""
        if self.dataset.by_weight:
            return float(self.common.weighted_common_stats.tot_num_values)
        return float(self.common.tot_num_values or self.common.num_non_missing * self.common.avg_num_values)

    @property
    def invalid_utf8(self) -> bool:
        """Whether a value was not UTF-8."""
        return bool(self.stats.string_stats.invalid_utf8_count > 0)

    @property
    def unique(self) -> int | None:
        """How many different values there are; None for features that are not counted by value."""
        return int(self.stats.string_stats.unique) if self.stats.HasField("string_stats") else None

    @property
    def numbers(self) -> Any:
        """The `NumericStatistics`."""
        return self.stats.num_stats

    def histogram(self, kind: int) -> Any | None:
        """The first numeric histogram of a `Histogram.HistogramType`."""
        numbers = self.stats.num_stats
        found = numbers.weighted_numeric_stats.histograms if self.dataset.by_weight else numbers.histograms
        return next((histogram for histogram in found if histogram.type == kind), None)

    def custom(self, name: str) -> Any | None:
        """The first custom statistic of that name."""
        return next((stat for stat in self.stats.custom_stats if stat.name == name), None)


def common_statistics(stats: Any) -> Any:
    """The `CommonStatistics` of a feature, whatever its kind."""
    kind = stats.WhichOneof("stats")
    return getattr(stats, kind).common_stats if kind else statistics_pb2.CommonStatistics()


def _empty(stats: Any) -> bool:
    return stats.WhichOneof("stats") is None and not stats.custom_stats


def _weighted(dataset: Any, features: Iterable[Any]) -> bool:
    if dataset.weighted_num_examples == 0:
        return False
    commons = [common_statistics(stats) for stats in features]
    return all(
        common.HasField("weighted_common_stats")
        and len(common.presence_and_valency_stats) == len(common.weighted_presence_and_valency_stats)
        for common in commons
    )


def _named_by(features: Iterable[Any]) -> bool:
    """Whether features have paths (not old names). Raises InvalidInput where some have one and some the other."""
    kinds = {stats.WhichOneof("field_id") == "path" for stats in features}
    if len(kinds) > 1:
        raise InvalidInput("Some features of the statistics have a path and some a name; all should have a path.")
    return kinds == {True}


def _by_path(features: Iterable[Any]) -> list[tuple[Path, Any]]:
    return [(tuple(stats.path.step), stats) for stats in features]


def _by_name(features: Iterable[Any]) -> list[tuple[Path, Any]]:
    """Old statistics: `struct.field` belongs to the struct `struct`, if there is one."""
    named = {str(stats.name): stats for stats in features}
    placed: dict[str, Path] = {}
    structs: list[str] = []
    for name, stats in sorted(named.items()):
        while structs and not (len(name) > len(structs[-1]) and name.startswith(structs[-1])):
            structs.pop()
        path = (*placed[structs[-1]], name[len(structs[-1]) + 1 :]) if structs else (name,)
        placed[name] = path
        if stats.type == Stats.STRUCT:
            structs.append(name)
    return [(placed[name], stats) for name, stats in named.items()]
