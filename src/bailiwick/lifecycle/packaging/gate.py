"""Whether an ONNX graph may stand for a model: it must answer as the model does, refuse what that refuses, and say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.lifecycle.packaging.children import Model
from bailiwick.lifecycle.packaging.graphs import Graph, Graphs
from bailiwick.lifecycle.packaging.probing import (
    Answers,
    Arrays,
    Probes,
    answers,
    beyond,
    missing,
    probes_of,
    taken,
)
from bailiwick.pyfunc.mlmodel import Column, LoggedModel
from bailiwick.pyfunc.process import ModelGone, ModelRaised
from bailiwick.training.agreement import TOLERANCE, compare
from bailiwick.training.model import ParityReport
from bailiwick.training.wrapping import Draft, Input

WORST_TOLD = 500


@dataclass(frozen=True, slots=True)
class Reference:
    """What the model itself answers to the probes that it takes. `nullable` has the inputs that may be null."""

    probes: Probes
    rows: Arrays
    expected: Answers
    refused: Arrays
    nullable: frozenset[str]
    made: int

    @property
    def count(self) -> int:
        """Rows compared."""
        return len(self.expected[0][1])

    def inputs(self, columns: Sequence[Column]) -> list[Input]:
        """The package's inputs."""
        return [Input(each.name, each.datatype, each.shape, each.name in self.nullable) for each in columns]

    def without_missing(self) -> Reference:
        """The same, of rows in which every number is known; and none may be null."""
        lacking = np.zeros(self.count, bool)
        floats = set()
        for name, values in self.rows.items():
            lacking |= missing(self.rows, name)
            floats |= {name} if values.dtype.kind == "f" else set()
        return replace(
            self,
            rows=taken(self.rows, ~lacking),
            expected=[(name, values[~lacking]) for name, values in self.expected],
            nullable=self.nullable - floats,
            made=self.made - int(lacking.sum()),
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """A graph that passed, as a package; or None and why not. `report` is there when it was compared."""

    package: bytes | None
    report: ParityReport | None
    reason: str = ""


def reference(model: LoggedModel, loaded: Model, example: Sequence[dict[str, Any]], draft: Draft | None) -> Reference:
    """Ask the model for all probes. An input is not nullable when the model refuses every row that lacks it.

    Rows past what JSON can say are left out where the model refuses them. Raises CheckFailed, ModelGone.
    """
    thresholds, texts = (draft.thresholds, draft.texts) if draft else ({}, [])
    probes = probes_of(model.inputs, example, thresholds=thresholds, texts=texts)
    expected, refused = answers(loaded.answers, probes.rows)
    lacking = {column.name: missing(probes.rows, column.name) for column in model.inputs}
    nullable = frozenset(name for name, rows in lacking.items() if not rows.any() or not refused[rows].all())
    unsendable = np.zeros(probes.count, bool)
    for name, rows in lacking.items():
        if name not in nullable:
            unsendable |= rows
    left = refused & ~unsendable & ~beyond(probes.rows)
    made = int((~refused[probes.made :]).sum())
    return Reference(probes, taken(probes.rows, ~refused), expected, taken(probes.rows, left), nullable, made)


def judge(draft: Draft, model: LoggedModel, known: Reference, graphs: Graphs, *, refuse_nulls: bool) -> Judged:
    """Compare a graph with the model on every probe.

    Where the two differ only on rows that lack a value, as those of forests do, the graph may stand for the model if it
    is to `refuse_nulls`: then those rows get no answer instead of another one.
    """
    judged = _judge(draft, model, known, graphs)
    if judged.package is not None or judged.report is None:
        return judged
    narrow = known.without_missing()
    if narrow.count == known.count or not narrow.count:
        return judged
    again = _judge(draft, model, narrow, graphs)
    if again.package is None:
        return judged
    if refuse_nulls:
        return replace(again, reason="the parity gate passed for rows in which nothing is null; null is refused")
    return replace(judged, reason=f"{judged.reason}; they differ only where a value is null (see --refuse-nulls)")


def _judge(draft: Draft, model: LoggedModel, known: Reference, graphs: Graphs) -> Judged:
    try:
        readings = draft.readings(known.rows, known.expected)
        package = draft.package(readings, known.inputs(model.inputs))
        graph = graphs.open(package)
        found = served(graph, known.rows, [each.name for each in readings])
    except (BailiwickError, ValueError) as error:
        return Judged(None, None, f"the converted graph does not run: {str(error).splitlines()[0][:300]}")
    report = compare(known.rows, known.expected, found, probes=known.made, tolerance=TOLERANCE)
    if not report.passed:
        return Judged(
            None,
            report,
            f"the converted graph answers otherwise: {report.label_flips} of {report.rows:,} labels differ, and the "
            f"largest error is {report.max_error:.2g} where {TOLERANCE:g} is allowed",
        )
    try:
        wrong = answered_though_refused(graph, known, [each.name for each in readings])
    except ModelGone as error:
        return Judged(None, report, f"the converted graph does not run: {error.message}")
    if wrong:
        return Judged(None, report, f"the converted graph answers {wrong} rows that the model refuses")
    return Judged(package, report, "the parity gate passed")


def answered_though_refused(graph: Graph, known: Reference, names: Sequence[str]) -> int:
    """How many rows that the model raises an error for get an answer from the graph. Raises ModelGone."""
    count = len(next(iter(known.refused.values())))
    answered = 0
    for row in range(count):
        one: dict[str, NDArray[Any]] = {name: values[row : row + 1] for name, values in known.refused.items()}
        answered += _answers(graph, names, one)
    return answered


def _answers(graph: Graph, names: Sequence[str], row: Arrays) -> bool:
    try:
        graph.run(names, row)
    except ModelRaised:
        return False
    return True


def served(graph: Graph, rows: Arrays, names: Sequence[str]) -> Answers:
    """What ONNX Runtime makes of the rows. Raises InvalidInput, ModelGone."""
    try:
        return list(zip(names, graph.run(names, rows), strict=True))
    except ModelRaised as error:
        said = error.message.splitlines()[0][:300]
        raise InvalidInput(f"ONNX Runtime does not run it: {said}", hint=error.hint) from error


def open_session(package: bytes) -> onnxruntime.InferenceSession:
    """Of a package that has passed: one thread, nothing on the terminal."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(package, options, providers=["CPUExecutionProvider"])


def told(report: ParityReport | None) -> dict[str, Any]:
    """A report as the version's record keeps it; the worst row only where the gate did not pass."""
    if report is None:
        return {}
    plain: dict[str, Any] = msgspec.to_builtins(report)
    if report.passed:
        plain.pop("worst")
    return plain
