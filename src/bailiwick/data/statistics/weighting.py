"""Statistics in which a row counts by its weight: TFDV's `weighted_*` fields, beside the plain ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable
from bailiwick.data.statistics.columns import Column, countable_column
from bailiwick.data.statistics.counts import equal_edges, moments
from bailiwick.data.statistics.masses import NumberMasses, TextMasses
from bailiwick.data.statistics.room import Room
from bailiwick.data.statistics.telling import NUM_BUCKETS, NUM_RANK_BUCKETS, NUM_TOP_VALUES

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np, pa = deferred("numpy"), deferred("pyarrow")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")


def add_weights(dataset: Any, table: pa.Table, weight: str) -> None:
    """Weigh each row by a column, in the statistics of a table that `compute_statistics` gave.

    Raises InvalidInput for a column that is not there, or has a weight that is missing, negative or not a number.
    """
    found = Weights(weight)
    found.add(storable(table))
    found.tell(dataset)


@dataclass(slots=True)
class _Column:
    present: float = 0.0
    missing: float = 0.0
    total: float = 0.0
    kind: str = ""
    numbers: NumberMasses = field(default_factory=NumberMasses)
    texts: TextMasses = field(default_factory=TextMasses)


class Weights:
    """What `add_weights` tells, of rows that come in parts. Past the room for different values of a column ranks and masses have an
    error, which custom statistics `weighted_rank_error` and `weighted_mass_error` tell, as a share.
    """

    def __init__(self, weight: str, *, room: Room | None = None) -> None:
        self._weight = weight
        self._room = room or Room()
        self._rows = 0
        self._total = 0.0
        self._columns: dict[str, _Column] = {}

    def add(self, rows: pa.Table) -> None:
        """The next rows, in storable types. Raises InvalidInput for what is no weight."""
        weights = self._weights(rows)
        self._rows += rows.num_rows
        self._total += float(weights.sum())
        for name, values in zip(rows.column_names, rows.columns, strict=True):
            column = self._columns.setdefault(name, _Column())
            self._weigh(column, countable_column(name, values), values.is_valid().to_numpy(), weights)

    def tell(self, dataset: Any) -> None:
        """Add what was found."""
        dataset.weighted_num_examples = self._total
        for feature in dataset.features:
            found = self._columns.get(feature.path.step[0])
            if found is None:
                continue
            stats = getattr(feature, feature.WhichOneof("stats"))
            common = stats.common_stats.weighted_common_stats
            common.num_non_missing, common.num_missing, common.tot_num_values = (
                found.present,
                found.missing,
                found.total,
            )
            common.avg_num_values = found.total / found.present if found.present else 0.0
            if found.kind == "num_stats":
                _tell_numbers(stats.weighted_numeric_stats, found.numbers)
                if found.numbers.error:
                    feature.custom_stats.add(name="weighted_rank_error", num=found.numbers.error / found.numbers.total)
            elif found.kind == "string_stats":
                _tell_texts(stats.weighted_string_stats, found.texts)
                if found.texts.error:
                    feature.custom_stats.add(name="weighted_mass_error", num=found.texts.error / found.texts.total)

    def _weights(self, rows: pa.Table) -> Any:
        weight = self._weight
        if weight not in rows.column_names:
            raise InvalidInput.choice("Weight column", weight, rows.column_names)
        column = rows.column(weight)
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise InvalidInput(f"Weight column {weight!r} is {column.type}, not numbers.")
        weights = column.cast(pa.float64()).to_numpy()
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(wrong):
            raise InvalidInput(
                f"Weight column {weight!r}, row {self._rows + wrong[0] + 1}: {column[int(wrong[0])]} is no weight.",
                hint="Weights are numbers from 0.",
            )
        return weights

    def _weigh(self, into: _Column, column: Column, there: Any, weights: Any) -> None:
        present = weights[there]
        lengths = np.ones(len(present), dtype=np.int64) if column.lengths is None else column.lengths
        into.present += float(present.sum())
        into.missing += float(weights[~there].sum())
        into.total += float(np.dot(present, lengths))
        kinds = protos.FeatureNameStatistics
        kind = {kinds.INT: "num_stats", kinds.FLOAT: "num_stats", kinds.STRING: "string_stats"}.get(column.kind)
        by_value = weights if column.lengths is None else np.repeat(present, lengths)
        if kind is None or column.levels or len(column.values) != len(by_value):
            return  # lists in lists: which row an inner value belongs to is not kept
        into.kind = kind
        of_values = by_value[column.values.is_valid().to_numpy()]
        if kind == "num_stats":
            values = column.values.drop_null().to_numpy().astype(np.float64)
            into.numbers = into.numbers.merge(NumberMasses.of(values, of_values), self._room.values)
        else:
            found = TextMasses.of(column.values.drop_null(), of_values)
            into.texts = into.texts.merge(found, self._room.values)


def _tell_numbers(stats: Any, found: NumberMasses) -> None:
    nan = round(found.nan)  # TFDV has a whole number here
    standard = stats.histograms.add(type=protos.Histogram.STANDARD, num_nan=nan)
    quantile = stats.histograms.add(type=protos.Histogram.QUANTILES, num_nan=nan)
    total = found.total
    if total:
        told = found.told()
        stats.mean, stats.std_dev = moments(told, found.values, found.masses)
        ends = np.cumsum(found.masses)
        places = np.searchsorted(ends, np.linspace(0, 1, NUM_BUCKETS + 1) * ends[-1], side="left")
        cuts = found.values[np.minimum(places, len(ends) - 1)]
        cuts[0], cuts[-1] = told.low, told.high
        stats.median = float(cuts[NUM_BUCKETS // 2])
        for i in range(NUM_BUCKETS):
            quantile.buckets.add(low_value=cuts[i], high_value=cuts[i + 1], sample_count=total / NUM_BUCKETS)
        edges = np.unique(_even(told.low, told.high))
        if len(edges) == 1:
            standard.buckets.add(low_value=edges[0], high_value=edges[0], sample_count=total)
        else:
            masses, _ = np.histogram(found.values, bins=edges, weights=found.masses)
            for i, count in enumerate(masses):
                standard.buckets.add(low_value=edges[i], high_value=edges[i + 1], sample_count=count)
    for infinity, mass in ((-np.inf, found.low_infinity), (np.inf, found.high_infinity)):
        if mass:
            standard.buckets.add(low_value=infinity, high_value=infinity, sample_count=mass)
            quantile.buckets.add(low_value=infinity, high_value=infinity, sample_count=mass)


def _even(low: float, high: float) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(low, high, NUM_BUCKETS + 1)
    return edges if np.isfinite(edges).all() else np.array(equal_edges(low, high, NUM_BUCKETS))


def _tell_texts(stats: Any, found: TextMasses) -> None:
    for rank, (value, mass) in enumerate(found.ranked(NUM_RANK_BUCKETS)):
        if rank < NUM_TOP_VALUES:
            stats.top_values.add(value=value, frequency=mass)
        stats.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=mass)
