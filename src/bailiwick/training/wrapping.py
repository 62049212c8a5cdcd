"""Makes a package of an ONNX model that a converter, or anybody, wrote: named columns in, the model's own answers out.

What a converter's outputs mean differs from library to library, so it is not assumed: of each way to read them
(`Reading`), the one that comes closest to the model's own answers is taken, and the parity gate judges it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from msgspec import Struct
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.training.agreement import errors_of
from bailiwick.training.metadata import FORMAT, kept_elsewhere

_MODEL = "model/"
_ONNX_TYPES = {
    "BOOL": TensorProto.BOOL, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32, "UINT64": TensorProto.UINT64, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE, "BF16": TensorProto.BFLOAT16, "BYTES": TensorProto.STRING,
}  # fmt: skip
DATATYPES: dict[int, str] = {kind: name for name, kind in _ONNX_TYPES.items()}
_TEXTS = ("cats_strings", "keys_strings", "classlabels_strings")

Arrays = Mapping[str, NDArray[Any]]


class Input(Struct, frozen=True):
    """One input of a package: OIP datatype and shape, and whether null may stand for a number that is not known."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1, 1)
    nullable: bool = True


class Reading(Struct, frozen=True):
    """How one output of a model is had from one of the graph: as it is, flattened, or its column 1."""

    name: str
    source: str
    view: str
    datatype: str
    shape: tuple[int, ...]


class Session(Protocol):
    """An opened graph, here or in a process of its own."""

    def get_outputs(self) -> Sequence[Any]:
        """Each with a `name` and a `type`."""
        ...

    def run(self, names: Sequence[str], rows: Any, /) -> Sequence[Any]:
        """The outputs of these names."""
        ...


class Draft:
    """A converter's graph, fed by columns; its outputs are not chosen yet."""

    def __init__(
        self,
        converted: bytes,
        inputs: Sequence[Input],
        *,
        matrix: bool,
        opened: Callable[[bytes], Session] | None = None,
    ) -> None:
        """`matrix`: the graph takes all inputs as one float matrix. A graph that is not trusted is `opened` elsewhere.

        Raises InvalidInput for what is no such graph.
        """
        model = parse(converted)
        if matrix:
            self.thresholds = _thresholds(model, inputs)
        else:
            self.thresholds = {}
        self.texts = _texts(model)
        self.inputs = tuple(inputs)
        self.model = onnx.compose.add_prefix(model, _MODEL)
        _feed(self.model, inputs, matrix=matrix)
        self._session = (opened or _session)(self.model.SerializeToString())
        self._outputs = [each.name for each in self._session.get_outputs() if each.type.startswith("tensor(")]

    def run(self, rows: Arrays) -> dict[str, NDArray[Any]]:
        """Every tensor that the graph gives, by name. Raises InvalidInput where it fails on rows the model answers."""
        try:
            found = self._session.run(self._outputs, dict(rows))
        except BailiwickError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            raise InvalidInput(f"ONNX Runtime fails on it: {str(error).splitlines()[0][:300]}") from error
        return dict(zip(self._outputs, found, strict=True))

    def readings(self, rows: Arrays, expected: Sequence[tuple[str, NDArray[Any]]]) -> list[Reading]:
        """For each output of the model, how it is best had. Raises InvalidInput where no reading has its shape."""
        given = self.run(rows)
        chosen = []
        for name, wanted in expected:
            found = [
                (float(errors_of(wanted, values).max(initial=0.0)), source, view, values)
                for source, raw in given.items()
                for view, values in _views(raw)
                if values.shape == wanted.shape and (values.dtype == object) == (wanted.dtype == object)
            ]
            if not found:
                raise InvalidInput(f"No output of the converted graph has the shape of {name}: {list(wanted.shape)}.")
            _, source, view, values = min(found, key=lambda each: each[0])
            chosen.append(Reading(name, source, view, _datatype(values), (-1, *values.shape[1:])))
        return chosen

    def package(self, readings: Sequence[Reading], inputs: Sequence[Input]) -> bytes:
        """The package, with the outputs read so. `inputs` are those of the draft, perhaps less nullable."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        graph = model.graph
        del graph.output[:]
        constants = [
            numpy_helper.from_array(np.array([-1], np.int64), "bailiwick.flat"),
            numpy_helper.from_array(np.array(1, np.int64), "bailiwick.one"),
        ]
        needed = {"flat": constants[0], "column": constants[1]}
        graph.initializer.extend(needed[view] for view in {each.view for each in readings} & needed.keys())
        for reading in readings:
            graph.node.append(_reader(reading))
            shape = [None, *reading.shape[1:]]
            graph.output.append(helper.make_tensor_value_info(reading.name, _ONNX_TYPES[reading.datatype], shape))
        return finished(model, inputs, readings)


def parse(data: bytes) -> onnx.ModelProto:
    """An ONNX model that keeps all of itself in these bytes. Raises InvalidInput: it may not name files of this machine."""
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise InvalidInput(f"These bytes are no ONNX model: {error}.") from error
    elsewhere = kept_elsewhere(model)
    if elsewhere:
        raise InvalidInput(f"The ONNX model keeps {elsewhere[0][:100]!r} in another file, which packages cannot.")
    return model


def graph_inputs(model: onnx.ModelProto) -> list[Input]:
    """What an ONNX model takes, row by row. Raises InvalidInput for other than tensors whose first dimension is free."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [_row_input(each) for each in model.graph.input if each.name not in constants]


