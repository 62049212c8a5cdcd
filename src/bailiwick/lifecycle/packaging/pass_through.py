"""A model that was logged as ONNX is taken as it is: its own inputs, the outputs that are tensors, and a signature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bailiwick.core.errors import CheckFailed, InvalidInput
from bailiwick.lifecycle.packaging import gate
from bailiwick.lifecycle.packaging.probing import Answers, Arrays, answers, probes_of, taken
from bailiwick.pyfunc.mlmodel import Column, LoggedModel
from bailiwick.training.agreement import TOLERANCE, compare
from bailiwick.training.metadata import read_metadata
from bailiwick.training.model import ParityReport
from bailiwick.training.wrapping import DATATYPES, Reading, finished, graph_inputs, parse

MAX_GRAPH_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Passed:
    """The package, its signature, and the report of a run through it and the file that was logged."""

    package: bytes
    signature: dict[str, Any]
    report: ParityReport


class _Refused(InvalidInput):
    code = "model_failed"


def package(files: Path, model: LoggedModel) -> Passed:
    """Raises InvalidInput for a graph that cannot be served row by row, CheckFailed when the package differs from it."""
    named = str(model.flavours["onnx"].get("data", "model.onnx"))
    path = (files / named).resolve()
    if not path.is_relative_to(files.resolve()) or not path.is_file() or path.stat().st_size > MAX_GRAPH_BYTES:
        raise InvalidInput(f"The model names {named[:200]!r} as its ONNX file, which is not there or too large.")
    data = path.read_bytes()
    graph = parse(data)
    inputs = graph_inputs(graph)
    columns = [Column(each.name, each.datatype, each.shape) for each in inputs]
    probes = probes_of(columns, [], thresholds={}, texts=[])
    session = gate.open_session(data)
    names = [each.name for each in session.get_outputs() if each.type.startswith("tensor(")]

    def ask(rows: Arrays) -> Answers:
        try:
            return list(zip(names, session.run(names, dict(rows)), strict=True))
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            raise _Refused(str(error).splitlines()[0][:300]) from error

    expected, refused = answers(ask, probes.rows)
    rows, count = taken(probes.rows, ~refused), int((~refused).sum())
    readings = []
    for name, values in expected:
        if values.ndim < 1 or len(values) != count or min(values.shape) < 1:
            raise InvalidInput(f"Output {name!r} of the ONNX model has shape {list(values.shape)} for {count} rows.")
        kind = "BYTES" if values.dtype == object else _datatype(values)
        readings.append(Reading(name, name, "same", kind, (-1, *values.shape[1:])))
    for unread in [each for each in graph.graph.output if each.name not in names]:
        graph.graph.output.remove(unread)
    made = finished(graph, inputs, readings)
    found = gate.served(made, rows, names)
    report = compare(rows, expected, found, probes=count - probes.made, tolerance=TOLERANCE)
    if not report.passed:
        raise CheckFailed(f"The package answers otherwise than the logged graph: {report.max_error:.2g}.")
    return Passed(made, read_metadata(parse(made)).signature, report)


def _datatype(values: np.ndarray) -> str:
    from onnx import helper

    return DATATYPES[helper.np_dtype_to_tensor_dtype(values.dtype)]
