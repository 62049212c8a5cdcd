"""Step `evaluate`: the package on rows that nothing was learnt from, in a stream, beside the version in production."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import CheckFailed, InvalidInput, NotFound
from bailiwick.evaluation.gates import check_gates, parse_gate
from bailiwick.evaluation.model import Evaluation
from bailiwick.evaluation.slices import evaluate
from bailiwick.lifecycle.explaining.importance import BACKGROUND, ROWS, Importance, importance_of
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import Scorer
from bailiwick.lifecycle.training import matrices
from bailiwick.lifecycle.training.engine_rows import EngineRows
from bailiwick.lifecycle.training.shares import HOLDOUT
from bailiwick.lifecycle.training.splits import DividedRows, divided
from bailiwick.pipelines.model import JSON, StepContext
from bailiwick.pipelines.project import Project

PRODUCTION = "production"


def judge(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Evaluate the package on the hold-out, by slice too, against the gates and against production."""
    with closing(divided(platform, project, context)) as rows:
        packages = [str(context.inputs["train"]["package"]), *_champion(platform, project, context)]
        evaluation, *champion = _evaluations(platform, project, rows, packages)
        gates = [parse_gate(text) for text in project.evaluate.gates]
        results = check_gates(gates, evaluation, champion[0] if champion else None)
        run = str(context.inputs["train"]["run"])
        platform.tracking.log(context.actor, run, metrics={f"holdout_{k}": v for k, v in evaluation.metrics.items()})
        failed = [result.message for result in results if not result.passed]
        if failed:
            raise CheckFailed(
                f"{len(failed)} of {len(results)} gates say no.",
                findings=failed,
                hint="The version is not registered; improve the model or discuss the gate.",
            )
        context.progress(0.9, "how much each column matters")
        importance = _importance(platform, project, rows, packages[0])
        context.progress(1.0, f"AUC {evaluation.metrics['roc_auc']:.3f}, {len(results)} gates passed")
        return {
            "metrics": dict(evaluation.metrics),
            "slices": _by_column(evaluation),
            "gates": [result.message for result in results],
            "rules": [result.gate for result in results],
            "importance": msgspec.to_builtins(importance),
        }


def _champion(platform: Platform, project: Project, context: StepContext) -> list[str]:
    """The package of the version in production; none where there is none yet."""
    try:
        champion = platform.registry.alias(context.actor.workspace, project.name, PRODUCTION)
    except NotFound:
        return []
    if not champion.runtime:
        raise CheckFailed(
            f"Version {champion.number} in production has no package, so nothing can be compared with it.",
            hint=f"Package it, or point {PRODUCTION!r} at a version that has one.",
        )
    return [champion.package]


def _evaluations(
    platform: Platform, project: Project, rows: DividedRows | EngineRows, packages: list[str]
) -> list[Evaluation]:
    """One a package, on the very same rows. Of these rows, the answers, labels and slices are held."""
    count = rows.counts[HOLDOUT]
    labels, first = np.empty(count, np.int64), 0
    scores = [np.empty(count, np.float64) for _ in packages]
    slices = {name: np.empty(count, object) for name in project.evaluate.slices}
    scorers = [Scorer(platform, package) for package in packages]
    try:
        _require_probability(scorers)
        needed = [*slices, *(name for scorer in scorers for name in scorer.inputs)]
        for part in rows.holdout(matrices.columns_of(project, needed)):
            place = slice(first, first + part.num_rows)
            labels[place] = matrices.labels(project, part)
            for scorer, found in zip(scorers, scores, strict=True):
                found[place] = scorer.score(part)
            for name, values in slices.items():
                values[place] = _objects(part, name)
            first += part.num_rows
    finally:
        for scorer in scorers:
            scorer.close()
    return [evaluate(labels, found, slices) for found in scores]


def _importance(platform: Platform, project: Project, rows: DividedRows | EngineRows, package: str) -> Importance:
    """Of the newly trained package, on rows of the hold-out at even distances; or why not."""
    scorer = Scorer(platform, package)
    try:
        inputs = list(scorer.inputs)
        if not scorer.is_graph:
            return Importance(reason="the model stays Python, and only of trees it is exact and cheap")
    finally:
        scorer.close()
    stride = max(1, rows.counts[HOLDOUT] // (ROWS + BACKGROUND))
    taken, first = [], 0
    for part in rows.holdout(matrices.columns_of(project, inputs)):
        taken.append(part.take(np.arange(-first % stride, part.num_rows, stride)))
        first += part.num_rows
    return importance_of(platform.blobs.get(package), pa.concat_tables(taken).select(inputs))


def _require_probability(scorers: list[Scorer]) -> None:
    if not all(scorer.answers for scorer in scorers):
        raise CheckFailed(
            "The version in production gives no probability, so nothing can be compared with it.",
            hint=f"Point {PRODUCTION!r} at a version that training made.",
        )


def _objects(rows: pa.Table, name: str) -> NDArray[np.object_]:
    """Python values, each different one made once."""
    if name not in rows.column_names:
        raise InvalidInput.choice("evaluate.slices", name, rows.column_names)
    encoded = rows[name].combine_chunks().dictionary_encode(null_encoding="encode")
    made = np.empty(len(encoded.dictionary), object)
    made[:] = encoded.dictionary.to_pylist()
    taken: NDArray[np.object_] = made[encoded.indices.to_numpy()]
    return taken


def _by_column(evaluation: Evaluation) -> dict[str, Any]:
    """Metrics of each slice as {column: {value: {metric: number}}}, with its rows."""
    found: dict[str, Any] = {}
    for item in evaluation.slices:
        found.setdefault(item.column, {})[item.value] = {"rows": item.rows, **item.metrics}
    return found
