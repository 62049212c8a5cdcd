"""The parity gate: a package may be registered only if it answers as the Python pipeline does.

The package is fed as a client would feed it, from plain Python values and not through Arrow, so that a fault in the
conversion of training tables is found as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.training.agreement import LEAST_ROWS, TOLERANCE
from bailiwick.training.conversion import OUTPUT
from bailiwick.training.estimators import predict
from bailiwick.training.metadata import read_metadata
from bailiwick.training.model import ParityReport
from bailiwick.training.probes import make_probes, with_milliseconds

FeatureMatrix = Callable[[pa.Table], NDArray[np.float32]]
"""The feature graph's `run`."""

Values = dict[str, list[Any]]


def check_parity(
    package: bytes,
    features: FeatureMatrix,
    estimator: Any,
    held_out: pa.Table,
    *,
    boundaries: Mapping[str, NDArray[np.float32]] | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> ParityReport:
    """Compare the package with `estimator` on the matrix of `features`, over held-out rows and difficult ones.

    Difficult rows have missing, unseen and extreme values, and values at and beside the model's thresholds and the
    `boundaries` of its features (by raw column). With fewer
    than 1,000 held-out rows, more are made by recombining their columns. Deterministic by `seed`.
    """
    model = onnx.load_from_string(package)
    datatypes = read_metadata(model).inputs
    if not held_out.num_rows:
        raise InvalidInput("Parity needs held-out rows, and there are none.", hint="Is the newest window empty?")
    rows = with_milliseconds(held_out.select(list(datatypes)))
    least = LEAST_ROWS - rows.num_rows
    special = _together(thresholds_of(model), boundaries or {})
    probes = make_probes(rows, datatypes, thresholds=special, least=least, seed=seed)
    expected = np.concatenate([predict(estimator, features(part)) for part in (rows, probes)])
    values = {name: rows.column(name).to_pylist() + probes.column(name).to_pylist() for name in datatypes}
    found = _serve(package, {name: _tensor(values[name], datatype) for name, datatype in datatypes.items()})
    return _report(values, expected, found, probes=probes.num_rows, tolerance=tolerance)


def _together(
    first: Mapping[str, NDArray[np.float32]], second: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    none = np.empty(0, np.float32)
    return {
        name: np.unique(np.concatenate([first.get(name, none), second.get(name, none)]))
        for name in dict.fromkeys([*first, *second])
    }


def thresholds_of(package: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Split thresholds of a tree ensemble by the name of its feature column; empty for other models."""
    found: dict[str, NDArray[np.float32]] = {}
    for node in package.graph.node:
        if node.op_type.startswith("TreeEnsemble"):
            given = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
            splits = np.array([mode != b"LEAF" for mode in given["nodes_modes"]], bool)
            owners = np.array(given["nodes_featureids"])[splits]
            values = np.array(given["nodes_values"], np.float32)[splits]
            names = read_metadata(package).names
            found.update({name: np.unique(values[owners == index]) for index, name in enumerate(names)})
    return found


def _serve(package: bytes, feed: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(package, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([OUTPUT], feed)[0], np.float64)


def _tensor(values: list[Any], datatype: str) -> NDArray[Any]:
    if datatype == "BYTES":
        return np.array([["" if value is None else value] for value in values], object)
    with np.errstate(over="ignore"):  # a number past float32 becomes an infinity, as it does in training
        wide = np.array([[math.nan if value is None else float(value)] for value in values], np.float64)
        return wide if datatype == "FP64" else wide.astype(np.float32)


def _report(
    values: Values, expected: NDArray[np.float64], found: NDArray[np.float64], *, probes: int, tolerance: float
) -> ParityReport:
    """An answer that is no number counts as an error of 1, the largest there is."""
    errors = np.nan_to_num(np.abs(found - expected), nan=1.0, posinf=1.0)
    flips = int((((found >= 0.5) != (expected >= 0.5)) & (errors > tolerance)).sum())
    row = int(errors.argmax())
    return ParityReport(
        rows=len(errors),
        probes=probes,
        max_error=float(errors[row]),
        label_flips=flips,
        tolerance=tolerance,
        passed=bool(errors[row] <= tolerance),
        worst={
            "expected": _json(expected[row]),
            "found": _json(found[row]),
            "row": {name: _json(column[row]) for name, column in values.items()},
        },
    )


def _json(value: Any) -> Any:
    """JSON has no NaN and no infinities, and a report has no room for long texts."""
    if isinstance(value, str):
        return value[:80]
    if value is None or isinstance(value, bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)
