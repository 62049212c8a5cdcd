"""The forms that are tried, each as a package that says the same of itself; or the reason why one is not."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.optimising.trees import first_trees, has_products, student, tree_count

SHARES = (75, 50, 25)
LEAST_TREES = 8
_BATCH = 256

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form. `package` is None where it could not be made, and `reason` says why."""

    name: str
    package: bytes | None
    reason: str = ""


def candidates(package: bytes, columns: Columns, answers: NDArray[np.float32], *, distil: bool) -> Iterator[Candidate]:
    """Every form of a package, made with rows of its inputs that nothing is judged on, and what it answers to them."""
    model = onnx.load_from_string(package)
    products = (
        "" if has_products(model) else "it multiplies by no matrices: trees and linear models have nothing to quantise"
    )
    yield _made("graph", model, lambda: _optimised(package))
    yield _made("int8 dynamic", model, lambda: _dynamic(package), products)
    yield _made("int8 static", model, lambda: _static(package, columns), products)
    yield _made("float16", model, lambda: _float16(model), products)
    trees = tree_count(model)
    for share in SHARES:
        count = trees * share // 100
        few = (
            ""
            if count >= LEAST_TREES
            else f"{trees} trees are too few to leave some out"
            if trees
            else "it has no trees"
        )
        yield _made(f"{share} % of trees", model, lambda count=count: first_trees(model, count), few)
    yield _made(
        "student", model, lambda: student(model, columns, answers), "" if distil else "not asked for (--distil)"
    )


def _made(name: str, original: onnx.ModelProto, make: Any, reason: str = "") -> Candidate:
    if reason:
        return Candidate(name, None, reason)
    try:
        made = make()
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
    return Candidate(name, bytes(made.SerializeToString(deterministic=True)))


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
        quantize_dynamic(given, made, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
        return onnx.load(made)


def _static(package: bytes, columns: Columns) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with _files(package) as (given, made), _quiet():
        quantize_static(
            given,
            made,
            _Reader(columns),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(made)


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True)
    return made


class _Reader:
    """What `quantize_static` reads rows by."""

    def __init__(self, columns: Columns) -> None:
        count = len(next(iter(columns.values())))
        self._batches = iter(
            {name: values[start : start + _BATCH] for name, values in columns.items()}
            for start in range(0, count, _BATCH)
        )

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
