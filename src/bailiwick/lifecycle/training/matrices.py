"""What a learner is given: the feature matrix of the rows that it may know, made batch by batch.

The matrix itself, four bytes a value, and its labels are held; of the rows that it is made of, no more than a batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec.structs import replace
from numpy.typing import NDArray

from bailiwick.core.errors import Conflict
from bailiwick.features.compilation import compile_features
from bailiwick.features.cross_fitting import TrainingGraphs
from bailiwick.features.fitting import Fitting
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.labels import labels_of
from bailiwick.features.model import FeatureSpec, FittedFeatures
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import Program
from bailiwick.lifecycle.training.engine_rows import EngineRows
from bailiwick.lifecycle.training.pipelines import SKLEARN, Collected, Judged, KeptPipeline, opset_for, settle
from bailiwick.lifecycle.training.reference import spaced
from bailiwick.lifecycle.training.shares import HOLDOUT, TRAIN
from bailiwick.lifecycle.training.splits import DividedRows
from bailiwick.pipelines.model import JSON
from bailiwick.pipelines.project import Project
from bailiwick.training.model import Fold

PARITY_ROWS = 50_000
PARITY_BYTES = 32 << 20


class Fitted(msgspec.Struct, frozen=True):
    """What the step `features` has learnt: what serves, and the same without each fold, where labels were used.

    `kept` are scikit-learn pipelines that stay Python, and whose columns come last; `judged` what the parity gate found of each.
    """

    features: FittedFeatures
    folds: tuple[FittedFeatures, ...] = ()
    kept: tuple[KeptPipeline, ...] = ()
    judged: dict[str, dict[str, Any]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the matrix."""
        return (*self.features.names, *(name for each in self.kept for name in each.names))

    @property
    def inputs(self) -> dict[str, str]:
        """OIP datatype by column that is read; moments (FP64) win over FP32."""
        found = dict(self.features.inputs)
        for each in self.kept:
            found |= {name: datatype for name, datatype in each.reads.items() if found.get(name) != "FP64"}
        return found


def fit(platform: Platform, project: Project, specs: Sequence[FeatureSpec], rows: DividedRows | EngineRows) -> Fitted:
    """Learn from the known rows, in one pass; on an engine, from what it counts of them. What scikit-learn pipelines read is collected in it, for they need it whole."""
    if isinstance(rows, EngineRows):
        return Fitted(*rows.fit(specs))
    plain = [spec for spec in specs if spec.transform != SKLEARN]
    pipelines = [spec for spec in specs if spec.transform == SKLEARN]
    fitting: Fitting | None = None
    collected: list[Collected] = []
    found = np.empty(rows.known_rows if pipelines else 0, np.int64)
    start = 0
    for part, places in rows.known(columns_of(project, [column for spec in specs for column in spec.reads])):
        if fitting is None:
            fitting = Fitting(plain, part.schema)
            collected = [Collected(spec, part.schema, rows.known_rows) for spec in pipelines]
        answers = labels(project, part)
        fitting.update(part, start=start, labels=answers)
        start += part.num_rows
        if pipelines:
            found[places] = answers
        for each in collected:
            each.take(part, places)
    assert fitting is not None  # no part is empty
    fitted = Fitted(fitting.finish(), tuple(fitting.finish(without=fold) for fold in range(fitting.folds)))
    opset = opset_for(specs)
    judged = []
    while collected:  # each is let go when it is settled
        each = collected.pop(0)
        judging = held_out(rows, list(each.datatypes))
        judged.append((each.spec.column, settle(platform, project, each, found, judging, opset=opset)))
    return _with_pipelines(fitted, judged)


