"""Inputs of a model that was logged without a signature, as its input example or the model itself says what they are.

Of examples a table with names and an array say it; what an application sends as JSON of its own does not. Kinds are those
of the values in the example: what is a whole number in every row is one in every request. Nothing is loaded for this.

Estimators and boosters remember the names or the number of the columns they were taught, and which of them are texts; every
other column is then a number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bailiwick.pyfunc.mlmodel import MAX_COLUMNS, UNNAMED_INPUT, Column, LoggedModel, example_text

_KINDS: dict[type, tuple[str, str]] = {
    bool: ("BOOL", "boolean"),
    int: ("INT64", "long"),
    float: ("FP64", "double"),
    str: ("BYTES", "string"),
}
_TENSORS = {"b": "BOOL", "i": "INT64", "f": "FP64", "U": "BYTES"}


def inferred(folder: Path, model: LoggedModel) -> LoggedModel:
    """The model with the inputs that its example has; as it is where the example says nothing."""
    try:
        found = json.loads(example_text(folder, model))
    except (ValueError, RecursionError):
        return model
    if isinstance(found, dict) and found.keys() == {"inputs", "params"}:
        found = found["inputs"]
    inputs = _columns(found) if model.example_type == "dataframe" else ()
    if model.example_type == "ndarray":
        inputs = _tensors(found.get("inputs") if isinstance(found, dict) else found)
    if not inputs or len(inputs) > MAX_COLUMNS or len({each.name for each in inputs}) != len(inputs):
        return model
    return replace(model, inputs=inputs, tensors=model.example_type == "ndarray")


def as_taught(model: LoggedModel, said: Mapping[str, Any]) -> LoggedModel:
    """The model with the inputs that it says it was taught; as it is where that makes no sense, for it may say anything.

    `said` is what the process of a model answers to `taught`.
    """
    count, names, texts = said.get("count"), said.get("names"), said.get("texts")
    if (
        type(count) is not int
        or not 1 <= count <= MAX_COLUMNS
        or not isinstance(names, list)
        or not isinstance(texts, list)
    ):
        return model
    if not names and not texts:
        return replace(
            model, inputs=(Column(UNNAMED_INPUT, "FP64", (-1, count), "tensor", unnamed=True),), tensors=True
        )
    if len(names) != count or len(set(map(str, names))) != count or not all(isinstance(name, str) for name in names):
        return model
    kinds = [_KINDS[str if place in texts else float] for place in range(count)]
    inputs = tuple(Column(name, datatype, kind=kind) for name, (datatype, kind) in zip(names, kinds, strict=True))
    return replace(model, inputs=inputs, tensors=False)


def _columns(found: Any) -> tuple[Column, ...]:
    """Of a table; nothing where one of its columns has no kind."""
    names, rows = (found.get("columns"), found.get("data")) if isinstance(found, dict) else (None, None)
    if not isinstance(names, list) or not isinstance(rows, list) or not rows:
        return ()
    if not all(isinstance(row, list) and len(row) == len(names) for row in rows):
        return ()
    kinds = [_kind([row[place] for row in rows]) for place in range(len(names))]
    if not all(isinstance(name, str) for name in names) or None in kinds:
        return ()
    return tuple(
        Column(name, kind[0], kind=kind[1]) for name, kind in zip(names, kinds, strict=True) if kind is not None
    )


def _kind(values: Sequence[Any]) -> tuple[str, str] | None:
    known = {type(value) for value in values if not _missing(value)}
    gaps = any(map(_missing, values))
    if known == {int, float} or (known == {int} and gaps):
        known = {float}
    if len(known) != 1 or (known == {bool} and gaps):
        return None
    return _KINDS.get(known.pop())


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _tensors(found: Any) -> tuple[Column, ...]:
    """Of an array, or of arrays by name."""
    named = found if isinstance(found, dict) else {UNNAMED_INPUT: found}
    columns = []
    for name, values in named.items():
        try:
            array = np.array(values)
        except (ValueError, OverflowError):  # of uneven lengths
            return ()
        datatype = _TENSORS.get(array.dtype.kind)
        if datatype is None or array.ndim < 1 or min(array.shape) < 1:
            return ()
        columns.append(
            Column(str(name), datatype, (-1, *array.shape[1:]), "tensor", unnamed=not isinstance(found, dict))
        )
    return tuple(columns)
