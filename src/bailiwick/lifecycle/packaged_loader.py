"""Loads a package for `mlflow.pyfunc`: the columns of a data frame become the tensors of its graph.

This file is sent along with a package as the code of an MLflow model, and runs where MLflow's client does; it imports nothing
of ours. Bailiwick itself never loads it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class Package:
    """A graph whose inputs are columns of shape [rows, 1]. Answers a data frame with a data frame, all else with a mapping."""

    def __init__(self, path: str) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """`data` holds a column for each input, by name: a data frame, or a mapping of arrays."""
        del params
        feed = {each.name: _column(data[each.name], each.type) for each in self._session.get_inputs()}
        names = [each.name for each in self._session.get_outputs()]
        found = dict(zip(names, self._session.run(names, feed), strict=True))
        if not hasattr(data, "columns"):
            return found
        return type(data)({name: list(values) for name, values in found.items()}, index=data.index)


def _column(values: Any, kind: str) -> Any:
    column = np.asarray(values, dtype=object).reshape(-1, 1)
    if kind == "tensor(string)":
        return np.vectorize(_text, otypes=[object])(column)
    return column.astype(_TYPES.get(kind, np.float32))


def _text(value: Any) -> str:
    """Missing is the empty text, as in training: None, NaN, and what pandas calls NA."""
    absent = value is None or type(value).__name__ in {"NAType", "NaTType"}
    missing = absent or (isinstance(value, float) and np.isnan(value))
    return "" if missing else str(value)


def _load_pyfunc(path: str) -> Package:
    """What MLflow calls."""
    return Package(path)
