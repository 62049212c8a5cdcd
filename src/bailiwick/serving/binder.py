"""Binding a request to a model's inputs: every tensor checked against the signature, then built in as few arrays as can be."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from msgspec import Struct

from bailiwick.serving.matrix import columns_of
from bailiwick.serving.packing import Block, blocks_of
from bailiwick.serving.params import DeclaredParams
from bailiwick.serving.protocol import InferRequest, Refused, RequestTensor, flat_values, row_count, to_array
from bailiwick.serving.tensors import FLOATS, TensorSpec

_ROW, _VALUE = [1, 1], [1]
_MIN_INT64, _MAX_INT64 = -(1 << 63), (1 << 63) - 1
_NOTHING: frozenset[str] = frozenset()

SingleRow = Callable[[list[Any]], np.ndarray]


class Batch(Struct, gc=False):
    """A bound request: an array for each block, and the context of its rows where the client gave it.

    Inputs in `missing` were not sent; their columns are blank. Which inputs are needed depends on the variant. `params` is
    what was given beside the rows, as `DeclaredParams.given` writes it: those who share a run must be given the same.
    """

    rows: int
    arrays: dict[str, np.ndarray]
    units: list[str] | None
    times: list[int] | None
    missing: frozenset[str]
    params: bytes = b""


class _Slot(Struct, frozen=True, gc=False):
    """A tensor that requests may have. `plain` when one row of it is one value."""

    index: int
    spec: TensorSpec
    datatype: str
    types: frozenset[type]
    plain: bool


_Matrix = tuple[str, str, list[int], frozenset[type], Callable[..., bytes]]
"""A model's only input: its name, datatype, the shape of one row, types of its values, and what packs them."""

_Usual = tuple[int, str, np.dtype[Any], list[int], int]
"""How the tensor of a slot looks as an array: its place, datatype, NumPy's type, dimensions and values of a row."""


class Place(Struct, frozen=True):
    """A block whose inputs have the slots `start` to `end`; `single` builds its array for one row of plain values.

    `whole` blocks have an input that takes no NaN.
    """

    block: Block
    name: str
    start: int
    end: int
    single: SingleRow | None
    whole: bool

    def refuses(self, array: np.ndarray) -> bool:
        """Whether there is a NaN where none may be."""
        return self.whole and bool(np.isnan(array).any())


