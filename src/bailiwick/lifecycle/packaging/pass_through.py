"""A model that was logged as ONNX is taken as it is: its own inputs, the outputs that are tensors, and a signature.

Classifiers of scikit-learn's and LightGBM's converters give probabilities as maps, which no protocol can carry (operator
`ZipMap`); their values become a tensor, a column for each class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bailiwick.core.errors import CheckFailed, InvalidInput
from bailiwick.lifecycle.packaging import gate
from bailiwick.lifecycle.packaging.graphs import Graph, Graphs
from bailiwick.lifecycle.packaging.probing import Answers, Arrays, Probes, answers, probes_of, taken
from bailiwick.pyfunc.mlmodel import Column, LoggedModel, read_example
from bailiwick.serving.packing import widen
from bailiwick.training.agreement import TOLERANCE, compare
from bailiwick.training.metadata import read_metadata
from bailiwick.training.model import ParityReport
from bailiwick.training.wrapping import Reading, finished, graph_inputs, parse

MAX_GRAPH_BYTES = 2 << 30
MAX_TOLD = 20

_KINDS = {
    "tensor(bool)": "BOOL", "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64", "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}  # fmt: skip
"""OIP datatypes by ONNX Runtime's names."""

Classes = Mapping[str, Sequence[Any]]
"""The keys of outputs that are maps, in order."""


@dataclass(frozen=True, slots=True)
class Passed:
    """The package, its signature, the report of a run through it and the file that was logged, and what became of maps."""

    package: bytes
    signature: dict[str, Any]
    report: ParityReport
    reason: str


def package(files: Path, model: LoggedModel, graphs: Graphs) -> Passed:
    """Raises InvalidInput for a graph that cannot be served row by row, CheckFailed when the package differs from it,
    ModelGone where it took more than it may to be opened or to answer.
    """
    graph = parse(_read(files, model))
    inputs = graph_inputs(graph)
    # NumPy has no bfloat16: such an input is asked as the float32 that serving makes of it.
    columns = [Column(each.name, "FP32" if each.datatype == "BF16" else each.datatype, each.shape) for each in inputs]
    classes = _classes(graph)
    session = graphs.open(_widened(graph))
    kinds = _output_kinds(graph, session, classes)
    names = list(kinds)

    def ask(rows: Arrays) -> Answers:
        found = session.run(names, rows, classes)
        count = len(next(iter(rows.values())))
        return [(name, _by_row(name, values, count)) for name, values in zip(names, found, strict=True)]

    example = read_example(files, replace(model, inputs=tuple(columns), tensors=True))
    probes, expected, refused = _asked(columns, example, ask)
    rows, count = taken(probes.rows, ~refused), int((~refused).sum())
    readings = [Reading(name, name, "same", kinds[name], (-1, *values.shape[1:])) for name, values in expected]
    _unzip(graph, classes)
    left_out = [each for each in graph.graph.output if each.name not in names]
    for each in left_out:
        graph.graph.output.remove(each)
    made = finished(graph, inputs, readings)
    found = gate.served(graphs.open(_widened(parse(made))), rows, names)
    report = compare(rows, expected, found, probes=count - probes.made, tolerance=TOLERANCE)
    if not report.passed:
        raise CheckFailed(
            "The model answers the same rows otherwise when other rows are asked with them, or when it is asked again: the "
            f"largest difference is {report.max_error:.2g}. A version must answer each row by itself, and always the same."
        )
    return Passed(
        made, read_metadata(parse(made)).signature, report, _reason(classes, [each.name for each in left_out])
    )


def _read(files: Path, model: LoggedModel) -> bytes:
    named = str(model.flavours["onnx"].get("data", "model.onnx"))
    path = (files / named).resolve()
    if not path.is_relative_to(files.resolve()) or not path.is_file() or path.stat().st_size > MAX_GRAPH_BYTES:
        raise InvalidInput(f"The model names {named[:200]!r} as its ONNX file, which is not there or too large.")
    return path.read_bytes()


