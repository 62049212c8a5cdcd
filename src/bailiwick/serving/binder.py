"""Binding a request to a model's inputs: every tensor checked against the signature, then built in as few arrays as can be."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from bailiwick.serving.protocol import InferRequest, Refused, RequestTensor, flat_values, row_count, to_array
from bailiwick.serving.tensors import TensorSpec

_ONE_ROW = ([1, 1], [1])
_MIN_INT64, _MAX_INT64 = -(1 << 63), (1 << 63) - 1


class Batch(Struct, gc=False):
    """A bound request: `arrays` by input name, and the context of its rows where the client gave it."""

    rows: int
    arrays: dict[str, np.ndarray]
    units: list[str] | None
    times: list[int] | None


class _Slot(Struct, frozen=True, gc=False):
    """A tensor that requests may have. `plain` when one row of it is one value."""

    index: int
    spec: TensorSpec
    datatype: str
    types: frozenset[type]
    plain: bool


class _Group(Struct, frozen=True):
    """Inputs of one dtype and width, built as one block; their slots are `start` to `end`."""

    specs: tuple[TensorSpec, ...]
    names: tuple[str, ...]
    start: int
    end: int
    single: Callable[[list[Any]], np.ndarray] | None


class Binder:
    """Made once for each endpoint of a snapshot, used by every request."""

    def __init__(self, inputs: Sequence[TensorSpec], *, key: str = "", time: str = "") -> None:
        self.specs = tuple(inputs)
        self._slots: dict[str, _Slot] = {}
        self._groups = self._grouped()
        self._key = self._add_context(key, "BYTES")
        self._time = self._add_context(time, "INT64")
        self._time_name = time
        self._size = len(self._slots)

    def bind(self, request: InferRequest) -> Batch:
        """Raises Refused naming the input that is unknown, repeated, or of another datatype, shape or length.

        Inputs that are missing are left out of `arrays`: which ones are needed depends on the variant.
        """
        return self._bind_row(request.inputs) or self._bind_rows(request.inputs)

    def _bind_row(self, tensors: list[RequestTensor]) -> Batch | None:
        """One row of every input as plain values, which is what most requests are; None for anything else."""
        slots = self._slots
        values: list[Any] = [None] * self._size
        for tensor in tensors:
            slot = slots.get(tensor.name)
            data = tensor.data
            if slot is None or data is None or len(data) != 1:
                return None
            value = data[0]
            if (
                type(value) not in slot.types
                or not slot.plain
                or tensor.datatype != slot.datatype
                or tensor.shape not in _ONE_ROW
                or values[slot.index] is not None
            ):
                return None
            values[slot.index] = value
        arrays: dict[str, np.ndarray] = {}
        for group in self._groups:
            chosen = values[group.start : group.end]
            if group.single is None or None in chosen:
                return None
            try:
                arrays.update(zip(group.names, group.single(chosen), strict=True))
            except (OverflowError, struct.error):
                return None
        unit = None if self._key is None else values[self._key]
        moment = None if self._time is None else values[self._time]
        if moment is not None and not _MIN_INT64 <= moment <= _MAX_INT64:
            return None
        return Batch(1, arrays, None if unit is None else [unit], None if moment is None else [moment])

    def _bind_rows(self, tensors: list[RequestTensor]) -> Batch:
        columns: list[list[Any] | None] = [None] * self._size
        rows = 0
        for tensor in tensors:
            slot = self._slots.get(tensor.name)
            if slot is None:
                raise self._unexpected(tensor.name)
            count = row_count(tensor, slot.spec)
            if rows and count != rows:
                raise Refused(400, f"Input {slot.spec.name} has {count} rows where others have {rows}.")
            if columns[slot.index] is not None:
                raise Refused(400, f"Input {slot.spec.name} is given twice.")
            rows = count
            columns[slot.index] = flat_values(tensor, slot.spec, count)
        if not rows:
            raise Refused(400, "The request has no inputs.")
        units = None if self._key is None else columns[self._key]
        times = None if self._time is None else columns[self._time]
        if times is not None and not _MIN_INT64 <= min(times) <= max(times) <= _MAX_INT64:
            raise Refused(400, f"A value of {self._time_name} is out of the range of INT64.")
        return Batch(rows, self._arrays(columns, rows), units, times)

    def missing(self, wanted: frozenset[str], batch: Batch) -> Refused:
        """The error for a request that lacks some of the `wanted` inputs."""
        lacking = sorted(wanted - batch.arrays.keys())
        return Refused(400, f"The request lacks input {', '.join(lacking)}.")

    def _arrays(self, columns: list[list[Any] | None], rows: int) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for group in self._groups:
            given = list(zip(group.specs, columns[group.start : group.end], strict=True))
            specs = [spec for spec, column in given if column is not None]
            if specs:
                block = to_array([column for _, column in given if column is not None], specs, rows)
                arrays.update(zip([spec.name for spec in specs], block, strict=True))
        return arrays

    def _grouped(self) -> tuple[_Group, ...]:
        shared: dict[tuple[str, tuple[int, ...]], list[TensorSpec]] = {}
        for spec in self.specs:
            shared.setdefault((spec.datatype, spec.tail), []).append(spec)
        groups = []
        for specs in shared.values():
            start = len(self._slots)
            for spec in specs:
                self._add(spec)
            names = tuple(spec.name for spec in specs)
            groups.append(_Group(tuple(specs), names, start, len(self._slots), _single_row(specs)))
        return tuple(groups)

    def _add(self, spec: TensorSpec) -> int:
        index = len(self._slots)
        self._slots[spec.name] = _Slot(index, spec, spec.datatype, spec.python_types, spec.width == 1)
        return index

    def _add_context(self, name: str, datatype: str) -> int | None:
        if not name:
            return None
        held = self._slots.get(name)
        if held is None:
            return self._add(TensorSpec(name, datatype, (-1, 1)))
        return held.index if held.datatype == datatype and held.plain else None

    def _unexpected(self, name: str) -> Refused:
        known = ", ".join(self._slots)
        return Refused(400, f"Input {name[:100]!r} is not known here; the inputs are: {known}.")


def _single_row(specs: Sequence[TensorSpec]) -> Callable[[list[Any]], np.ndarray] | None:
    """Builds [input, 1, ...] of one value each, several times faster than NumPy converts nested lists."""
    datatype, shape = specs[0].datatype, (len(specs), 1, *specs[0].tail)
    if specs[0].width != 1:
        return None
    if datatype == "FP32":
        pack = struct.Struct(f"<{len(specs)}f").pack
        return lambda values: np.frombuffer(pack(*values), np.float32).reshape(shape)
    if datatype == "BYTES":
        return lambda values: np.array(values, dtype=object).reshape(shape)
    return None