def _row_input(declared: onnx.ValueInfoProto) -> Input:
    said = f"Input {declared.name[:100]!r} of the ONNX model"
    if declared.type.WhichOneof("value") != "tensor_type":
        raise InvalidInput(f"{said} is no tensor, and only tensors can be sent.")
    tensor = declared.type.tensor_type
    if tensor.elem_type not in DATATYPES:
        kind = TensorProto.DataType.Name(tensor.elem_type) if tensor.elem_type in TensorProto.DataType.values() else "?"
        raise InvalidInput(f"{said} is of {kind}, which no inference protocol here can carry.")
    sizes = [size.dim_value if size.HasField("dim_value") else size.dim_param or "?" for size in tensor.shape.dim]
    if not sizes:
        raise InvalidInput(f"{said} has no dimensions, or none are declared; the first must be the rows.")
    first, tail = sizes[0], [size for size in sizes[1:] if isinstance(size, int) and size > 0]
    if isinstance(first, int) and first > 0:
        raise InvalidInput(
            f"{said} has shape {sizes}, so it takes {first} rows at a time and no other number.",
            hint="Export it with a free first dimension (PyTorch: `dynamic_shapes` or `dynamic_axes`).",
        )
    if len(tail) != len(sizes) - 1:
        raise InvalidInput(
            f"{said} has shape {sizes}: only the first dimension, the rows, may be free.",
            hint="Export it with fixed sizes behind the first dimension.",
        )
    return Input(declared.name, DATATYPES[tensor.elem_type], (-1, *tail))


def finished(model: onnx.ModelProto, inputs: Sequence[Input], outputs: Sequence[Reading]) -> bytes:
    """The model with a package's metadata, checked."""
    signature = {
        "inputs": [_described(each) for each in inputs],
        "outputs": [{"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in outputs],
    }
    del model.graph.value_info[:]
    model.producer_name, model.producer_version, model.doc_string = "bailiwick", "", ""
    metadata = {"bailiwick.format": FORMAT, "bailiwick.features": "", "bailiwick.names": "[]"}
    helper.set_model_props(model, {**metadata, "bailiwick.signature": canonical_json(signature).decode()})
    return bytes(model.SerializeToString(deterministic=True))


def _described(each: Input) -> dict[str, Any]:
    told: dict[str, Any] = {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)}
    return told if each.nullable else {**told, "nullable": False}


def _feed(model: onnx.ModelProto, inputs: Sequence[Input], *, matrix: bool) -> None:
    """Put columns before the graph's own inputs, cast to what those take."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    held = {each.name: each.type.tensor_type.elem_type for each in graph.input if each.name not in constants}
    del graph.input[:]
    before, parts = [], []
    for place, each in enumerate(inputs):
        graph.input.append(
            helper.make_tensor_value_info(each.name, _ONNX_TYPES[each.datatype], [None, *each.shape[1:]])
        )
        target, kind = (f"bailiwick.{place}", TensorProto.FLOAT) if matrix else (_MODEL + each.name, None)
        kind = held.get(target) if kind is None else kind
        if kind is not None:
            before.append(_cast(each, target, kind))
            parts.append(target)
    if matrix:
        before.append(helper.make_node("Concat", parts, list(held), axis=1, name="bailiwick.matrix"))
    elif set(held) - set(parts):
        raise InvalidInput(f"The converted graph takes {min(set(held) - set(parts))!r}, which is no input.")
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *nodes])


def _cast(each: Input, target: str, kind: int) -> onnx.NodeProto:
    if _ONNX_TYPES[each.datatype] == kind:
        return helper.make_node("Identity", [each.name], [target])
    return helper.make_node("Cast", [each.name], [target], to=kind)


def _reader(reading: Reading) -> onnx.NodeProto:
    if reading.view == "flat":
        return helper.make_node("Reshape", [reading.source, "bailiwick.flat"], [reading.name])
    if reading.view == "column":
        return helper.make_node("Gather", [reading.source, "bailiwick.one"], [reading.name], axis=1)
    return helper.make_node("Identity", [reading.source], [reading.name])


def _views(raw: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
    found = [("same", raw)]
    if raw.ndim == 2 and raw.shape[1] == 1:
        found.append(("flat", raw.reshape(-1)))
    if raw.ndim == 2 and raw.shape[1] == 2:
        found.append(("column", raw[:, 1]))
    return found


def _datatype(values: NDArray[Any]) -> str:
    return "BYTES" if values.dtype == object else DATATYPES[helper.np_dtype_to_tensor_dtype(values.dtype)]


def _thresholds(model: onnx.ModelProto, inputs: Sequence[Input]) -> dict[str, NDArray[np.float32]]:
    """Split thresholds of tree ensembles right behind the matrix, by column."""
    columns = [each.name for each in inputs for _ in range(int(np.prod(each.shape[1:])))]
    direct = {each.name for each in model.graph.input}
    found: dict[str, NDArray[np.float32]] = {}
    for node in model.graph.node:
        if node.op_type.startswith("TreeEnsemble") and node.input[0] in direct:
            given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            splits = np.array([mode != b"LEAF" for mode in given.get("nodes_modes", ())], bool)
            owners = np.array(given.get("nodes_featureids", ()))[splits]
            values = np.array(given.get("nodes_values", ()), np.float32)[splits]
            found |= {columns[index]: np.unique(values[owners == index]) for index in set(owners.tolist())}
    return found


def _texts(model: onnx.ModelProto) -> list[str]:
    """Categories that the graph knows."""
    return [
        text.decode(errors="replace")
        for node in model.graph.node
        for item in node.attribute
        if item.name in _TEXTS
        for text in item.strings
    ]


def _session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        raise InvalidInput(f"ONNX Runtime does not take the graph: {str(error).splitlines()[0][:300]}") from error