def _asked(
    columns: Sequence[Column], example: Sequence[dict[str, Any]], ask: Any
) -> tuple[Probes, Answers, NDArray[np.bool_]]:
    """Probes with what the model answers. Where it takes none of them, and nothing says what it takes, 0 and 1 are tried:
    an index into a table is refused when it is larger than that.
    """
    probes = probes_of(columns, example, thresholds={}, texts=[])
    try:
        return probes, *answers(ask, probes.rows)
    except CheckFailed:
        if example:
            raise
    plain = [{each.name: [_plain(each, value)] * each.width for each in columns} for value in (0, 1)]
    probes = probes_of(columns, plain, thresholds={}, texts=[])
    return probes, *answers(ask, probes.rows)


def _plain(column: Column, value: int) -> int | str:
    return str(value) if column.datatype == "BYTES" else value


def _widened(graph: onnx.ModelProto) -> bytes:
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    widen(copy.graph)
    return bytes(copy.SerializeToString())


def _output_kinds(graph: onnx.ModelProto, session: Graph, classes: Classes) -> dict[str, str]:
    """OIP datatype by output, of those that can be sent. Raises InvalidInput where a tensor cannot, or there is none."""
    halves = {
        each.name for each in graph.graph.output if each.type.tensor_type.elem_type == TensorProto.BFLOAT16
    }  # the session says float
    kinds = {}
    for each in session.get_outputs():
        if each.name in classes:
            kinds[each.name] = "FP32"
        elif each.type.startswith("tensor("):
            if each.type not in _KINDS:
                raise InvalidInput(
                    f"Output {each.name!r} of the ONNX model is a {each.type}, which no inference protocol here can carry."
                )
            kinds[each.name] = "BF16" if each.name in halves else _KINDS[each.type]
    if not kinds:
        given = ", ".join(f"{each.name} ({each.type})" for each in session.get_outputs())
        raise InvalidInput(f"The ONNX model gives no tensor that can be sent; its outputs are: {given[:500]}.")
    return kinds


def _by_row(name: str, values: NDArray[Any], count: int) -> NDArray[Any]:
    if values.ndim < 1 or len(values) != count or min(values.shape) < 1:
        raise InvalidInput(
            f"Output {name!r} of the ONNX model has shape {list(values.shape)} for {count} rows; "
            "its first dimension must be the rows."
        )
    return values


def _classes(model: onnx.ModelProto) -> dict[str, Sequence[Any]]:
    """Of each output that a ZipMap makes, its keys."""
    outputs = {each.name for each in model.graph.output}
    found: dict[str, Sequence[Any]] = {}
    for node in model.graph.node:
        if node.op_type == "ZipMap" and node.output[0] in outputs:
            given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            texts = [text.decode(errors="replace") for text in given.get("classlabels_strings", ())]
            found[node.output[0]] = texts or list(given.get("classlabels_int64s", ()))
    return found


def _unzip(model: onnx.ModelProto, classes: Classes) -> None:
    """What the maps are made of instead of them."""
    for node in model.graph.node:
        if node.op_type == "ZipMap" and node.output[0] in classes:
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], [node.output[0]]))
    for each in model.graph.output:
        if each.name in classes:
            each.CopyFrom(helper.make_tensor_value_info(each.name, TensorProto.FLOAT, [None, len(classes[each.name])]))


def _reason(classes: Classes, left_out: Sequence[str]) -> str:
    said = ["the model is ONNX already"]
    for name, keys in classes.items():
        more = ", …" if len(keys) > MAX_TOLD else ""
        said.append(f"{name[:100]} has a column for each of {', '.join(map(str, keys[:MAX_TOLD]))[:500]}{more}")
    if left_out:
        said.append(f"left out, since they are no tensors: {', '.join(left_out)[:500]}")
    return "; ".join(said)
