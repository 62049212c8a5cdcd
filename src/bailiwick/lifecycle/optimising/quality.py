"""How good answers are, whatever kind they are: the probability of a positive, probabilities of classes, a class, a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.evaluation.metrics import METRICS
from bailiwick.evaluation.model import Evaluation
from bailiwick.evaluation.slices import evaluate
from bailiwick.features.columns import doubles
from bailiwick.features.labels import labels_of
from bailiwick.features.model import OUTPUT
from bailiwick.serving.tensors import Signature, TensorSpec

_SMALLEST = 1e-12
_ADDS_UP = 1e-3
_RELATIVE = 0.01
"""Of a number nobody knows the scale: a form may be worse by this share of the version's own mean loss."""
MARGIN = 0.005


@dataclass(frozen=True, slots=True)
class Quality:
    """Metrics by name, and of each metric that can be compared in pairs the losses of the rows."""

    metrics: Mapping[str, float]
    losses: Mapping[str, NDArray[np.float64]]
    answers: NDArray[Any]
    evaluation: Evaluation | None = None

    def furthest_from(self, other: Quality) -> float:
        """The largest difference of an answer; of classes, 1 where any is another."""
        if self.answers.dtype.kind in "fc" and self.answers.size:
            return float(np.abs(self.answers.astype(np.float64) - other.answers).max())
        return float((self.answers != other.answers).any())


class Judge(Protocol):
    """Judges the answers of one output on labelled rows; `metric` is what is compared where nothing else is said."""

    metric: str
    kind: str
    output: str

    def quality(self, answers: Mapping[str, NDArray[Any]]) -> Quality:
        """Raises InvalidInput for answers that are none of the kind."""
        ...

    def margin(self, original: Quality, metric: str) -> float:
        """How much worse a form may be where nothing is said."""
        ...


def judge_of(
    signature: Signature,
    rows: pa.Table,
    label: str,
    positive: Any,
    output: str = "",
    *,
    classes: Callable[[str], Sequence[str] | None] = lambda _: None,
) -> Judge:
    """What judges a version by its outputs: by `output`, or else by the one that says most.

    `classes` tells what the columns of an output are called; where nobody knows, labels are their places, from 0.
    Raises InvalidInput for an output that there is not, a label that does not suit it, and outputs that are of no kind.
    """
    known = {spec.name: spec for spec in signature.outputs}
    if output and output not in known:
        raise InvalidInput.choice("Output", output, known)
    candidates = [known[output]] if output else sorted(known.values(), key=_says)
    chosen = candidates[0]
    if rows[label].null_count:
        raise InvalidInput(f"Label column {label!r} is missing in {rows[label].null_count:,} of {len(rows):,} rows.")
    if chosen.name == OUTPUT and chosen.width == 1:
        return _Positive(labels_of(rows, column=label, positive=positive), OUTPUT)
    if _says(chosen) > _CLASS:
        raise InvalidInput(
            f"Output {chosen.name!r} is {chosen.datatype} {list(chosen.shape)}, which no label can be held against."
        )
    if _says(chosen) == _MANY and _is_list(rows[label].type):
        return _Number(_several(rows, label, chosen.width), chosen.name)
    if _says(chosen) == _MANY:
        return _Classes(_indices(rows, label, chosen.width, classes(chosen.name)), chosen.name)
    if _says(chosen) == _NUMBER:
        return _Number(_numbers(rows, label).reshape(-1, 1), chosen.name)
    return _Class(_texts(rows[label], numbers=chosen.datatype not in {"BYTES", "BOOL"}), chosen.name)


_PROBABILITY, _MANY, _NUMBER, _CLASS, _OTHER = range(5)


def _says(spec: TensorSpec) -> int:
    single, real = spec.width == 1, spec.datatype.startswith("FP")
    if spec.name == OUTPUT and single:
        return _PROBABILITY
    if real and len(spec.tail) == 1 and spec.width > 1:
        return _MANY
    if real and single:
        return _NUMBER
    return _CLASS if single else _OTHER


@dataclass(slots=True)
class _Positive:
    labels: NDArray[np.int64]
    output: str
    metric: str = "log_loss"
    kind: str = "probability"

    def quality(self, answers: Mapping[str, NDArray[Any]]) -> Quality:
        found = evaluate(self.labels, answers[self.output].reshape(-1))
        losses = {
            name: each.losses(found.labels, found.scores) for name, each in METRICS.items() if each.losses is not None
        }
        return Quality(found.metrics, losses, found.scores, found)

    def margin(self, original: Quality, metric: str) -> float:  # noqa: ARG002 - the protocol's shape
        return MARGIN


