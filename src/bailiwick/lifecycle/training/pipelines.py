"""scikit-learn pipelines among the features: fitted to the known rows, converted, and held against their conversion.

One that its conversion does not answer for, or that has none, stays Python: from here on it is run in a confined process only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import BailiwickError, InvalidInput, MissingExtra
from bailiwick.features.columns import TEXTS, datatype_of, tensor
from bailiwick.features.compilation import compile_features
from bailiwick.features.derived import Pipelined
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.model import FeatureSpec, FittedFeatures
from bailiwick.features.nodes import TEXTLESS_OPSET
from bailiwick.lifecycle.packaging.probing import answers, beyond
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.archive import kept_archive
from bailiwick.pipelines.project import Project
from bailiwick.training.agreement import LEAST_ROWS, TOLERANCE, compare
from bailiwick.training.kept import Kept, pickled
from bailiwick.training.model import ParityReport
from bailiwick.training.pipelines import convert_pipeline, edges_of, fit_pipeline, has_pandas, names_of, transform
from bailiwick.training.probes import make_probes, with_milliseconds

SKLEARN = "sklearn"
_TEXT_TRANSFORMS = ("text", "ngrams")
_TEXT_OPSET = 20
_SHOWN = 64


class KeptPipeline(msgspec.Struct, frozen=True):
    """A pipeline that stays Python: `package` runs it, `pickle` is it alone (digests of blobs), `reason` says why."""

    column: str
    reads: dict[str, str]
    outputs: tuple[str, ...]
    package: str
    pickle: str
    reason: str

    @property
    def names(self) -> tuple[str, ...]:
        """One column an output."""
        return tuple(f"{self.column}.{output}" for output in self.outputs)


class Judged(msgspec.Struct, frozen=True):
    """What became of a pipeline: part of the graph, or Python; with the report of the gate where it was compared."""

    pipelined: Pipelined | None
    kept: KeptPipeline | None
    report: dict[str, Any]


class Collected:
    """The columns of all known rows that one pipeline is fitted to, in their places: scikit-learn wants them together."""

    def __init__(self, spec: FeatureSpec, schema: pa.Schema, count: int) -> None:
        self.spec = spec
        self.datatypes = {name: datatype_of(schema.field(name).type) for name in spec.reads}
        self.columns: dict[str, NDArray[Any]] = {
            name: np.empty(count, object if datatype == TEXTS else np.float32)
            for name, datatype in self.datatypes.items()
        }

    def take(self, rows: pa.Table, places: NDArray[np.int64]) -> None:
        """Some rows, and where they belong."""
        for name, values in self.columns.items():
            values[places] = tensor(rows.column(name), self.datatypes[name]).ravel()


def settle(
    platform: Platform, project: Project, collected: Collected, labels: NDArray[np.int64], held_out: pa.Table,
    *, opset: int,
) -> Judged:  # fmt: skip
    """Fit, convert and compare. Raises InvalidInput for a pipeline that cannot be fitted, or answers no rows, and
    MissingExtra for one that would need pandas, where that is not installed.
    """
    spec = collected.spec
    pipeline = fit_pipeline(spec.expression, project.folder, collected.columns, labels)
    width = transform(pipeline, {name: values[:1] for name, values in collected.columns.items()}).shape[1]
    outputs = names_of(pipeline, collected.columns, width)
    reads = collected.datatypes
    rows = _probes(collected, held_out.select(list(reads)), edges_of(pipeline))
    report: ParityReport | None = None
    try:
        graph = convert_pipeline(pipeline, reads, opset=opset)
        made = Pipelined(spec.column, tuple(reads.items()), outputs, graph)
        report, reason = _compared(pipeline, made, rows)
    except BailiwickError as error:
        reason = error.message
    told = {} if report is None else _told(report)
    if not reason:
        return Judged(made, None, told)
    if not has_pandas():  # without which the process that would run it cannot
        missing = MissingExtra.of("sklearn", "pandas")
        raise MissingExtra(
            f"Pipeline {spec.expression} has to stay Python ({reason}), which needs pandas. {missing.message}",
            hint=missing.hint,
        )
    kept = pickled(pipeline, project.folder)
    alone = Kept(b"", [(list(reads), kept)], b"")
    signature = [{"name": "features", "datatype": "FP32", "shape": [-1, width]}]
    package = kept_archive(platform, pickled(alone, project.folder), reads, signature)
    return Judged(None, KeptPipeline(spec.column, reads, outputs, package, platform.blobs.put(kept), reason), told)


def opset_for(specs: Iterable[FeatureSpec]) -> int:
    """The version of ONNX's operators that the whole graph will have."""
    return _TEXT_OPSET if any(spec.transform in _TEXT_TRANSFORMS for spec in specs) else TEXTLESS_OPSET


