"""Features learnt from what an engine counts: of each feature's columns the different values, and how often each is there.

One pass over the known rows tells of some thirty columns (GROUPING SETS). What comes is as large as there are different
values, is learnt from batch by batch, and is what the same learners would have counted of the rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from bailiwick.data.arrow_types import storable
from bailiwick.features.fitting import Fitting
from bailiwick.features.labels import labels_of
from bailiwick.features.learning import Counted
from bailiwick.features.model import FeatureSpec
from bailiwick.pipelines.sections import Label

MOST_COLUMNS = 30
"""That one statement groups by: which of them a row is of is told by the bits of a number."""
_NEED_NOTHING = frozenset({"date", "hash", "text"})


@dataclass(slots=True)
class Asked:
    """One statement: columns, and by which of them rows are grouped for which features. `f0` is the fold."""

    columns: list[str] = field(default_factory=list)
    sets: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    folded: bool = False

    def sql(self, known: str) -> str:
        """Over a SELECT of `c0`, `c1`, … and, where it is `folded`, `f0`."""
        names = self.names
        marks = " + ".join(f"GROUPING({name}) * {1 << place}" for place, name in enumerate(names))
        sets = ", ".join(f"({', '.join(self._name(column) for column in columns)})" for columns in self.sets)
        return f"SELECT {', '.join(names)}, {marks} AS g0, COUNT(*) AS n0 FROM ({known}) AS k GROUP BY GROUPING SETS ({sets})"

    @property
    def names(self) -> list[str]:
        """The columns as the statement calls them."""
        return [f"c{place}" for place in range(len(self.columns))] + (["f0"] if self.folded else [])

    def mark(self, columns: Sequence[str]) -> int:
        """The bits of a row that is grouped by these columns."""
        inside = {self._name(column) for column in columns}
        return sum(1 << place for place, name in enumerate(self.names) if name not in inside)

    def _name(self, column: str) -> str:
        return "f0" if column == _FOLD else f"c{self.columns.index(column)}"


_FOLD = ""
"""What stands for the fold among columns, which all have names."""


class Counting:
    """Features on their way, fed with what an engine counted. Raises InvalidInput as `Fitting`."""

    def __init__(self, specs: Sequence[FeatureSpec], schema: pa.Schema, label: Label) -> None:
        self.fitting = Fitting(specs, schema)
        self._specs = specs
        self._schema = schema
        self._label = label

    def asked(self) -> Iterator[Asked]:
        """The statements that tell all that is to be learnt."""
        asked = Asked()
        for columns, places in self._sets().items():
            named = [column for column in columns if column != _FOLD]
            if asked.sets and len({*asked.columns, *named}) > MOST_COLUMNS:
                yield asked
                asked = Asked()
            asked.columns = list(dict.fromkeys([*asked.columns, *named]))
            asked.sets[columns] = places
            asked.folded = asked.folded or _FOLD in columns
        if asked.sets:
            yield asked

    def take(self, asked: Asked, rows: pa.Table) -> None:
        """Some rows of what a statement told."""
        if not rows.num_rows:
            return
        marks = rows.column("g0").to_numpy(zero_copy_only=False).astype(np.int64)
        often = rows.column("n0").to_numpy(zero_copy_only=False).astype(np.int64)
        settled = storable(rows)
        for columns, places in asked.sets.items():
            mine = marks == asked.mark(columns)
            if not mine.any():
                continue
            named = [column for column in columns if column != _FOLD]
            kinds = pa.schema([self._schema.field(name) for name in named])
            found = settled.select([f"c{asked.columns.index(name)}" for name in named]).rename_columns(named)
            found = found.filter(pa.array(mine)).cast(kinds)
            self.fitting.count(places, found, self._counted(columns, found, settled, mine, often))

    def _counted(
        self, columns: Sequence[str], found: pa.Table, settled: pa.Table, mine: np.ndarray[tuple[int], np.dtype[np.bool_]],
        often: np.ndarray[tuple[int], np.dtype[np.int64]],
    ) -> Counted:  # fmt: skip
        if _FOLD not in columns:
            return Counted(often[mine])
        folds = settled.column("f0").filter(pa.array(mine)).to_numpy(zero_copy_only=False).astype(np.int64)
        return Counted(often[mine], labels_of(found, column=self._label.column, positive=self._label.positive), folds)

    def _sets(self) -> dict[tuple[str, ...], list[int]]:
        found: dict[tuple[str, ...], list[int]] = {}
        for place, spec in enumerate(self._specs):
            if spec.transform in _NEED_NOTHING or (spec.transform == "ngrams" and spec.method == "hash"):
                continue
            columns = tuple(dict.fromkeys(spec.reads))
            if spec.transform == "target":
                columns = (*columns, self._label.column, _FOLD)
            found.setdefault(columns, []).append(place)
        return found