@dataclass(slots=True)
class _Classes:
    """Probabilities of classes, or scores, of which the largest is meant; `labels` are columns."""

    labels: NDArray[np.int64]
    output: str
    metric: str = "log_loss"
    kind: str = "probabilities of classes"
    _scores: bool | None = field(default=None)

    def quality(self, answers: Mapping[str, NDArray[Any]]) -> Quality:
        values = answers[self.output].astype(np.float64)
        if not np.isfinite(values).all():
            raise InvalidInput(f"Output {self.output!r} is not finite in every row.")
        add_up = bool((values >= -_ADDS_UP).all() and (np.abs(values.sum(axis=1) - 1) < _ADDS_UP).all())
        if self._scores is None:  # the version itself is judged first
            self._scores = not add_up
            self.metric = "accuracy" if self._scores else "log_loss"
        elif not self._scores and not add_up:
            raise InvalidInput(f"Rows of output {self.output!r} are no probabilities any more.")
        wrong = (values.argmax(axis=1) != self.labels).astype(np.float64)
        metrics, losses = {"accuracy": 1 - float(wrong.mean())}, {"accuracy": wrong}
        if not self._scores:
            hit = np.clip(values[np.arange(len(values)), self.labels], _SMALLEST, 1)
            losses["log_loss"] = -np.log(hit)
            metrics["log_loss"] = float(losses["log_loss"].mean())
        return Quality({**metrics, "rows": float(len(values))}, losses, values)

    def margin(self, original: Quality, metric: str) -> float:  # noqa: ARG002 - the protocol's shape
        return MARGIN


@dataclass(slots=True)
class _Class:
    labels: NDArray[np.str_]
    output: str
    metric: str = "accuracy"
    kind: str = "class"

    def quality(self, answers: Mapping[str, NDArray[Any]]) -> Quality:
        values = np.array([str(each) for each in answers[self.output].reshape(-1).tolist()], np.str_)
        wrong = (values != self.labels).astype(np.float64)
        metrics = {"accuracy": 1 - float(wrong.mean()), "rows": float(len(wrong))}
        return Quality(metrics, {"accuracy": wrong}, values)

    def margin(self, original: Quality, metric: str) -> float:  # noqa: ARG002 - the protocol's shape
        return MARGIN


@dataclass(slots=True)
class _Number:
    """One number, or several: then every measure is their mean, and each counts as much as its unit makes it."""

    labels: NDArray[np.float64]
    output: str
    metric: str = "mae"
    kind: str = "number"

    def quality(self, answers: Mapping[str, NDArray[Any]]) -> Quality:
        values = answers[self.output].reshape(self.labels.shape).astype(np.float64)
        if not np.isfinite(values).all():
            raise InvalidInput(f"Output {self.output!r} is not finite in every row.")
        off = values - self.labels
        square = np.square(off)
        spread = np.square(self.labels - self.labels.mean(axis=0)).mean(axis=0)
        metrics = {"mae": float(np.abs(off).mean()), "rmse": float(np.sqrt(square.mean()))}
        if spread.all():
            metrics["r2"] = float((1 - square.mean(axis=0) / spread).mean())
        losses = {"mae": np.abs(off).mean(axis=1), "mse": square.mean(axis=1)}
        answered = values.ravel() if values.size == len(values) else values
        return Quality({**metrics, "mse": metrics["rmse"] ** 2, "rows": float(len(off))}, losses, answered)

    def margin(self, original: Quality, metric: str) -> float:
        return _RELATIVE * float(original.losses[metric].mean())


def _indices(rows: pa.Table, label: str, width: int, classes: Sequence[str] | None) -> NDArray[np.int64]:
    """The column that each label is of: by its name where that is known, else the label itself."""
    if classes is not None:
        texts = _texts(rows[label], numbers=all(each.lstrip("-").isdecimal() for each in classes))
        found = np.array(
            [{name: place for place, name in enumerate(classes)}.get(each, -1) for each in texts], np.int64
        )
        if (found < 0).any():
            strange = str(texts[found < 0][0])
            raise InvalidInput(f"Label {strange[:100]!r} is no class: the model tells {_listed(classes)}.")
        return found
    if pa.types.is_string(rows[label].type) or pa.types.is_large_string(rows[label].type):
        raise InvalidInput(
            f"Label column {label!r} is text, and the model says nowhere what its {width} classes are called.",
            hint=f"Give their places as labels, 0 to {width - 1}.",
        )
    numbers = _numbers(rows, label)
    whole = numbers.astype(np.int64)
    strange_ones = numbers[(whole != numbers) | (whole < 0) | (whole >= width)]
    if len(strange_ones):
        raise InvalidInput(
            f"Label {strange_ones[0]:g} is no class: the model tells {width}, which are 0 to {width - 1}.",
            hint=f"If it answers with {width} numbers of other things, the column must have lists of {width}.",
        )
    return whole


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(each[:50] for each in names[:most]) + (", …" if len(names) > most else "")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _several(rows: pa.Table, label: str, width: int) -> NDArray[np.float64]:
    """A list of so many numbers in each row."""
    flat = rows[label].combine_chunks().flatten()
    lengths = pc.list_value_length(rows[label])
    if flat.null_count or not pc.all(pc.equal(lengths, width)).as_py():
        raise InvalidInput(f"Label column {label!r} must have {width} numbers in every list, as the model answers.")
    return _numbers(pa.table({label: flat}), label).reshape(-1, width)


def _numbers(rows: pa.Table, label: str) -> NDArray[np.float64]:
    try:
        numbers = doubles(rows[label])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(f"Label column {label!r} is {rows[label].type}; the model's answers are numbers.") from error
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"Label column {label!r} is not a finite number in every row.")
    return numbers


def _texts(column: pa.ChunkedArray, *, numbers: bool = False) -> NDArray[np.str_]:
    """Labels as classes are written; with `numbers` true and false are 1 and 0."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type) and pc.all(pc.equal(pc.floor(column), column)).as_py():
        column = column.cast(pa.int64(), safe=False)
    if numbers and pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    return np.array([str(each) for each in column.to_pylist()], np.str_)