def _probes(
    collected: Collected, held_out: pa.Table, edges: NDArray[np.float32]
) -> tuple[dict[str, NDArray[Any]], int]:
    """Held-out rows and difficult ones, as the graph is fed them; and how many were made."""
    reads = collected.datatypes
    rows = with_milliseconds(held_out)
    made = make_probes(rows, reads, thresholds=dict.fromkeys(reads, edges), least=LEAST_ROWS - rows.num_rows, seed=0)
    arrays = {}
    for name, datatype in reads.items():
        parts = [tensor(each.column(name), datatype).ravel() for each in (rows, made)]
        arrays[name] = np.concatenate(parts)
    return arrays, made.num_rows


def _compared(
    pipeline: Any, made: Pipelined, rows: tuple[dict[str, NDArray[Any]], int]
) -> tuple[ParityReport | None, str]:
    """The report, and why the graph may not stand for the pipeline; no reason where it may."""
    arrays, probes = rows
    expected, refused = answers(lambda given: [("features", _asked(pipeline, given))], arrays)
    graph = FeatureGraph(compile_features(FittedFeatures((), derived=(made,))))
    kept = {name: values[~refused] for name, values in arrays.items()}
    try:
        found = graph.run(_table(kept, graph))
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common class but this
        return None, f"the converted graph does not run on rows that the pipeline answers: {str(error)[:200]}"
    if found.shape != expected[0][1].shape:
        return None, f"the converted graph gives {found.shape[1]} columns, and the pipeline {expected[0][1].shape[1]}"
    report = compare(kept, expected, [("features", found)], probes=probes, tolerance=TOLERANCE)
    if not report.passed:
        return report, (
            f"the converted graph answers otherwise: the largest error is {report.max_error:.2g} in {report.rows:,} rows, "
            f"where {TOLERANCE:g} is allowed; worst row: {str(report.worst.get('row'))[:300]}"
        )
    left = refused & ~beyond(arrays)
    answered = _answered(graph, {name: values[left] for name, values in arrays.items()})
    if answered:
        return report, f"the converted graph answers rows that the pipeline refuses, such as {answered[:300]}"
    return report, ""


def _asked(pipeline: Any, given: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    try:
        return transform(pipeline, given)
    except InvalidInput:
        raise
    except Exception as error:  # whatever the pipeline raises on a row, it refuses that row
        raise _Refused(f"{type(error).__name__}: {error}") from error


class _Refused(InvalidInput):
    code = "model_failed"


def _answered(graph: FeatureGraph, refused: dict[str, NDArray[Any]]) -> str:
    """A row that is answered though it was refused; empty where there is none."""
    for row in range(len(next(iter(refused.values())))):
        one = {name: values[row : row + 1] for name, values in refused.items()}
        if _answers(graph, one):
            return str({name: values[0] for name, values in list(one.items())[:_SHOWN]})
    return ""


def _answers(graph: FeatureGraph, row: dict[str, NDArray[Any]]) -> bool:
    try:
        graph.run(_table(row, graph))
    except Exception:  # noqa: BLE001 - ONNX Runtime's errors have no common class but this, and one is hoped for
        return False
    return True


def _table(arrays: Mapping[str, NDArray[Any]], graph: FeatureGraph) -> pa.Table:
    return pa.table({name: pa.array(arrays[name]) for name in graph.inputs})


def _told(report: ParityReport) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(report)
    plain.pop("worst", None)
    return plain
