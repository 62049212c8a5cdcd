"""The model that is explained, as a function from rows of raw columns to one number; and its trees, where it is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.explaining.dependence import made_of, players_of
from bailiwick.lifecycle.explaining.ensemble import Ensemble, Floats, ensemble_node, read_ensemble
from bailiwick.serving.params import TakesParams
from bailiwick.serving.runtime import ModelFailed, Runtime
from bailiwick.serving.tensors import Signature, TensorSpec, parse_signature

Rows = dict[str, np.ndarray]
"""Values by column: float64 with NaN for missing, or texts with "" for missing; all of one length."""

AGREE = 1e-4
"""Trees whose answer differs by more from the package's are not what it answers by."""
_ROWS_AT_ONCE = 8_192
_PROBES = 7
_NUMBERS = frozenset(
    ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"]
)


@dataclass(frozen=True, slots=True)
class Column:
    """One raw column: the value at `place` of each row of an input tensor."""

    name: str
    spec: TensorSpec
    place: int

    @property
    def text(self) -> bool:
        """Whether its values are texts."""
        return self.spec.datatype == "BYTES"

    @property
    def whole(self) -> bool:
        """Whether its values can only be whole numbers."""
        return self.spec.datatype not in {"BYTES", "FP16", "FP32", "FP64"}


class Subject(Protocol):
    """A model with its raw columns, and the one number of its answer that is explained."""

    columns: tuple[Column, ...]
    output: str

    def score(self, rows: Rows) -> Floats:
        """[rows]. Raises ModelFailed."""
        ...


def columns_of(signature: Signature) -> tuple[Column, ...]:
    """A column for each value of each input."""
    return tuple(
        Column(spec.name if spec.width == 1 else f"{spec.name}[{place}]", spec, place)
        for spec in signature.inputs
        for place in range(spec.width)
    )


def feed_of(specs: Sequence[TensorSpec], columns: Sequence[Column], rows: Rows) -> dict[str, np.ndarray]:
    """A tensor for each input, as serving would make it of the same values."""
    named: dict[str, list[np.ndarray]] = {}
    for column in columns:
        named.setdefault(column.spec.name, []).append(rows[column.name])
    made: dict[str, np.ndarray] = {}
    for spec in specs:
        values = np.stack(named[spec.name], axis=1)
        if spec.datatype != "BYTES" and not spec.datatype.startswith("FP"):
            values = np.nan_to_num(values)
        with np.errstate(over="ignore"):
            made[spec.name] = values.astype(spec.dtype).reshape(len(values), *spec.tail)
    return made


def chosen_output(signature: Signature, output: str, index: int) -> tuple[int, int]:
    """(place of the output, index within it). Raises InvalidInput naming what can be explained."""
    numeric = [spec for spec in signature.outputs if spec.datatype in _NUMBERS]
    if not numeric:
        raise InvalidInput("The model answers with texts only, and only numbers can be explained.")
    likely = [spec for spec in numeric if spec.datatype.startswith("FP")] or numeric
    spec = next((each for each in numeric if each.name == (output or likely[0].name)), None)
    if spec is None:
        raise InvalidInput.choice("Output to explain", output, [each.name for each in numeric])
    if not -1 <= index < spec.width:
        raise InvalidInput(f"Output {spec.name} has {spec.width} values a row; index {index} is none of them.")
    return signature.outputs.index(spec), index if index >= 0 else spec.width - 1


class RuntimeSubject:
    """Through the runtime that serves; for packages that are no graph."""

    def __init__(
        self, runtime: Runtime, output: str, index: int, at_once: int, params: Mapping[str, Any] | None = None
    ) -> None:
        """`params` are those that the model is run with."""
        self.columns = columns_of(runtime.signature)
        self._params = params
        self._runtime = runtime
        self._place, self._index = chosen_output(runtime.signature, output, index)
        self.output = runtime.signature.outputs[self._place].name
        self._at_once = at_once

    def score(self, rows: Rows) -> Floats:
        """[rows]. Raises ModelFailed, Unavailable."""
        parts = []
        for part in sliced(rows, self._at_once):
            tensors = feed_of(self._runtime.signature.inputs, self.columns, part)
            size = len(next(iter(part.values())))
            feed = {
                block.name: np.concatenate([tensors[spec.name].reshape(size, -1) for spec in block.specs], axis=1)
                if len(block.specs) > 1
                else tensors[block.specs[0].name]
                for block in self._runtime.blocks
            }
            found = np.asarray(self._run(feed)[self._place], np.float64)
            parts.append(found.reshape(size, -1)[:, self._index])
        return np.concatenate(parts)

    def _run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        if self._params and isinstance(self._runtime, TakesParams):
            return self._runtime.run_with(feed, self._params)
        return self._runtime.run(feed)


