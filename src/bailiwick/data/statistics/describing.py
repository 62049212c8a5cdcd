"""All that can be told of rows, at one call: TFDV's generators, chosen by keyword.

Of a table in memory, or of rows that are read once (twice, where it is asked what columns tell of a label) in memory that does
not grow with them. Both tell the same while there is room to keep all different values apart; past it a custom statistic says
by how much a figure may be off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bailiwick.core.deferred import deferred
from bailiwick.data.arrow_types import storable
from bailiwick.data.statistics.composites import Composites
from bailiwick.data.statistics.compute import compute_statistics
from bailiwick.data.statistics.crossing import Correlations, Lift
from bailiwick.data.statistics.custom import CustomStatistics
from bailiwick.data.statistics.empties import Empties
from bailiwick.data.statistics.information import Information
from bailiwick.data.statistics.language import Language
from bailiwick.data.statistics.meaning import Meanings
from bailiwick.data.statistics.merging import Part, count_part
from bailiwick.data.statistics.room import Room
from bailiwick.data.statistics.slicing import SliceCounting, require_sliceable, split_rows
from bailiwick.data.statistics.streaming import Counting, Rows, grouped
from bailiwick.data.statistics.view import ALL_EXAMPLES
from bailiwick.data.statistics.weighting import Weights

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = deferred("pyarrow")


class Gatherer(Protocol):
    """What looks at rows as they go by, and then tells."""

    def add(self, rows: pa.Table) -> None:
        """The next rows, in storable types."""

    def tell(self, dataset: Any) -> None:
        """Add what was found to a `DatasetFeatureStatistics`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is wanted beside plain statistics.

    `weight`: a column that says how much a row counts. `label`: a column whose lift by the values of others is wanted, and
    what the others tell of it. `schema`: texts of features to which it gives a natural-language domain are counted by token,
    in the `vocabularies` by name, and its sparse and weighted features are looked at. `custom`: aggregates in SQL by name, of
    rows that go by.
    """

    weight: str = ""
    label: str = ""
    correlations: bool = False
    meanings: bool = False
    schema: Any = None
    vocabularies: Mapping[str, Sequence[str]] | None = None
    custom: Mapping[str, str] = field(default_factory=dict)


class _Gathering:
    """Those that look at one dataset, in the order that they tell in."""

    def __init__(self, asked: Asked, room: Room) -> None:
        self._label = asked.label
        self._first: list[Gatherer] = []
        self._last: list[Gatherer] = []
        self._information: Information | None = None
        if asked.weight:
            self._first.append(Weights(asked.weight, room=room))
        if asked.correlations:
            self._first.append(Correlations())
        if asked.label:
            self._first.append(Lift(asked.label, room=room))
        if asked.schema is not None:
            self._last.append(Language(asked.schema, asked.vocabularies, room=room))
        if asked.meanings:
            self._last += [Meanings(), Empties()]
        if asked.schema is not None:
            self._last.append(Composites(asked.schema))

    def add(self, rows: pa.Table) -> None:
        for each in (*self._first, *self._last):
            each.add(rows)

    def begin_again(self, schema: pa.Schema, counted: Part) -> None:
        """Once all rows were counted, look at them for what they tell of the label."""
        self._information = Information(self._label, schema, counted)

    def add_again(self, rows: pa.Table) -> None:
        if self._information is not None:
            self._information.add(rows)

    def tell(self, dataset: Any) -> None:
        between = [self._information] if self._information is not None else []
        for each in (*self._first, *between, *self._last):
            each.tell(dataset)


def describe(
    table: pa.Table,
    name: str = "",
    *,
    slices: Mapping[str, pa.Table] | None = None,
    weight: str = "",
    label: str = "",
    correlations: bool = False,
    meanings: bool = False,
    schema: Any = None,
    vocabularies: Mapping[str, Sequence[str]] | None = None,
) -> Any:
    """A `DatasetFeatureStatisticsList` of the table, and of each slice that has rows (then the first is `All Examples`).

    See `Asked` for what else there is. Raises InvalidInput as those that add these do.
    """
    asked = Asked(
        weight=weight,
        label=label,
        correlations=correlations,
        meanings=meanings,
        schema=schema,
        vocabularies=vocabularies,
    )
    statistics = compute_statistics(table, ALL_EXAMPLES if slices else name)
    parts = [table]
    for slice_name, rows in (slices or {}).items():
        if rows.num_rows:
            statistics.datasets.extend(compute_statistics(rows, slice_name).datasets)
            parts.append(rows)
    for place, (dataset, rows) in enumerate(zip(statistics.datasets, parts, strict=True)):
        settled = storable(rows)
        gathering = _Gathering(asked, Room(len(settled.schema), len(parts) - 1 if place else 1))
        gathering.add(settled)
        if label:
            gathering.begin_again(settled.schema, count_part(settled))
            gathering.add_again(settled)
        gathering.tell(dataset)
    return statistics


def describe_rows(
    rows: Rows, name: str = "", *, by: str = "", asked: Asked | None = None, distinct: bool = False
) -> Any:
    """The same of rows that may be more than memory holds, sliced by the values of a column; see `Part.finish` for `distinct`.

    Raises InvalidInput for a column to slice by that has more than `slicing.MOST_SLICES` values, and as `describe` does.
    """
    if by:
        require_sliceable(rows.schema, by)
    return _Describing(rows, asked or Asked(), by, distinct=distinct).told(name)


class _Describing:
    def __init__(self, rows: Rows, asked: Asked, by: str, *, distinct: bool) -> None:
        self._distinct = distinct
        self._rows = rows
        self._asked = asked
        self._by = by
        self._schema = storable(rows.schema.empty_table()).schema
        self._room = Room(len(self._schema))
        self._whole = _Gathering(asked, Room(len(self._schema)))
        self._counts = SliceCounting(by)
        self._slices: dict[str, _Gathering] = {}
        self._custom: CustomStatistics | None = None

    def told(self, name: str) -> Any:
        counted = self._count()
        parts = {slice_name: self._counts.part(slice_name) for slice_name in self._counts.names}
        if self._asked.label:
            self._look_again(counted, parts)
        order = self._schema.names
        statistics = counted.finish(ALL_EXAMPLES if parts else name, order=order, distinct=self._distinct)
        self._whole.tell(statistics.datasets[0])
        if self._custom is not None:
            self._custom.tell(statistics.datasets[0])
        for slice_name, part in parts.items():
            (dataset,) = part.finish(slice_name, order=order, distinct=self._distinct).datasets
            self._slices[slice_name].tell(dataset)
            if self._custom is not None:
                self._custom.tell(dataset, slice_name)
            statistics.datasets.append(dataset)
        return statistics

    def _count(self) -> Part:
        with ExitStack() as stack:
            counting = stack.enter_context(Counting())
            if self._asked.custom:
                custom = CustomStatistics(self._schema, self._asked.custom, by=self._by)
                self._custom = stack.enter_context(custom)
            counting.add(self._rows.schema.empty_table())
            self._whole.add(self._schema.empty_table())
            for table in grouped(self._rows):
                counting.add(table)
                settled = storable(table)
                self._whole.add(settled)
                if self._custom is not None:
                    self._custom.add(settled)
                for name, some in split_rows(settled, self._by) if self._by else ():
                    self._counts.add(name, some)
                    if name not in self._slices:
                        self._room.slices = len(self._slices) + 1
                        self._slices[name] = _Gathering(self._asked, self._room)
                    self._slices[name].add(some)
                self._counts.settle()
            if self._custom is not None:
                self._custom.finish()
            return counting.part()

    def _look_again(self, counted: Part, parts: Mapping[str, Part]) -> None:
        self._whole.begin_again(self._schema, counted)
        for name, part in parts.items():
            self._slices[name].begin_again(self._schema, part)
        for table in grouped(self._rows):
            settled = storable(table)
            self._whole.add_again(settled)
            for name, some in split_rows(settled, self._by) if self._by else ():
                self._slices[name].add_again(some)
