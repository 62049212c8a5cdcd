"""Story: a package on labelled rows, against gates and beside the version in production, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import CheckFailed, InvalidInput, NotFound
from bailiwick.data.checks.model import Held
from bailiwick.evaluation.gates import check_gates, parse_gate
from bailiwick.evaluation.model import Evaluation
from bailiwick.evaluation.slices import evaluate
from bailiwick.features.labels import labels_of
from bailiwick.features.model import OUTPUT
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import Scorer

PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows whose truth is known, the column of the label and what stands there for the positive class.

    `gates` are as the project file writes them, `slices` columns by whose values metrics are kept.
    """

    rows: Held
    label: str
    positive: int | float | str = 1
    gates: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was measured; `gates` says what each gate found."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    slices: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[str, ...] = ()


def assess(platform: Platform, workspace: str, model: str, package: str, rows: Labelled) -> Assessment:
    """Evaluate a stored package. Raises CheckFailed where a gate says no, InvalidInput for one without a probability."""
    gates = [parse_gate(text) for text in rows.gates]
    champion = _champion(platform, workspace, model) if any(each.text.startswith("champion") for each in gates) else ""
    evaluation, *others = evaluations(platform, rows, [package, *filter(None, [champion])])
    results = check_gates(gates, evaluation, others[0] if others else None)
    failed = [result.message for result in results if not result.passed]
    if failed:
        raise CheckFailed(
            f"{len(failed)} of {len(results)} gates say no.",
            findings=failed,
            hint="The version is not registered; improve the model or discuss the gate.",
        )
    kept = evaluation.to_json()
    slices = {"slices": kept["slices"]} if rows.slices else {}
    return Assessment(kept["metrics"], slices, tuple(result.message for result in results))


def evaluations(platform: Platform, rows: Labelled, packages: Sequence[str]) -> list[Evaluation]:
    """One a package, on the very same rows; of these, answers, labels and slices are held."""
    scorers = [Scorer(platform, package) for package in packages]
    try:
        for scorer in scorers:
            if not scorer.answers:
                raise InvalidInput(
                    f"To be evaluated, a version needs an output {OUTPUT!r}: the probability of the positive."
                )
        needed = [rows.label, *rows.slices, *(name for scorer in scorers for name in scorer.inputs)]
        for name in needed:
            if name not in rows.rows.columns:
                raise InvalidInput.choice("Column of the labelled rows", name, rows.rows.columns)
        labels: list[NDArray[np.int64]] = []
        scores: list[list[NDArray[np.float64]]] = [[] for _ in scorers]
        slices: dict[str, list[Any]] = {name: [] for name in rows.slices}
        for batch in rows.rows.read(list(dict.fromkeys(needed))):
            part = pa.Table.from_batches([batch])
            labels.append(labels_of(part, column=rows.label, positive=rows.positive))
            for scorer, found in zip(scorers, scores, strict=True):
                found.append(scorer.score(part))
            for name in rows.slices:
                slices[name] += part[name].to_pylist()
    finally:
        for scorer in scorers:
            scorer.close()
    if not labels:
        raise InvalidInput("The labelled data has no rows.")
    truth = np.concatenate(labels)
    sliced = {name: np.array(values, object) for name, values in slices.items()}
    return [evaluate(truth, np.concatenate(found), sliced) for found in scores]


def _champion(platform: Platform, workspace: str, model: str) -> str:
    try:
        return platform.registry.alias(workspace, model, PRODUCTION).package
    except NotFound:
        return ""
