"""The forms that are tried, each as a package that says the same of itself; or the reason why one is not."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.lifecycle.optimising.parts import DENSE, PRODUCTS, has_products
from bailiwick.lifecycle.optimising.rows import Columns, batches_of
from bailiwick.lifecycle.optimising.students import student
from bailiwick.lifecycle.optimising.trees import pruned, whole
from bailiwick.training.metadata import kept_elsewhere

SHARES = (75, 50, 25)
FORMS = ("graph", "int8 dynamic", "int8 static", "float16", *(f"{share} % of trees" for share in SHARES), "student")
_BATCH = 256
_OPSET = 15

CALIBRATED = 4_096
"""Rows that static quantisation looks at: it holds what every layer makes of them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form. `package` is None where it could not be made, and `reason` says why."""

    name: str
    package: bytes | None
    reason: str = ""


def candidates(
    package: bytes, columns: Columns, answers: Mapping[str, NDArray[Any]], *, distil: bool
) -> Iterator[Candidate]:
    """Every form of a package, made with rows of its inputs that nothing is judged on, and what it answers to them: all
    of its outputs, which a student is taught.
    """
    model = onnx.load_from_string(package)
    if all(each.domain not in {"", "ai.onnx"} for each in model.opset_import):  # as converters of boosters leave it
        model.opset_import.append(helper.make_opsetid("", _OPSET))
        package = model.SerializeToString()
    nothing = "it multiplies by no weights: trees and linear models have nothing to quantise"
    yield _made("graph", model, lambda: _optimised(package))
    dense = "" if has_products(model, DENSE) else nothing
    yield _made("int8 dynamic", model, lambda: _dynamic(package), dense)
    products = "" if has_products(model) else nothing
    yield _made("int8 static", model, lambda: _static(package, columns), products)
    yield _made("float16", model, lambda: _float16(model), products)
    for share in SHARES:
        yield _made(
            f"{share} % of trees", model, lambda share=share: pruned(model, share, columns), whole(model, share)
        )
    why = "" if distil else "not asked for (--distil)"
    yield _made("student", model, lambda: student(model, columns, answers), why)


def _made(name: str, original: onnx.ModelProto, make: Any, reason: str = "") -> Candidate:
    if reason:
        return Candidate(name, None, reason)
    try:
        made = make()
    except InvalidInput as error:  # in our own words
        return Candidate(name, None, error.message)
    except (
        BailiwickError,
        ValueError,
        RuntimeError,
        TypeError,
        KeyError,
        AttributeError,
        onnx.checker.ValidationError,
    ) as error:
        return Candidate(name, None, f"it could not be made: {str(error).splitlines()[0][:200]}")
    except Exception as error:  # noqa: BLE001 - converters and ONNX Runtime raise whatever they like; the next form is tried
        return Candidate(name, None, f"it could not be made: {type(error).__name__}")
    helper.set_model_props(made, {each.key: each.value for each in original.metadata_props})
    wrong = unlike(made, original)
    if wrong:
        return Candidate(name, None, wrong)
    return Candidate(name, bytes(made.SerializeToString(deterministic=True)))


def unlike(made: onnx.ModelProto, original: onnx.ModelProto) -> str:
    """Why a graph cannot stand in for another; empty where it takes and gives the same, and keeps all of itself."""
    if kept_elsewhere(made):
        return "it keeps values in another file"
    for side in ("input", "output"):
        if _declared(made, side) != _declared(original, side):
            return f"its {side}s are not those of the version"
    try:
        onnx.checker.check_model(made)
    except (onnx.checker.ValidationError, ValueError) as error:
        return f"it is no valid graph: {str(error).splitlines()[0][:200]}"
    return ""


def _declared(model: onnx.ModelProto, side: str) -> list[tuple[str, int, int]]:
    """Name, type and rank of each input or output; in any order, since tensors go by their names."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return sorted(
        (each.name, each.type.tensor_type.elem_type, len(each.type.tensor_type.shape.dim))
        for each in getattr(model.graph, side)
        if each.name not in constants
    )


def _optimised(package: bytes) -> onnx.ModelProto:
    """As ONNX Runtime writes it, short of what only this machine's processor has."""
    with tempfile.TemporaryDirectory(prefix="bailiwick-optimise-") as folder:
        path = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        onnxruntime.InferenceSession(package, options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def _dynamic(package: bytes) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _files(package) as (given, made), _quiet():
        quantize_dynamic(given, made, weight_type=QuantType.QInt8, op_types_to_quantize=list(DENSE))
        return onnx.load(made)


def _static(package: bytes, columns: Columns) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with _files(package) as (given, made), _quiet():
        quantize_static(
            given,
            made,
            _Reader(columns),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(PRODUCTS),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(made)


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True)
    _sort(made.graph)  # its casts of inputs come last, which ONNX Runtime forgives and ONNX does not
    return made


def _sort(graph: onnx.GraphProto) -> None:
    """Put each node behind what it reads. A graph that goes round in circles stays as it is."""
    inner = {name for node in graph.node for name in node.output}
    waiting, ordered, made = list(graph.node), [], set[str]()
    while waiting:
        ready = [node for node in waiting if made.issuperset(inner.intersection(node.input))]
        if not ready:
            return
        ordered += ready
        made.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not any(node is other for other in ready)]
    del graph.node[:]
    graph.node.extend(ordered)


class _Reader:
    """What `quantize_static` reads rows by."""

    def __init__(self, columns: Columns) -> None:
        self._batches = batches_of({name: values[:CALIBRATED] for name, values in columns.items()}, _BATCH)

    def get_next(self) -> Columns | None:
        """The next rows, or None at the end."""
        return next(self._batches, None)


class _files:  # noqa: N801 - used as a context manager only
    """A package as a file, and where the other is to be written."""

    def __init__(self, package: bytes) -> None:
        self._package = package
        self._folder = tempfile.TemporaryDirectory(prefix="bailiwick-optimise-")

    def __enter__(self) -> tuple[str, str]:
        given = Path(self._folder.name) / "given.onnx"
        given.write_bytes(self._package)
        return str(given), str(Path(self._folder.name) / "made.onnx")

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


class _quiet:  # noqa: N801 - used as a context manager only
    """ONNX Runtime's quantiser advises on the root logger, which is not ours to write to."""

    def __enter__(self) -> None:
        self._before = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._before)
