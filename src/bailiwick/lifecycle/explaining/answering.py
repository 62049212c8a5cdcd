"""Everything that needs the model: its output, SHAP values, counterfactuals, and what it says of the neighbours now."""

from __future__ import annotations

import time

from msgspec import Struct

from bailiwick.lifecycle.explaining.counterfactuals import counterfactuals
from bailiwick.lifecycle.explaining.distance import Distance
from bailiwick.lifecycle.explaining.model import Asked, Counterfactuals, Shap
from bailiwick.lifecycle.explaining.shapley import of_trees, sampled
from bailiwick.lifecycle.explaining.subject import GraphSubject, Rows, Subject, joined, trees_of


class Answered(Struct, frozen=True):
    """What the model had to say. `neighbours` are its outputs for their rows, in order."""

    output_name: str
    output: float
    shap: Shap | None
    counterfactuals: Counterfactuals | None
    neighbours: list[float]


def answer(subject: Subject, row: Rows, sample: Rows, near: Rows | None, asked: Asked, *, seconds: float) -> Answered:
    """`sample` are training rows, in a random order; the first `asked.background` of them stand for what is not known."""
    deadline = time.monotonic() + seconds
    background = {name: values[: asked.background] for name, values in sample.items()}
    shap = _shap(subject, row, background, asked) if "shap" in asked.kinds else None
    found = None
    if "counterfactuals" in asked.kinds:
        distance = Distance(subject.columns, sample)
        found = counterfactuals(subject, row, sample, distance, asked, deadline=deadline)
    outputs = [] if near is None else [float(each) for each in subject.score(near)]
    return Answered(subject.output, float(subject.score(row)[0]), shap, found, outputs)


def _shap(subject: Subject, row: Rows, background: Rows, asked: Asked) -> Shap:
    why = "the package is no graph"
    if isinstance(subject, GraphSubject):
        trees = trees_of(subject, joined([row, background]))
        if not isinstance(trees, str):
            return of_trees(trees, row, background)
        why = trees
    return sampled(subject, row, background, permutations=asked.permutations, seed=asked.seed, why=why)