class GraphSubject:
    """An ONNX package, run as it is."""

    def __init__(self, package: bytes, output: str, index: int, *, threads: int = 1) -> None:
        self.model = onnx.load_model_from_string(package)
        metadata = {item.key: item.value for item in self.model.metadata_props}
        self.signature = parse_signature(metadata["bailiwick.signature"])
        self.columns = columns_of(self.signature)
        place, self._index = chosen_output(self.signature, output, index)
        self.output = self.signature.outputs[place].name
        self._threads = threads
        self._session = session_of(self.model, threads)

    def score(self, rows: Rows) -> Floats:
        """[rows]."""
        return self._run(self._session, self.output, rows)[:, self._index]

    def feed(self, rows: Rows) -> dict[str, np.ndarray]:
        """Tensors by name."""
        return feed_of(self.signature.inputs, self.columns, rows)

    def tensor(self, name: str) -> Callable[[Rows], NDArray[np.float32]]:
        """What computes a tensor of the graph, [rows, columns]."""
        opened = onnx.ModelProto()
        opened.CopyFrom(self.model)
        del opened.graph.output[:]
        opened.graph.output.append(onnx.ValueInfoProto(name=name))
        session = session_of(opened, self._threads)
        return lambda rows: self._run(session, name, rows).astype(np.float32)

    def _run(self, session: onnxruntime.InferenceSession, name: str, rows: Rows) -> np.ndarray:
        needed = {each.name for each in session.get_inputs()}
        parts = []
        for part in sliced(rows, _ROWS_AT_ONCE):
            fed = {key: values for key, values in self.feed(part).items() if key in needed}
            size = len(next(iter(part.values())))
            try:
                found = session.run([name], fed)[0]
            except Exception as error:  # ONNX Runtime's errors have no common class but this
                raise ModelFailed(f"The model failed: {error}.") from error
            parts.append(np.asarray(found, np.float64).reshape(size, -1))
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class Trees:
    """The trees behind a package's answer: `features` makes their input, `weights` chooses among their scores, `score`
    has the weight of each leaf, and `space` says what the sum is. `players` are sets of raw columns, `player` the set that each feature is made of.
    """

    ensemble: Ensemble
    features: Callable[[Rows], NDArray[np.float32]]
    weights: Floats
    score: Floats
    space: str
    players: tuple[tuple[str, ...], ...]
    player: NDArray[np.int64]

    def margin(self, features: NDArray[np.float32]) -> Floats:
        """[rows], in `space`."""
        return self.ensemble.scores(features) @ self.weights


def trees_of(subject: GraphSubject, rows: Rows) -> Trees | str:
    """The trees; or, in words, why the answer is not one of trees alone. It is tried on `rows`, the explained one among them."""
    node = ensemble_node(subject.model)
    if node is None:
        return "the package is not one ensemble of trees"
    ensemble = read_ensemble(node)
    if ensemble is None:
        return f"its {node.op_type} is of a kind whose leaves do not add up"
    features = subject.tensor(node.input[0])
    found = _linked(subject.score(rows), ensemble, features(rows))
    if found is None:
        return "more than a link follows the trees in its graph, so their sum is not what is answered"
    weights, space = found
    some = {name: np.resize(values, _PROBES) for name, values in rows.items()}
    made = made_of(subject.model, node.input[0], subject.feed(some))
    if made is None or len(made) <= int(ensemble.feature.max(initial=0)):
        return "it cannot be told which columns its features are made of"
    labelled = _labelled(made, subject)
    players = [tuple(sorted(each)) for each in players_of(labelled)]
    place = {column: number for number, each in enumerate(players) for column in each}
    player = np.array([place[next(iter(each))] if each else len(players) for each in labelled], np.int64)
    return Trees(ensemble, features, weights, ensemble.weights @ weights, space, tuple(players), player)


def _labelled(made: list[frozenset[str]], subject: GraphSubject) -> list[frozenset[str]]:
    """Names of columns, not of tensors."""
    columns: dict[str, list[str]] = {}
    for column in subject.columns:
        columns.setdefault(column.spec.name, []).append(column.name)
    return [frozenset(name for tensor in each for name in columns[tensor]) for each in made]


def _linked(answers: Floats, ensemble: Ensemble, features: NDArray[np.float32]) -> tuple[Floats, str] | None:
    """(weights of the scores, space) of the sum that gives these answers, as themselves or as log-odds."""
    scores = ensemble.scores(features)
    width = scores.shape[1]
    ways = [np.eye(width)[each] for each in range(width)]
    if width == 2:
        ways.append(np.array([-1.0, 1.0]))
    for weights in reversed(ways):
        sums = scores @ weights
        with np.errstate(over="ignore"):
            logistic = 1 / (1 + np.exp(-sums))
        for space, linked in (("log_odds", logistic), ("output", sums)):
            if np.allclose(linked, answers, rtol=AGREE, atol=AGREE):
                return weights, space
    return None


def session_of(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    """On few threads, without spinning."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def sliced(rows: Rows, size: int) -> list[Rows]:
    """Parts of so many rows."""
    count = len(next(iter(rows.values())))
    return [
        {name: values[start : start + size] for name, values in rows.items()} for start in range(0, max(count, 1), size)
    ]


def repeated(rows: Rows, count: int) -> Rows:
    """One row, so many times."""
    return {name: np.repeat(values[:1], count) for name, values in rows.items()}


def joined(parts: Sequence[Mapping[str, np.ndarray]]) -> Rows:
    """Parts one after another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