def _step(rows: DividedRows | EngineRows) -> int:
    return -(-rows.counts[HOLDOUT] // PARITY_ROWS)


def _with_pipelines(fitted: Fitted, judged: Sequence[tuple[str, Judged]]) -> Fitted:
    """Pipelines whose graph passed are part of every graph, whatever fold it leaves out."""
    made = tuple(each.pipelined for _, each in judged if each.pipelined is not None)
    features, *folds = (replace(each, derived=each.derived + made) for each in (fitted.features, *fitted.folds))
    kept = tuple(each.kept for _, each in judged if each.kept is not None)
    return Fitted(features, tuple(folds), kept, {name: each.report for name, each in judged})


def keep(platform: Platform, fitted: Fitted) -> dict[str, JSON]:
    """Outputs of the step, by blobs; `read` gives it back."""
    folds: list[JSON] = [platform.blobs.put(each.to_json()) for each in fitted.folds]
    return {
        "features": platform.blobs.put(fitted.features.to_json()),
        "digest": fitted.features.digest,
        "columns": len(fitted.names),
        "folds": folds,
        "kept": msgspec.to_builtins(fitted.kept),
        "judged": dict(fitted.judged),
    }


def read(platform: Platform, outputs: Mapping[str, JSON]) -> Fitted:
    """What `keep` kept. Raises Corrupted."""
    kept = outputs["folds"]
    assert isinstance(kept, list)
    folds = [FittedFeatures.from_json(platform.blobs.get(str(each))) for each in kept]
    return Fitted(
        FittedFeatures.from_json(platform.blobs.get(str(outputs["features"]))),
        tuple(folds),
        msgspec.convert(outputs["kept"], tuple[KeptPipeline, ...]),
        msgspec.convert(outputs["judged"], dict[str, dict[str, Any]]),
    )


class Matrix:
    """Feature matrices of rows, from the graph and, for pipelines that stay Python, from confined processes. To be closed."""

    def __init__(self, platform: Platform, fitted: Fitted) -> None:
        self.fitted = fitted
        self.graph = graph_of(fitted.features) if fitted.features.names else None
        self._training = TrainingGraphs(self.graph, fitted.folds, threads=threads()) if self.graph else None
        self._kept = [Program(platform, each.package) for each in fitted.kept]

    def run(self, rows: pa.Table) -> NDArray[np.float32]:
        """As serving makes it."""
        return self._joined(self.graph.run(rows) if self.graph else None, rows)

    def learn(self, rows: pa.Table, *, start: int) -> NDArray[np.float32]:
        """Of rows that were fitted on, the first of which was row `start`: none is made of its own label."""
        return self._joined(self._training.run(rows, start=start) if self._training else None, rows)

    def _joined(self, first: NDArray[np.float32] | None, rows: pa.Table) -> NDArray[np.float32]:
        parts = [] if first is None else [first]
        parts += [each.run(rows, "features") for each in self._kept]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def close(self) -> None:
        """End the processes."""
        for each in self._kept:
            each.close()


def known_fold(project: Project, matrix: Matrix, rows: DividedRows | EngineRows) -> Fold:
    """The rows that features were fitted on; what is made of labels, is made for each row without its own."""
    names = matrix.fitted.names
    values = np.empty((rows.known_rows, len(names)), np.float32)
    found = np.empty(rows.known_rows, np.int64)
    start = 0
    if isinstance(rows, EngineRows):
        for some, answers in rows.encoded(matrix.fitted.features, matrix.fitted.folds, threads=threads()):
            values[start : start + len(some)] = some
            found[start : start + len(some)] = answers
            start += len(some)
        if start != rows.known_rows:
            raise Conflict(
                f"{rows.known_rows:,} rows were counted, and {start:,} came.", hint="Rows changed meanwhile; run again."
            )
        return Fold(values, found, names)
    for part, places in rows.known(columns_of(project, matrix.fitted.inputs)):
        values[places] = matrix.learn(part, start=start)
        found[places] = labels(project, part)
        start += part.num_rows
    return Fold(values, found, names)


def held_out(rows: DividedRows | EngineRows, columns: Sequence[str]) -> pa.Table:
    """Rows for the parity gate: all that are held out, or as many of them, evenly spaced, as the gate may hold."""
    kept, _ = spaced(rows.holdout(list(columns)), step=_step(rows), most_bytes=PARITY_BYTES)
    return kept


def two_folds(known: Fold, rows: DividedRows | EngineRows) -> tuple[Fold, Fold]:
    """Train and valid, as views."""
    cut = rows.counts[TRAIN]
    first, second = (
        Fold(known.features[part], known.labels[part], known.names) for part in (slice(cut), slice(cut, None))
    )
    return first, second


def columns_of(project: Project, columns: Iterable[str]) -> list[str]:
    """These columns and the label's, each once."""
    return list(dict.fromkeys([*columns, project.data.label.column]))


def labels(project: Project, rows: pa.Table) -> NDArray[np.int64]:
    """Of each row, as the project declares the label."""
    label = project.data.label
    return labels_of(rows, column=label.column, positive=label.positive)


def graph_of(features: FittedFeatures) -> FeatureGraph:
    """The graph that serves, on all cores."""
    return FeatureGraph(compile_features(features), threads=threads())


def threads() -> int:
    """Cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))
