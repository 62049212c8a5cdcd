"""Rows to a model, and what it makes of them as named arrays."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .channel import Head, Named, Uneven
from .documents import Reader
from .loading import by_flavour, with_mlflow
from .telling import written


class Loaded:
    """A model, the form it takes its rows in, and how it was loaded."""

    def __init__(self, folder: str, head: Head) -> None:
        self.columns = head["columns"]
        self.tensors = head["tensors"]
        metadata = None
        logged = os.path.exists(os.path.join(folder, "MLmodel"))
        if logged and head.get("loader") != "flavour" and importlib.util.find_spec("mlflow") is not None:
            self.predict, self.loader, metadata = with_mlflow(folder)
        elif head.get("params"):
            raise ValueError("its params need mlflow to be given to it")
        else:
            self.predict, self.loader = by_flavour(folder, head["flavours"])
        self.reader = Reader(metadata) if head.get("documents") else None

    def answer(self, head: Head, arrays: Sequence[Any]) -> Named:
        """(name, array) of each output of the model for these rows. Raises Refusal, Uneven, and what the model raises."""
        if self.reader is not None:
            return [("response", self._told(self.reader, arrays[0], head.get("params")))]
        given = {}
        for about, values in zip(head["arrays"], arrays):  # noqa: B905 - models may need a Python that lacks `strict`
            names = about["names"]
            for place, name in enumerate(names):
                given[name] = values[:, place] if len(names) > 1 else values
        rows = len(arrays[0])
        found = self._predicted(self._rows(given), head.get("params"))
        try:
            outputs = normal(found)
        except Exception as error:  # noqa: BLE001 - of whatever the model answered with
            raise Uneven(f"what the model answered is no table: {type(error).__name__}: {error}") from None
        for name, values in outputs:
            if values.ndim == 0 or len(values) != rows:
                raise Uneven(f"the model answered {rows} rows with {name} of shape {list(values.shape)}")
        return outputs

    def _told(self, reader: Reader, documents: Any, params: Any) -> Any:
        """The answer to each document, one by one: nothing says that they could be asked together."""
        import numpy as np

        read = [reader.read(text) for text in documents.ravel().tolist()]
        return np.array([written(self._predicted(each, params, whole=whole)) for each, whole in read], dtype=object)

    def _predicted(self, rows: Any, params: Any, *, whole: bool = False) -> Any:
        # Without MLflow a model is one that they mean nothing to; and MLflow fills in those that are not given. Its own
        # server gives a language model at least an empty mapping.
        if (params or whole) and self.loader.startswith("mlflow"):
            return self.predict(rows, params=params or {})
        return self.predict(rows)

    def _rows(self, given: Mapping[str, Any]) -> Any:
        if self.tensors:
            arrays = {each["name"]: given[each["name"]] for each in self.columns}
            unnamed = len(self.columns) == 1 and self.columns[0]["unnamed"]
            return next(iter(arrays.values())) if unnamed else arrays
        return frame(given, self.columns)


def frame(given: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> Any:
    """A pandas frame with the columns in the order of the signature."""
    import pandas as pd

    made = {}
    for column in columns:
        values = given[column["name"]].reshape(-1)
        made[column["name"]] = pd.to_datetime(values) if column["type"] == "datetime" else values
    return pd.DataFrame(made, columns=[column["name"] for column in columns])


def normal(found: Any) -> Named:
    """What pyfunc models answer with (frames, series, arrays, lists, mappings) as named arrays."""
    import numpy as np

    if hasattr(found, "toarray"):
        found = found.toarray()
    if isinstance(found, dict) or (hasattr(found, "columns") and hasattr(found, "iloc")):
        return [(str(name), array_of(found[name])) for name in list(found)]
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return [(str(name), array_of([row[name] for row in found])) for name in found[0]]
    return [("predictions", array_of(found if isinstance(found, np.ndarray) else np.asarray(found)))]


def array_of(values: Any) -> Any:
    """Numbers as such, everything else as objects."""
    import numpy as np

    array = np.asarray(values)
    if array.dtype == object and array.size and not isinstance(array.ravel()[0], str):
        try:
            return np.array(array.tolist())
        except ValueError:
            return array
    return array.astype(object) if array.dtype.kind in "USMmO" else array
