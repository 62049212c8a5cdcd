"""A snapshot's rows divided on the engine where they stay: on the sides that the same rows read here are on.

What leaves the engine is counts of different values, the columns that features read of the rows that teach, from which the
matrix is made batch by batch, and the columns that packages read of those that judge. A batch is `BATCH_BYTES` at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.data.arrow_types import storable
from bailiwick.data.engines.draws import drawn, key_text, longest, part_of
from bailiwick.data.engines.engine import EncodingEngine, RowEngine
from bailiwick.data.engines.model import Column, Kind
from bailiwick.data.engines.profiling import build_engine_profile
from bailiwick.data.engines.standing import column_of, schema_of, time_column
from bailiwick.data.model import Snapshot
from bailiwick.data.splits import Split, limits_of
from bailiwick.features.compilation import compile_features
from bailiwick.features.cross_fitting import TrainingGraphs
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.labels import labels_of
from bailiwick.features.model import FeatureSpec, FittedFeatures
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.standing import rows_of
from bailiwick.lifecycle.training.engine_fitting import Counting
from bailiwick.lifecycle.training.shares import (
    BATCH_BYTES,
    HOLDOUT,
    PARTS,
    TRAIN,
    VALID,
    by_share,
    check_sizes,
    split_name,
)
from bailiwick.pipelines.project import Project
from bailiwick.pipelines.sections import Label
from bailiwick.pipelines.sections import Split as Declared

if TYPE_CHECKING:
    from bailiwick.data.profile import Profile

_FOLD_COLUMN = "bailiwick fold"
_FOLDS_SEED = 1
"""Folds are drawn by the key; a division by the same key with seed 0 tells nothing of them."""


class EngineRows:
    """Rows by part, as `DividedRows` has them. Rows of one moment are in the order of `data.key`. To be closed."""

    def __init__(self, held: ExitStack, rows: RowEngine, project: Project, split: Split) -> None:
        self.split = split
        self._held = held
        self._rows = rows
        self._time = time_column(rows, project.data.time)
        self._key = column_of(rows, project.data.key, "Key") if project.data.key else None
        self._label: Label = project.data.label
        self._schema = schema_of(rows)
        self._by = column_of(rows, split.column, "Column to split by") if split.kind != "time" else None
        self._blocks: dict[str, int] = {}
        self._cuts = self._moments() if split.kind == "time" else []
        counted = rows.ask(f"SELECT p0, COUNT(*) FROM ({self._divided({})}) AS d GROUP BY p0")
        found = {int(part): int(count) for part, count in counted}
        self.counts: Mapping[str, int] = {name: found.get(place, 0) for place, name in enumerate(PARTS)}

    @property
    def known_rows(self) -> int:
        """Rows of `train` and `valid`."""
        return self.counts[TRAIN] + self.counts[VALID]

    def close(self) -> None:
        """Let go of the engine."""
        self._held.close()

    def fit(self, specs: Sequence[FeatureSpec]) -> tuple[FittedFeatures, tuple[FittedFeatures, ...]]:
        """The features, fitted to counts of the known rows; and the same without each fold, where labels are used."""
        counting = Counting(specs, self._schema, self._label)
        folds = counting.fitting.folds
        for asked in counting.asked():
            values = {f"c{place}": self._grouped(name) for place, name in enumerate(asked.columns)}
            known = self._known(values, folds=folds if asked.folded else 0)
            for batch in self._rows.stream(asked.sql(known)):
                counting.take(asked, pa.Table.from_batches([batch]))
        fitted = counting.fitting
        return fitted.finish(), tuple(fitted.finish(without=fold) for fold in range(folds))

    def encoded(
        self, features: FittedFeatures, folds: Sequence[FittedFeatures], *, threads: int
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """The matrix and labels of the known rows in their order; what is made of labels, is made of each row without its own."""
        inputs = list(features.inputs)
        columns = list(dict.fromkeys([*inputs, self._label.column]))
        sql = self._ordered(self._known(self._places(columns), folds=len(folds)), columns, folded=bool(folds))
        if isinstance(self._rows, EncodingEngine):
            yield from self._encoded_there(self._rows, sql, columns, features, folds)
            return
        graphs = TrainingGraphs(FeatureGraph(compile_features(features), threads=threads), folds, threads=threads)
        for rows in self._read(sql, columns, folded=bool(folds)):
            drawn_folds = rows.column(len(columns)).to_numpy().astype(np.int64) if folds else None
            yield graphs.run(rows.select(inputs), folds=drawn_folds), self.labels(rows)

    def _encoded_there(
        self, engine: EncodingEngine, sql: str, columns: Sequence[str], features: FittedFeatures,
        folds: Sequence[FittedFeatures],
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:  # fmt: skip
        graphs = [compile_features(each).SerializeToString() for each in (folds or [features])]
        fold = "" if not folds else _FOLD_COLUMN
        read, label = [*columns, *([fold] if fold else [])], self._label.column
        for batch in engine.encode(sql, read, graphs, label=label, fold=fold):
            kind = self._schema.field(label).type
            rows = storable(pa.table({label: batch.column("label")})).cast(pa.schema([(label, kind)]))
            matrix = batch.column("matrix")
            values = matrix.flatten().to_numpy(zero_copy_only=False).reshape(len(matrix), -1)
            yield values, self.labels(rows)

    def labels(self, rows: pa.Table) -> NDArray[np.int64]:
        """Of each row."""
        return labels_of(rows, column=self._label.column, positive=self._label.positive)

    def holdout(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows that judge, in order of time."""
        held = f"SELECT * FROM ({self._divided(self._places(columns))}) AS d WHERE p0 = {PARTS.index(HOLDOUT)}"
        yield from self._read(self._ordered(held, columns), columns)

    def profile(self, columns: Sequence[str]) -> Profile:
        """What monitoring holds live traffic against, counted there of all rows."""
        return build_engine_profile(self._rows, columns)

    def _read(self, sql: str, columns: Sequence[str], *, folded: bool = False) -> Iterator[pa.Table]:
        names = [*columns, "f0"] if folded else list(columns)
        for batch in self._rows.stream(sql):
            if not batch.num_rows:
                continue
            kinds = pa.schema([self._schema.field(name) for name in columns])
            rows = storable(pa.Table.from_batches([batch]))
            cast = rows.select(range(len(columns))).rename_columns(list(columns)).cast(kinds)
            if folded:
                cast = pa.table([*cast.columns, rows.column(len(columns))], names=names)
            most = max(1, cast.num_rows * BATCH_BYTES // max(1, cast.nbytes))
            for first in range(0, cast.num_rows, most):
                yield cast.slice(first, most)

    def _places(self, columns: Sequence[str]) -> dict[str, str]:
        for name in columns:
            column_of(self._rows, name, "Column")
        return {f"c{place}": self._rows.dialect.quote(name) for place, name in enumerate(columns)}

    def _ordered(self, select: str, columns: Sequence[str], *, folded: bool = False) -> str:
        listed = ", ".join([*(f"c{place}" for place in range(len(columns))), *(["f0"] if folded else [])])
        order = ([] if self.split.kind == "time" else ["p0"]) + ["m0"] + (["o0"] if self._key is not None else [])
        return f"SELECT {listed} FROM ({select}) AS o ORDER BY {', '.join(order)}"

    def _known(self, values: Mapping[str, str], *, folds: int) -> str:
        known = f"SELECT * FROM ({self._divided(values, folded=bool(folds))}) AS d WHERE p0 < {PARTS.index(HOLDOUT)}"
        if not folds:
            return known
        assert self._key is not None  # which the project file was asked for
        names = [*values, "p0", "m0", "o0"]
        made = drawn(
            self._rows.dialect.name, known, carried=names, key="k1", blocks=self._longest(self._key), seed=_FOLDS_SEED,
            name="d1",
        )  # fmt: skip
        limits = [self._rows.dialect.number((fold + 1) / folds) for fold in range(folds - 1)] + ["2"]
        return f"SELECT {', '.join(names)}, {part_of('d1', limits)} AS f0 FROM ({made}) AS f"

    def _divided(self, values: Mapping[str, str], *, folded: bool = False) -> str:
        """A SELECT of the values, the part `p0`, the moment `m0`, the key to order by `o0` and, `folded`, its text `k1`."""
        dialect = self._rows.dialect
        taken = {**values, "m0": self._moment}
        if self._key is not None:
            taken["o0"] = self._grouped(self._key.name)
            if folded:
                taken["k1"] = key_text(self._rows, self._key)
        names = list(taken)
        if self._by is None:
            limits = [dialect.number(cut) for cut in self._cuts]
            inner = self._select(taken)
            return f"SELECT {', '.join(names)}, {part_of('m0', [*limits, 'm0 + 1'])} AS p0 FROM ({inner}) AS i"
        inner = self._select({**taken, "k0": key_text(self._rows, self._by)})
        blocks = self._longest(self._by)
        made = drawn(dialect.name, inner, carried=names, key="k0", blocks=blocks, seed=self.split.seed, name="d0")
        limits = [dialect.number(float(limit)) for limit in limits_of(self.split)[:-1]]
        return f"SELECT {', '.join(names)}, {part_of('d0', [*limits, '2'])} AS p0 FROM ({made}) AS i"

    def _select(self, values: Mapping[str, str]) -> str:
        told = ", ".join(f"{expression} AS {name}" for name, expression in values.items())
        return f"SELECT {told} FROM {self._rows.relation}"

    def _longest(self, column: Column) -> int:
        if column.name not in self._blocks:
            self._blocks[column.name] = longest(self._rows, column)
        return self._blocks[column.name]

    def _grouped(self, name: str) -> str:
        """A column whose equal values are those that are equal here, whatever its collation; padded texts stay padded."""
        column = column_of(self._rows, name, "Column")
        quoted = self._rows.dialect.quote(name)
        if column.native == "bpchar":
            return f'{quoted} COLLATE "C"'
        return self._rows.dialect.text(column, quoted) if column.kind is Kind.TEXT and not column.depth else quoted

    @property
    def _moment(self) -> str:
        return self._rows.dialect.double(self._time, self._rows.dialect.quote(self._time.name))

    def _moments(self) -> list[float]:
        """The first moment of each part but the oldest, of a division whose shares end where a moment does."""
        rows = int(self._rows.ask(f"SELECT COUNT(*) FROM {self._rows.relation}")[0][0])
        ranks = [min(round(rows * float(limit)), rows - 1) for limit in limits_of(self.split)[:-1]]
        return [moment_at(self._rows, self._time, rank) for rank in ranks]


def divided_there(platform: Platform, project: Project, actor: Actor, snapshot: Snapshot) -> EngineRows:
    """The snapshot divided where its rows are, as `divided` does. Raises Conflict for rows that have changed since."""
    declared = project.data.split or Declared()
    name = split_name(project)
    with ExitStack() as held:
        rows = held.enter_context(rows_of(platform, project, snapshot))
        try:
            split = platform.data.split_of(snapshot.workspace, snapshot.id, name)
        except NotFound:
            split = _by_time(rows, project, snapshot) if declared.by == "time" else by_share(declared, project)
            if split.kind != "time":
                longest(rows, column_of(rows, split.column, "Column to split by"))
            platform.data.split_snapshot(actor, snapshot.id, name, split)
        found = EngineRows(held, rows, project, split)
        check_sizes(found.counts)
        found._held = held.pop_all()  # noqa: SLF001 - from here on it is the rows' own
        return found


def moment_at(rows: RowEngine, time: Column, rank: int) -> float:
    """The moment at a rank (from 0) in order of time."""
    moment = rows.dialect.double(time, rows.dialect.quote(time.name))
    found = rows.ask(
        f"SELECT m0 FROM (SELECT {moment} AS m0 FROM {rows.relation}) AS t ORDER BY m0 LIMIT 1 OFFSET {rank:d}"
    )
    return float(found[0][0])


def _by_time(rows: RowEngine, project: Project, snapshot: Snapshot) -> Split:
    """Cut at two moments, at which the same rows read here are cut."""
    declared, holdout, count = project.data.split or Declared(), project.evaluate.holdout, snapshot.rows
    time = time_column(rows, project.data.time)
    moment = rows.dialect.double(time, rows.dialect.quote(time.name))
    if int(rows.ask(f"SELECT {rows.dialect.present(moment)} FROM {rows.relation}")[0][0]) < count:
        raise InvalidInput(f"Event time {time.name!r} is missing in some rows, which are then neither old nor new.")

    def before(when: float) -> int:
        asked = f"SELECT COUNT(*) FROM {rows.relation} WHERE {moment} < {rows.dialect.number(when)}"
        return int(rows.ask(asked)[0][0])

    def at_moment(cut: int) -> int:
        return before(moment_at(rows, time, cut)) if cut < count else cut

    if holdout.length_ms:
        assert snapshot.time_to is not None  # no time is missing
        second = before(snapshot.time_to - holdout.length_ms + 1)
    else:
        second = at_moment(round(count * (1 - holdout.fraction)))
    first = at_moment(round(second * (1 - declared.valid)))
    counts = {TRAIN: first, VALID: second - first, HOLDOUT: count - second}
    check_sizes(counts)
    return Split("time", tuple((name, part / count) for name, part in counts.items()), time.name)
