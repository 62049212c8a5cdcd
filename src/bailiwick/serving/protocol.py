"""The Open Inference Protocol v2 in JSON: requests in, responses out, and exact words for what is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import orjson
from msgspec import Struct

from bailiwick.serving.packing import Block
from bailiwick.serving.tensors import TensorSpec

_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}")


class Refused(Exception):
    """The request cannot be answered: an HTTP status and a message for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RequestTensor(Struct, gc=False):
    """One input as sent; `data` is row-major, flat or nested."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None


class RequestedOutput(Struct, gc=False):
    """An output that the client asks for by name."""

    name: str


class InferRequest(Struct, gc=False):
    """The body of an infer request; fields that are not known are ignored, as the protocol wants."""

    inputs: list[RequestTensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None


class OutcomesRequest(Struct, gc=False):
    """The body of an outcomes request: what turned out to be true, for predictions named by id."""

    prediction_id: list[str]
    outcome: list[float]
    time: list[int] | None = None


_decode_infer = msgspec.json.Decoder(InferRequest).decode
_decode_outcomes = msgspec.json.Decoder(OutcomesRequest).decode


def parse_infer(body: bytes) -> InferRequest:
    """Raises Refused for what is not JSON or not an infer request."""
    try:
        return _decode_infer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"The body is not an infer request: {error}.") from None


def parse_outcomes(body: bytes) -> OutcomesRequest:
    """Raises Refused for what is not JSON, for lists of different lengths, and for ids that no prediction can have."""
    try:
        request = _decode_outcomes(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"The body is not an outcomes request: {error}.") from None
    times = request.outcome if request.time is None else request.time
    if not len(request.prediction_id) == len(request.outcome) == len(times):
        raise Refused(400, "prediction_id, outcome and time must have the same length.")
    if not request.prediction_id:
        raise Refused(400, "There are no outcomes in the request.")
    for name in request.prediction_id:
        request_id, colon, row = name.rpartition(":")
        if not (colon and row.isdecimal() and usable_id(request_id)):
            raise Refused(400, f"{name[:100]!r} is not a prediction id: write <request id>:<row>.")
    if any(not -(1 << 63) <= moment < 1 << 63 for moment in request.time or ()):
        raise Refused(400, "time must be milliseconds in 64 bits.")
    return request


def usable_id(text: str | None) -> bool:
    """Whether a client's request id can name predictions: 1 to 64 of A-Z a-z 0-9 _ -."""
    return text is not None and _ID.fullmatch(text) is not None


def row_count(tensor: RequestTensor, spec: TensorSpec) -> int:
    """Rows in a tensor whose datatype and shape fit `spec`; [n] and [n, 1] are taken for each other. Raises Refused."""
    shape = tensor.shape
    if tensor.datatype != spec.datatype:
        raise Refused(400, f"Input {spec.name} has datatype {tensor.datatype[:20]!r}; it must be {spec.datatype}.")
    if not shape or (tuple(shape[1:]) != spec.tail and not (spec.width == 1 and set(shape[1:]) <= {1})):
        raise Refused(400, f"Input {spec.name} has shape {shape[:8]}; it must be {list(spec.shape)}.")
    if shape[0] < 1:
        raise Refused(400, f"Input {spec.name} has shape {shape[:8]}: a request has at least one row.")
    return shape[0]


def flat_values(tensor: RequestTensor, spec: TensorSpec, rows: int) -> list[Any]:
    """The tensor's values as one flat list of rows x width, each of a type that `spec` takes. Raises Refused."""
    values = tensor.data
    if values is None:
        raise Refused(400, f"Input {spec.name} has no data.")
    while values and type(values[0]) is list:
        values = _unnested(values, spec)
    if len(values) != rows * spec.width:
        raise Refused(
            400, f"Input {spec.name} has {len(values)} values; shape {tensor.shape} needs {rows * spec.width}."
        )
    if not set(map(type, values)) <= spec.python_types:
        values = _without_nulls(values, spec)
    return values


def flat_nullable(values: list[Any]) -> list[Any]:
    """Values of an accepted tensor as sent, unnested, nulls kept: what the prediction log stores."""
    while values and type(values[0]) is list:
        values = [value for part in values for value in part]
    return values


def _unnested(values: list[Any], spec: TensorSpec) -> list[Any]:
    if any(type(part) is not list for part in values):
        raise Refused(400, f"Input {spec.name} mixes nested and flat data.")
    return [value for part in values for value in part]


def _without_nulls(values: list[Any], spec: TensorSpec) -> list[Any]:
    null, taken = spec.null, spec.python_types
    for index, value in enumerate(values):
        if type(value) not in taken and (value is not None or null is None):
            raise Refused(400, f"Input {spec.name} is {spec.datatype}; value {index} is {orjson_text(value)}.")
    return [null if value is None else value for value in values]


def orjson_text(value: object) -> str:
    """A JSON value for an error message, cut to 60 characters."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def to_array(columns: Sequence[list[Any] | None], block: Block, rows: int) -> np.ndarray:
    """One array [row, ...] from a flat list for each input of the block. Raises Refused for values out of range."""
    try:
        with np.errstate(over="raise"):
            array: np.ndarray = np.array(columns, dtype=block.specs[0].dtype)
    except (OverflowError, FloatingPointError):
        names = ", ".join(spec.name for spec in block.specs)
        raise Refused(400, f"A value of {names} is out of the range of {block.specs[0].datatype}.") from None
    if len(block.specs) > 1:
        return np.ascontiguousarray(array.T)
    return array.reshape(rows, *block.row_shape)


def output_opening(spec: TensorSpec) -> bytes:
    """The JSON of one output up to its shape."""
    return b'{"name":%b,"datatype":"%b","shape":[' % (orjson.dumps(spec.name), spec.datatype.encode())


def output_json(opening: bytes, values: np.ndarray) -> bytes:
    """One output, flat and row-major; NaN and infinities are null."""
    if values.ndim > 1:
        shape = ",".join(map(str, values.shape)).encode()
        values = np.ascontiguousarray(values).ravel()
    else:
        shape = b"%d" % len(values)
    if values.dtype == object:
        data = orjson.dumps([str(value) for value in values])
    else:
        data = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join((opening, shape, b'],"data":', data, b"}"))


def error_json(message: str) -> bytes:
    """`{"error": message}`, whatever characters a client put into it."""
    return orjson.dumps({"error": message.encode("utf-8", "replace").decode()})
