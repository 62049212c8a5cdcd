"""The trained pipeline as a package: one ONNX graph where that answers as the pipeline does on every row that is tried.

Where it does not, or cannot be made, the pipeline itself is the package, run by Python in a confined process, and the reason
is on the version's record. That package too is tried, loaded anew, on the same rows.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from bailiwick.core.errors import CheckFailed, InvalidInput
from bailiwick.features.boundaries import boundaries_of
from bailiwick.features.compilation import compile_features
from bailiwick.features.model import OUTPUT
from bailiwick.lifecycle.packaging.probing import answers
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import Program
from bailiwick.lifecycle.training.archive import kept_archive
from bailiwick.lifecycle.training.matrices import Fitted, Matrix
from bailiwick.pipelines.model import JSON
from bailiwick.pipelines.project import Project
from bailiwick.serving.runtime import ModelFailed
from bailiwick.training.agreement import LEAST_ROWS, TOLERANCE, compare
from bailiwick.training.estimators import check_binary, predict
from bailiwick.training.kept import Kept, pickled
from bailiwick.training.model import ParityReport
from bailiwick.training.packaging import package
from bailiwick.training.parity import check_parity
from bailiwick.training.probes import make_probes, with_milliseconds

TOLD = 160
"""Characters of a reason in the message of a step; the version's record has all of it."""
MORE_ROWS = 256
"""Made up beyond the least that are compared, for some may be refused."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A package by its digest, and what is to be told of it."""

    package: str
    parity: dict[str, JSON]
    message: str

    @property
    def max_error(self) -> float:
        """Of all rows that were tried."""
        return float(str(self.parity["max_error"]))


def pack(platform: Platform, project: Project, matrix: Matrix, estimator: Any, held_out: pa.Table) -> Packed:
    """Raises InvalidInput for what is no binary classifier, CheckFailed when not even the Python package agrees."""
    check_binary(estimator)
    report: ParityReport | None = None
    reason = "; ".join(f"{each.column}: {each.reason}" for each in matrix.fitted.kept)
    if not reason:
        try:
            made = package(compile_features(matrix.fitted.features), estimator)
            boundaries = boundaries_of(matrix.fitted.features)
            report = check_parity(made, matrix.run, estimator, held_out, boundaries=boundaries)
        except InvalidInput as error:
            reason = error.message
        except ValueError as error:  # scikit-learn's word for rows that it refuses
            reason = f"the trained model refuses rows that the packaged graph would answer: {str(error)[:300]}"
        else:
            if report.passed:
                parity = {**_told(report), "pipelines": matrix.fitted.judged} if matrix.fitted.judged else _told(report)
                message = f"parity within {report.max_error:.1e} on {report.rows:,} rows"
                return Packed(platform.blobs.put(made), parity, message)
            reason = (
                f"the packaged graph does not answer as the trained model: the largest difference is "
                f"{report.max_error:.2g}, and {report.label_flips} of {report.rows:,} labels differ"
            )
    return _as_python(platform, project, matrix, estimator, held_out, reason=reason, attempt=report)


def _as_python(
    platform: Platform, project: Project, matrix: Matrix, estimator: Any, held_out: pa.Table, *, reason: str,
    attempt: ParityReport | None,
) -> Packed:  # fmt: skip
    fitted = matrix.fitted
    graph = compile_features(fitted.features).SerializeToString() if fitted.features.names else b""
    pipelines = [(list(each.reads), platform.blobs.get(each.pickle)) for each in fitted.kept]
    kept = Kept(graph, pipelines, pickled(estimator, project.folder))
    signature = [{"name": OUTPUT, "datatype": "FP32", "shape": [-1]}]
    archive = kept_archive(platform, pickled(kept, project.folder), fitted.inputs, signature)
    with closing(Program(platform, archive)) as program:
        report = _tried(program, matrix, estimator, held_out)
    if not report.passed:
        raise CheckFailed(
            f"The pipeline, loaded anew, does not answer as it did: largest difference {report.max_error:g}.",
            findings=[f"worst row: {report.worst}"],
            hint="Does it keep something outside of itself?",
        )
    parity: dict[str, JSON] = {
        **_told(report),
        "runtime": "python",
        "reason": reason[:2_000],
        "onnx": {} if attempt is None else _told(attempt),
    }
    if fitted.judged:
        parity["pipelines"] = dict(fitted.judged)
    return Packed(archive, parity, f"stays Python: {reason[:TOLD]}")


def _tried(program: Program, matrix: Matrix, estimator: Any, held_out: pa.Table) -> ParityReport:
    """The package beside the pipeline it was made of, on rows that both answer: both must refuse the same."""
    rows = _rows(matrix.fitted, held_out)

    def ours(given: dict[str, Any]) -> list[tuple[str, Any]]:
        try:
            return [(OUTPUT, predict(estimator, matrix.run(_table(given))))]
        except (ValueError, ModelFailed) as error:
            raise ModelFailed(str(error)) from error

    arrays = {name: rows.column(name).to_numpy(zero_copy_only=False) for name in rows.column_names}
    expected, refused = answers(ours, arrays)
    found, also = answers(lambda given: [(OUTPUT, program.score(_table(given)))], arrays)
    if not np.array_equal(refused, also):
        raise CheckFailed("The pipeline, loaded anew, refuses other rows than it did.")
    taken = {name: values[~refused] for name, values in arrays.items()}
    probes = min(len(expected[0][1]), rows.num_rows - held_out.num_rows)
    return compare(taken, expected, found, probes=probes, tolerance=TOLERANCE)


def _rows(fitted: Fitted, held_out: pa.Table) -> pa.Table:
    rows = with_milliseconds(held_out.slice(0, LEAST_ROWS).select(list(fitted.inputs)))
    boundaries = boundaries_of(fitted.features)
    probes = make_probes(
        rows, fitted.inputs, thresholds=boundaries, least=LEAST_ROWS + MORE_ROWS - rows.num_rows, seed=0
    )
    kinds = pa.schema([(field.name, field.type) for field in probes.schema])
    return pa.concat_tables([rows.cast(kinds, safe=False), probes])


def _table(given: dict[str, Any]) -> pa.Table:
    return pa.table({name: pa.array(values, from_pandas=False) for name, values in given.items()})


def _told(report: ParityReport) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(report)
    plain.pop("worst", None)
    return plain
