"""Tensors as bytes, as the binary tensor data extension and the raw contents of gRPC have them.

Elements are little-endian and row-major: BOOL one byte of 0 or 1, BYTES a `u32` length before each text, BF16 the upper
half of a float32. In this program texts are `str` and BF16 is float32, which holds every BF16 exactly.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod
from typing import Any

import msgspec
import numpy as np

from bailiwick.serving.protocol import InferRequest, Refused, RequestTensor, parse_infer
from bailiwick.serving.tensors import NUMPY_TYPES

Buffer = bytes | memoryview

_LENGTH = struct.Struct("<I")
_MARK = b"\0\1"  # the second byte is the version of what follows
_MAX_RAW = (1 << 63) - 1
_WIRE_TYPES: dict[str, np.dtype[Any]] = {
    datatype: np.dtype(kind).newbyteorder("<")
    for datatype, kind in NUMPY_TYPES.items()
    if datatype not in {"BYTES", "BF16"}
}
AS_THEY_ARE = {
    datatype: kind
    for datatype, kind in _WIRE_TYPES.items()
    if datatype != "BOOL" and kind == np.dtype(NUMPY_TYPES[datatype])
}
"""Datatypes whose bytes are the memory of an array, and any bytes a value."""

_WIRE_TYPES["BF16"] = np.dtype("<u2")


def read_tensor(data: Buffer, datatype: str, shape: Sequence[int], *, name: str) -> np.ndarray:
    """The values of a tensor, flat, as they are computed with; they may lie in `data` itself and be read-only.

    Raises Refused (400), naming the tensor, for bytes that are not `shape` elements of `datatype`.
    """
    if shape and min(shape) < 0:
        raise Refused(400, f"Input {name[:100]} has shape {list(shape[:8])}: sizes are not negative.")
    count = prod(shape)
    if datatype == "BYTES":
        return _read_texts(memoryview(data), count, name)
    kind = _WIRE_TYPES.get(datatype)
    if kind is None:
        raise Refused(400, f"Input {name[:100]} has datatype {datatype[:20]!r}; there are: {', '.join(NUMPY_TYPES)}.")
    if len(data) != count * kind.itemsize:
        needed = count * kind.itemsize if count < _MAX_RAW else "more"
        raise Refused(
            400, f"Input {name[:100]} has {len(data)} bytes; {datatype} of shape {list(shape[:8])} needs {needed}."
        )
    if datatype == "BOOL":
        return _read_truths(data, name)
    values: np.ndarray = np.frombuffer(data, kind)
    if datatype in AS_THEY_ARE:
        return values
    if datatype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(NUMPY_TYPES[datatype], copy=False)


def write_tensor(values: np.ndarray, datatype: str) -> bytes:
    """The bytes of an array in row-major order; a BF16 is the nearest one, ties to even. NaN stays NaN."""
    if datatype == "BYTES":
        texts = [text if isinstance(text, bytes) else str(text).encode() for text in values.ravel().tolist()]
        return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
    if datatype == "BF16":
        return _halved(np.ascontiguousarray(values, np.float32))
    return values.astype(_WIRE_TYPES[datatype], copy=False).tobytes()


def element_bytes(datatype: str) -> int | None:
    """Bytes of one element; None for BYTES, whose elements differ. Raises KeyError for what is no datatype."""
    return None if datatype == "BYTES" else _WIRE_TYPES[datatype].itemsize


def _read_texts(data: memoryview, count: int, name: str) -> np.ndarray:
    # Each element takes four bytes at least: a shape that lies must not make a list of that length.
    if count * _LENGTH.size > len(data):
        raise Refused(400, f"Input {name[:100]} has {len(data)} bytes, too few for {min(count, _MAX_RAW)} elements.")
    values: np.ndarray = np.empty(count, dtype=object)
    start = 0
    for index in range(count):
        end = start + _LENGTH.size
        if end <= len(data):
            end += _LENGTH.unpack_from(data, start)[0]
        if end > len(data) or end < start + _LENGTH.size:
            raise Refused(400, f"Input {name[:100]} ends inside of element {index}.")
        try:
            values[index] = str(data[start + _LENGTH.size : end], "utf-8")
        except UnicodeDecodeError:
            raise Refused(400, f"Input {name[:100]}: element {index} is not text in UTF-8.") from None
        start = end
    if start != len(data):
        raise Refused(400, f"Input {name[:100]} has {len(data) - start} bytes after its last element.")
    return values


def _read_truths(data: Buffer, name: str) -> np.ndarray:
    values: np.ndarray = np.frombuffer(data, np.uint8)
    if len(values) and values.max() > 1:
        place = int(np.argmax(values > 1))
        raise Refused(400, f"Input {name[:100]} is BOOL; byte {place} is {values[place]}, and must be 0 or 1.")
    return values.view(np.bool_)


def _halved(values: np.ndarray) -> bytes:
    bits = values.view(np.uint32)
    rounded = (bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16
    quiet = (bits >> 16) | 0x40
    return np.where(np.isnan(values), quiet, rounded).astype("<u2").tobytes()


# -- whole requests ------------------------------------------------------------------------------------------------------


class Sized(msgspec.Struct, gc=False, rename={"bytes": "binary_data_size"}):
    """What the extension adds to the parameters of an input."""

    bytes: int | None = None


class BinaryTensor(RequestTensor, gc=False):
    """An input whose values may follow the JSON."""

    parameters: Sized | None = None


class BinaryRequest(InferRequest, gc=False):
    """The JSON of a request whose tensors may follow it."""

    inputs: list[BinaryTensor]  # type: ignore[assignment]


_decode = msgspec.json.Decoder(BinaryRequest).decode


def read_request(body: Buffer, json_bytes: int) -> InferRequest:
    """A request whose first `json_bytes` are JSON and whose tensors follow in the order of the inputs.

    Raises Refused (400) for JSON that is none and for lengths that do not add up.
    """
    view = memoryview(body)
    try:
        request = _decode(view[:json_bytes])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"The body is not an infer request: {error}.") from None
    start = json_bytes
    for tensor in request.inputs:
        size = None if tensor.parameters is None else tensor.parameters.bytes
        if size is None:
            continue
        if tensor.data is not None:
            raise Refused(400, f"Input {tensor.name[:100]} has both data and binary_data_size.")
        if not 0 <= size <= len(view) - start:
            left = len(view) - start
            raise Refused(400, f"Input {tensor.name[:100]} has binary_data_size {size}; {left} bytes are left.")
        kind, shape = AS_THEY_ARE.get(tensor.datatype), tensor.shape
        values: Any
        if kind is not None and shape and min(shape) > 0 and size == prod(shape) * kind.itemsize:
            values = np.frombuffer(view, kind, size // kind.itemsize, start)  # without a view of each
        else:
            values = read_tensor(view[start : start + size], tensor.datatype, shape, name=tensor.name)
        tensor.data = values
        start += size
    if start != len(view):
        raise Refused(400, f"{len(view) - start} bytes follow the last binary tensor.")
    return request


# -- requests on record --------------------------------------------------------------------------------------------------


def recorded(body: Buffer, json_bytes: int) -> bytes:
    """A request with binary tensors as it goes on record: a mark that no JSON begins with, its length of JSON, itself."""
    return b"".join((_MARK, _LENGTH.pack(json_bytes), body))


def write_request(request: InferRequest) -> bytes:
    """A request as it goes on record, from whatever protocol it came: JSON, and after it the inputs that are arrays."""
    inputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for tensor in request.inputs:
        said: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        data: Any = tensor.data
        if isinstance(data, np.ndarray):
            parts.append(write_tensor(data, tensor.datatype))
            said["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            said["data"] = data
        inputs.append(said)
    told: dict[str, Any] = {"parameters": request.parameters} if request.parameters else {}
    head = msgspec.json.encode({"inputs": inputs, **told})
    return recorded(b"".join((head, *parts)), len(head)) if parts else head


def recorded_request(body: bytes) -> InferRequest:
    """What is on record, as it was sent. Raises Refused."""
    if not body.startswith(_MARK):
        return parse_infer(body)
    start = len(_MARK) + _LENGTH.size
    if len(body) < start:
        raise Refused(400, "The recorded request is cut short.")
    (json_bytes,) = _LENGTH.unpack_from(body, len(_MARK))
    return read_request(memoryview(body)[start:], json_bytes)