class Binder:
    """Made once for each endpoint of a snapshot, used by every request."""

    def __init__(
        self, inputs: Sequence[TensorSpec], *, key: str = "", time: str = "", params: DeclaredParams | None = None
    ) -> None:
        self.specs = tuple(inputs)
        self.params = params
        self.blocks = blocks_of(self.specs)
        self._slots: dict[str, _Slot] = {}
        self.places = tuple(self._place(block) for block in self.blocks)
        self._key = self._add_context(key, "BYTES")
        self._time = self._add_context(time, "INT64")
        self._time_name = time
        self._size = len(self._slots)
        self._plain = {
            name: (slot.index, slot.spec.datatype, slot.types) for name, slot in self._slots.items() if slot.plain
        }
        self._matrix = _matrix(self.specs)
        self._usual = {name: _usual(slot) for name, slot in self._slots.items()}

    def spec_of(self, name: str) -> TensorSpec | None:
        """What a request may have under this name: an input, or the unit or time of its rows."""
        slot = self._slots.get(name)
        return None if slot is None else slot.spec

    def bind(self, request: InferRequest) -> Batch:
        """Raises Refused naming the input that is unknown, repeated, or of another datatype, shape or length; or the param
        that a version does not take.
        """
        tensors = request.inputs
        quick = self._bind_row(tensors) if self._matrix is None else self._bind_matrix(tensors, self._matrix)
        batch = quick or self._bind_arrays(tensors) or self._bind_rows(tensors)
        if request.parameters and self.params is not None:
            batch.params = self.params.given(request.parameters)
        return batch

    def _bind_row(self, tensors: list[RequestTensor]) -> Batch | None:
        """One row of every input as plain values, which is what most requests are; None for anything else."""
        plain = self._plain
        values: list[Any] = [None] * self._size
        try:
            for tensor in tensors:
                index, datatype, types = plain[tensor.name]
                (value,) = tensor.data  # type: ignore[misc] # None is a TypeError
                shape = tensor.shape
                if (
                    type(value) not in types
                    or tensor.datatype != datatype
                    or (shape != _ROW and shape != _VALUE)  # noqa: PLR1714 - `in` compares more slowly
                    or values[index] is not None
                ):
                    return None
                values[index] = value
        except (KeyError, TypeError, ValueError):
            return None
        arrays: dict[str, np.ndarray] = {}
        for place in self.places:
            chosen = values[place.start : place.end]
            if place.single is None or None in chosen:
                return None
            try:
                arrays[place.name] = place.single(chosen)
            except (OverflowError, struct.error):
                return None
        unit = None if self._key is None else values[self._key]
        moment = None if self._time is None else values[self._time]
        if moment is not None and not _MIN_INT64 <= moment <= _MAX_INT64:
            return None
        return Batch(1, arrays, None if unit is None else [unit], None if moment is None else [moment], _NOTHING)

    def _bind_matrix(self, tensors: list[RequestTensor], matrix: _Matrix) -> Batch | None:
        """One row of a model's only input, flat, in numbers that stand for themselves; None for anything else."""
        name, datatype, shape, types, pack = matrix
        tensor = tensors[0] if len(tensors) == 1 else None
        if tensor is None or tensor.name != name or tensor.datatype != datatype or tensor.shape != shape:
            return None
        values = tensor.data
        if type(values) is not list or not types.issuperset(map(type, values)):
            return None
        try:
            array = np.frombuffer(pack(*values), np.float32).reshape(shape)
        except (OverflowError, struct.error):  # another number of them, too
            return None
        return Batch(1, {name: array}, None, None, _NOTHING)

    def _bind_arrays(self, tensors: list[RequestTensor]) -> Batch | None:
        """Every input as one array of its own type, which is how bytes come; None for anything else, and for all that is wrong."""
        first = cast("Any", tensors[0].data) if tensors and tensors[0].shape else None
        rows = tensors[0].shape[0] if type(first) is np.ndarray else 0
        columns = None if rows < 1 else self._arrays_of(tensors, rows)
        if columns is None or any(column is None for column in columns[: len(self.specs)]):
            return None
        arrays: dict[str, np.ndarray] = {}
        for place in self.places:
            array = stacked(place.block, columns[place.start : place.end], rows)
            if place.refuses(array):
                return None
            arrays[place.name] = array
        units = None if self._key is None else _listed(columns[self._key])
        times = None if self._time is None else _listed(columns[self._time])
        return Batch(rows, arrays, units, times, _NOTHING)

    def _arrays_of(self, tensors: list[RequestTensor], rows: int) -> list[Any] | None:
        """By slot; None where one is not what its slot takes."""
        usual, flat = self._usual, [rows]
        columns: list[Any] = [None] * self._size
        for tensor in tensors:
            known = usual.get(tensor.name)
            if known is None:
                return None
            index, datatype, dtype, tail, width = known
            shape, data = tensor.shape, cast("Any", tensor.data)
            if (
                tensor.datatype != datatype
                or (shape[1:] != tail and not (width == 1 and shape == flat))
                or shape[:1] != flat
            ):
                return None
            if type(data) is not np.ndarray or data.dtype != dtype or len(data) != rows * width:
                return None
            if columns[index] is not None:
                return None
            columns[index] = data
        return columns

    def _bind_rows(self, tensors: Sequence[RequestTensor]) -> Batch:
        tensors = columns_of(tensors, self.specs)
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
        units = None if self._key is None else _listed(columns[self._key])
        times = None if self._time is None else _listed(columns[self._time])
        if times is not None and not _MIN_INT64 <= min(times) <= max(times) <= _MAX_INT64:
            raise Refused(400, f"A value of {self._time_name} is out of the range of INT64.")
        missing = frozenset(spec.name for spec in self.specs if columns[self._slots[spec.name].index] is None)
        arrays = {place.name: _array(place.block, columns[place.start : place.end], rows) for place in self.places}
        return Batch(rows, arrays, units, times, missing)

    def _place(self, block: Block) -> Place:
        start = len(self._slots)
        for spec in block.specs:
            self._add(spec)
        whole = any(not spec.nullable and spec.datatype in FLOATS for spec in block.specs)
        return Place(block, block.name, start, len(self._slots), _single_row(block), whole)

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


def _matrix(specs: Sequence[TensorSpec]) -> _Matrix | None:
    """Of a model that has one input, of several float32 in a row."""
    if len(specs) != 1 or specs[0].datatype != "FP32" or specs[0].width == 1:
        return None
    (spec,) = specs
    return spec.name, spec.datatype, [1, *spec.tail], spec.python_types, struct.Struct(f"<{spec.width}f").pack


def _usual(slot: _Slot) -> _Usual:
    spec = slot.spec
    return slot.index, spec.datatype, np.dtype(spec.dtype), list(spec.tail), spec.width


def stacked(block: Block, columns: Sequence[Any], rows: int) -> np.ndarray:
    """One array [row, ...] from the flat array of each input; of a single input it is a view."""
    if len(columns) == 1:
        return cast("np.ndarray", columns[0].reshape(rows, *block.row_shape))
    return np.ascontiguousarray(np.concatenate(columns).reshape(-1, rows).T)


def _listed(column: list[Any] | None) -> list[Any] | None:
    """Units and times are worked with one by one, whatever they came as."""
    return column if column is None or isinstance(column, list) else np.asarray(column).tolist()


def _array(block: Block, columns: list[list[Any] | None], rows: int) -> np.ndarray:
    if any(column is None for column in columns):
        blank = [block.blank(1).ravel()[0]] * (rows * block.specs[0].width)
        columns = [blank if column is None else column for column in columns]
    return to_array(columns, block, rows)


def _single_row(block: Block) -> SingleRow | None:
    """Builds the array for one value of each input, several times faster than NumPy converts nested lists."""
    datatype, shape = block.specs[0].datatype, (1, *block.row_shape)
    if block.specs[0].width != 1:
        return None
    if datatype == "FP32":
        pack = struct.Struct(f"<{len(block.specs)}f").pack
        return lambda values: np.frombuffer(pack(*values), np.float32).reshape(shape)
    if datatype == "BYTES":
        return lambda values: np.array(values, dtype=object).reshape(shape)
    return None
