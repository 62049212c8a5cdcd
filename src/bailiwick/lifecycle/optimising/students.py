"""Small students of any model: its features as they are, and in its place boosted trees that were taught what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bailiwick.core.errors import InvalidInput
from bailiwick.features.model import OUTPUT
from bailiwick.lifecycle.optimising.classes import is_label, labels_of
from bailiwick.lifecycle.optimising.parts import (
    Columns,
    are_probabilities,
    cut,
    matrix_of,
    probabilities_behind,
    values_of,
    without_end,
)
from bailiwick.training.conversion import convert, convert_classes, convert_regressor

MOST_COLUMNS = 100
"""Numbers a row that a student is taught: it has 40 trees for each."""
MOST_TAUGHT = 200_000
"""Rows that one booster is fitted on, each once for every class that it may be of."""
_RARE = 0.02
_SEED = 11
_ML_OPSET = 3
_SMALL: dict[str, Any] = {
    "n_estimators": 40,
    "num_leaves": 15,
    "learning_rate": 0.15,
    "min_child_samples": 20,
    "random_state": _SEED,
    "n_jobs": 1,
    "verbose": -1,
}


def student(model: onnx.ModelProto, columns: Columns, answers: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """Small boosted ensembles in place of the model, taught what the model itself answers to these rows.

    Probabilities are taught as all classes, weighed by them, so that the student learns probabilities, not labels; any
    other numbers as they are. A label is the class of the largest of them, by the name that the version has for it. Raises
    InvalidInput, saying why, for a graph in which nothing stands out as the model, and for answers that follow from none.
    """
    for each in model.graph.output:
        if each.name not in answers:
            raise InvalidInput(f"its output {each.name!r} is none that it is asked for")
    numbers = {name: values for name, values in answers.items() if not is_label(values)}
    _check(numbers)
    matrix = matrix_of(model)
    made = _Student(model, matrix, values_of(model, matrix, columns))
    scores: dict[str, tuple[str, NDArray[np.float32]]] = {}
    for name, values in numbers.items():
        flat = np.asarray(values, np.float32).reshape(len(values), -1)
        source = made.taught(name, flat)
        made.give(source, name, values.shape[1:])
        if flat.shape[1] > 1:
            scores[name] = source, flat
    for name in [each for each in answers if each not in numbers]:
        source, labels = _labelled(made, columns, name, answers[name], scores)
        made.give(made.named(source, labels, name), name, answers[name].shape[1:])
    return made.graph()


def _check(numbers: Mapping[str, NDArray[Any]]) -> None:
    wide = sum(values.size // max(1, len(values)) for values in numbers.values())
    if wide > MOST_COLUMNS:
        raise InvalidInput(f"it answers with {wide} numbers a row, and a student learns at most {MOST_COLUMNS}")
    for name, values in numbers.items():
        if not np.isfinite(values.astype(np.float64)).all():
            raise InvalidInput(f"its output {name!r} is not finite in every row that a student would learn from")


def _labelled(
    made: _Student,
    columns: Columns,
    name: str,
    labels: NDArray[Any],
    scores: dict[str, tuple[str, NDArray[np.float32]]],
) -> tuple[str, list[Any]]:
    """The tensor of the student that a label follows from, and the labels of its columns."""
    unsaid: list[int] = []
    for source, values in scores.values():
        found = labels_of(made.model, labels, values)
        if found is not None and not found[1]:
            return source, found[0]
        unsaid += found[1] if found else []
    for tensor, few in probabilities_behind(made.model, name, columns):
        if few.shape[1] <= MOST_COLUMNS and labels_of(made.model, labels[: len(few)], few) is not None:
            values = values_of(made.model, tensor, columns)
            found = labels_of(made.model, labels, values)
            if found is not None and not found[1]:
                return made.taught(name, values), found[0]
            unsaid += found[1] if found else []
    if unsaid:
        raise InvalidInput(
            f"no row that it would learn from is of class {unsaid[0]} (counted from 0), and the graph does not say its name"
        )
    raise InvalidInput(
        f"its output {name!r} is a class, and no probabilities or scores that it is the largest of are in the graph"
    )


@dataclass(slots=True)
class _Student:
    """What is made, from the features of a model on: `found` is what they are for the rows that teach."""

    model: onnx.ModelProto
    matrix: str
    found: NDArray[np.float32]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def taught(self, name: str, answers: NDArray[np.float32]) -> str:
        """Teach answers, [rows, columns]; the tensor of them in the student."""
        if name == OUTPUT and answers.shape[1] == 1:
            return self._boosted(*_probability(self.found, answers[:, 0]))
        if are_probabilities(answers):
            return self._boosted(*_probabilities(self.found, answers))
        parts = [self._boosted(*_number(self.found, each)) for each in answers.T]
        return parts[0] if len(parts) == 1 else self._node("Concat", parts, axis=1)

    def named(self, source: str, labels: list[Any], output: str) -> str:
        """The label of the largest column of a tensor."""
        kind = self._declared(output).type.tensor_type.elem_type
        dtype = object if kind == TensorProto.STRING else helper.tensor_dtype_to_np_dtype(kind)
        largest = self._node("ArgMax", [source], axis=1, keepdims=0)
        return self._node("Gather", [self._constant(np.array(labels, dtype)), largest], axis=0)

    def give(self, source: str, output: str, tail: Sequence[int]) -> None:
        """Have a tensor be an output, in the type that the version declares and the shape that its answers have."""
        kind = self._declared(output).type.tensor_type.elem_type
        if kind not in {TensorProto.FLOAT, TensorProto.STRING}:
            source = self._node("Cast", [source], to=kind)
        shape = self._constant(np.array([-1, *tail], np.int64))
        self.nodes.append(helper.make_node("Reshape", [source, shape], [output]))

    def graph(self) -> onnx.ModelProto:
        """All of it in one graph."""
        made, _ = cut(self.model, self.matrix)
        kept = without_end(made)
        del made.graph.node[:], made.graph.output[:]
        made.graph.node.extend([*kept, *self.nodes])
        made.graph.initializer.extend(self.constants)
        made.graph.output.extend(self.model.graph.output)
        if "ai.onnx.ml" not in {each.domain for each in made.opset_import}:
            made.opset_import.append(helper.make_opsetid("ai.onnx.ml", _ML_OPSET))
        return made

    def _boosted(self, fitted: Any, converter: Any) -> str:
        opsets = {each.domain: each.version for each in self.model.opset_import}
        made: onnx.ModelProto = converter(
            fitted,
            self.found.shape[1],
            opset=opsets.get("", 15),
            ml_opset=opsets.get("ai.onnx.ml", _ML_OPSET),
            ir_version=self.model.ir_version,
        )
        made = onnx.compose.add_prefix(made, f"student/{len(self.nodes)}/")
        source = made.graph.input[0].name
        for node in made.graph.node:
            node.input[:] = [self.matrix if name == source else name for name in node.input]
        self.nodes += made.graph.node
        self.constants += made.graph.initializer
        return str(made.graph.output[0].name)

    def _node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"student/{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _constant(self, values: NDArray[Any]) -> str:
        name = f"student/constant/{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _declared(self, output: str) -> onnx.ValueInfoProto:
        found: onnx.ValueInfoProto = next(each for each in self.model.graph.output if each.name == output)
        return found


def _probability(found: NDArray[np.float32], answers: NDArray[np.float32]) -> tuple[Any, Any]:
    labels = np.concatenate([np.ones(len(found)), np.zeros(len(found))]).astype(np.int64)
    weights = np.concatenate([answers, 1 - answers]).clip(1e-6)
    fitted = lightgbm.LGBMClassifier(**_SMALL)
    return fitted.fit(np.concatenate([found, found]), labels, sample_weight=weights), convert


def _probabilities(found: NDArray[np.float32], answers: NDArray[np.float32]) -> tuple[Any, Any]:
    rows, labels, weights = as_many_rows(answers)
    fitted = lightgbm.LGBMClassifier(**_SMALL)
    return fitted.fit(found[rows], labels, sample_weight=weights), convert_classes


def as_many_rows(
    answers: NDArray[np.float32], most: int = MOST_TAUGHT
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows of probabilities as (row, class, weight): each row once for every class, weighed by how probable it is.

    What is rarer than `_RARE` is drawn, with what it would be drawn by made up for in its weight, so that the sums are
    right on average and few rows are many classes. Every class is there at least once. Beyond `most` the first rows count.
    """
    random = np.random.default_rng(_SEED)
    shares = np.clip(answers.astype(np.float64), 0, 1)
    drawn = np.where(random.random(shares.shape) * _RARE < shares, np.maximum(shares, _RARE), 0.0)
    kept = np.flatnonzero((drawn > 0).sum(axis=1).cumsum() <= most)
    drawn[len(kept) :] = 0
    for column in np.flatnonzero((drawn > 0).sum(axis=0) == 0):
        best = int(shares[:, column].argmax())
        drawn[best, column] = max(float(shares[best, column]), 1e-6)
    rows, labels = np.nonzero(drawn)
    return rows, labels, drawn[rows, labels]


def _number(found: NDArray[np.float32], answers: NDArray[np.float32]) -> tuple[Any, Any]:
    return lightgbm.LGBMRegressor(**_SMALL).fit(found, answers), convert_regressor
