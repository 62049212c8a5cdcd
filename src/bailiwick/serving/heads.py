"""The JSON of binary requests comes again and again, letter for letter: what it says is worked out once.

A client that sends tensors as bytes puts the same names, shapes and sizes in front of them with each call. Where all of
them are arrays that the model takes as they come, the rest of a request is cut into blocks without looking at it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from bailiwick.serving.binder import Batch, Binder, Place
from bailiwick.serving.protocol import InferRequest, RequestTensor
from bailiwick.serving.wire import AS_THEY_ARE, read_request

_MOST_BYTES = 16 << 10
_MOST_HEADS = 64
_NOTHING: frozenset[str] = frozenset()


class _Piece(Struct, frozen=True):
    """A block whose values lie in one piece: `count` of them, `start` bytes behind the head."""

    place: Place
    dtype: np.dtype[Any]
    start: int
    count: int


class _Known(Struct, frozen=True):
    """What a head says: the request but for its values, and where in `size` bytes those of each block lie."""

    request: InferRequest
    rows: int
    size: int
    pieces: tuple[_Piece, ...]
    params: bytes

    def cut(self, body: bytes, start: int) -> Batch | None:
        """The rows of a body whose tensors begin at `start`; None where there is a NaN that may not be."""
        arrays: dict[str, np.ndarray] = {}
        for piece in self.pieces:
            place = piece.place
            values = np.frombuffer(body, piece.dtype, piece.count, start + piece.start)
            if len(place.block.specs) == 1:
                array = values.reshape(self.rows, *place.block.row_shape)
            else:
                array = np.ascontiguousarray(values.reshape(-1, self.rows).T)
            if place.refuses(array):
                return None
            arrays[place.name] = array
        return Batch(self.rows, arrays, None, None, _NOTHING, self.params)


class Heads:
    """The heads that an endpoint was sent lately. Any thread may ask: at worst two work out the same."""

    def __init__(self, binder: Binder) -> None:
        self._binder = binder
        self._known: dict[bytes, _Known] = {}

    def read(self, body: bytes, json_bytes: int) -> tuple[InferRequest, Batch]:
        """The request, which may be without its values, and its rows. Raises Refused as reading and binding do."""
        head = body[:json_bytes] if json_bytes <= _MOST_BYTES else None
        known = None if head is None else self._known.get(head)
        if known is not None and len(body) == json_bytes + known.size:
            batch = known.cut(body, json_bytes)
            if batch is not None:
                return known.request, batch
        request = read_request(body, json_bytes)
        batch = self._binder.bind(request)
        if head is not None and known is None and request.id is None:
            self._learn(head, body, request, batch)
        return request, batch

    def _learn(self, head: bytes, body: bytes, request: InferRequest, batch: Batch) -> None:
        whole = len(request.inputs) == len(self._binder.specs) and batch.units is None and batch.times is None
        pieces = _pieces(self._binder.places, request.inputs) if whole else None
        if pieces is None:
            return
        without = InferRequest([], outputs=request.outputs, parameters=request.parameters)
        known = _Known(without, batch.rows, len(body) - len(head), pieces, batch.params)
        again = known.cut(body, len(head))
        if again is None or not _same(again.arrays, batch.arrays):
            return
        if len(self._known) >= _MOST_HEADS:
            self._known.clear()
        self._known[head] = known


def _pieces(places: Sequence[Place], tensors: Sequence[RequestTensor]) -> tuple[_Piece, ...] | None:
    """None where a block's values do not lie together in the block's order, or are not numbers as they come."""
    order = {tensor.name: number for number, tensor in enumerate(tensors)}
    starts = [0]
    for tensor in tensors:
        data: Any = tensor.data
        if tensor.datatype not in AS_THEY_ARE or not isinstance(data, np.ndarray):
            return None
        starts.append(starts[-1] + data.nbytes)
    pieces = []
    for place in places:
        numbers = [order.get(spec.name, -1) for spec in place.block.specs]
        first, last = numbers[0], numbers[-1]
        if first < 0 or numbers != list(range(first, first + len(numbers))):
            return None
        dtype = AS_THEY_ARE[tensors[first].datatype]
        pieces.append(_Piece(place, dtype, starts[first], (starts[last + 1] - starts[first]) // dtype.itemsize))
    return tuple(pieces)


def _same(some: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> bool:
    """Bit for bit, NaN too."""
    return some.keys() == others.keys() and all(
        (array.dtype, array.shape, array.tobytes()) == (other.dtype, other.shape, other.tobytes())
        for array, other in ((array, others[name]) for name, array in some.items())
    )
