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
from bailiwick.serving.tensors import FLOATS, TensorSpec

_EXACT = 1 << 53
"""Whole numbers up to here are themselves as floats."""

_BF16_OVERFLOW = float((1 << 128) - (1 << 119))
"""Numbers from here on would become infinite."""

_NOT_HERE = ("classification", "shared_memory_region")
_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}")


class Refused(Exception):
    """The request cannot be answered: an HTTP status and a message for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RequestTensor(Struct, gc=False):
    """One input as sent; `data` is row-major, flat or nested. Where values came as bytes it is a flat NumPy array."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None


class RequestedOutput(Struct, gc=False):
    """An output that the client asks for by name."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(Struct, gc=False):
    """The body of an infer request; fields that are not known are ignored, as the protocol wants."""

    inputs: list[RequestTensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] | None = None


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


def refuse_extensions(output: RequestedOutput) -> None:
    """Raises Refused for what would change the output and is not offered."""
    for name in _NOT_HERE:
        if output.parameters is not None and name in output.parameters:
            raise Refused(400, f"Output {output.name[:100]!r} asks for {name}, an extension that is not offered.")


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


def flat_values(tensor: RequestTensor, spec: TensorSpec, rows: int) -> Any:
    """The tensor's values, rows x width, as one flat list or array, each of a type that `spec` takes. Raises Refused."""
    values = nested_values(tensor, rows * spec.width)
    if not isinstance(values, list):
        return _without_nan(values, spec)
    if not set(map(type, values)) <= spec.python_types:
        values = _without_nulls(values, spec)
    return values


def nested_values(tensor: RequestTensor, count: int) -> Any:
    """The tensor's `count` values, flat, of whatever types. Raises Refused."""
    values: Any = tensor.data
    if values is None:
        raise Refused(400, f"Input {tensor.name[:100]} has no data.")
    if isinstance(values, list) and values and type(values[0]) is list:
        values = _unnested(values, tensor)
    if len(values) != count:
        raise Refused(
            400, f"Input {tensor.name[:100]} has {len(values)} values; shape {tensor.shape[:8]} needs {count}."
        )
    return values


def flat_nullable(values: Any) -> list[Any]:
    """Values of an accepted tensor as sent, unnested, nulls kept: what the prediction log stores."""
    if not isinstance(values, list):
        listed: list[Any] = values.tolist()
        return listed
    flat: list[Any] = values
    while flat and type(flat[0]) is list:
        flat = [value for part in flat for value in part]
    return flat


def _unnested(values: list[Any], tensor: RequestTensor) -> list[Any]:
    """Raises Refused where lists lie in one another otherwise than the shape says; dimensions of 1 may be left out."""
    name, shape = tensor.name[:100], tensor.shape[:8]
    sizes = [len(values)]
    while values and type(values[0]) is list:
        sizes.append(len(values[0]))
        if any(type(part) is not list for part in values):
            raise Refused(400, f"Input {name} mixes nested and flat data.")
        if any(len(part) != sizes[-1] for part in values):
            raise Refused(400, f"Input {name} has nested data of uneven lengths.")
        values = [value for part in values for value in part]
    if [size for size in sizes if size != 1] != [size for size in tensor.shape if size != 1]:
        raise Refused(400, f"Input {name} has data nested as {sizes[:8]}, which is not shape {shape}.")
    return values


def _without_nan(values: Any, spec: TensorSpec) -> Any:
    """Values that came as bytes; NaN is refused where null would be."""
    if not spec.nullable and spec.datatype in FLOATS and np.isnan(values).any():
        place = int(np.argmax(np.isnan(values)))
        raise Refused(400, f"Input {spec.name} takes no missing values; value {place} is NaN.")
    return values


def _without_nulls(values: list[Any], spec: TensorSpec) -> list[Any]:
    null, taken = spec.null, spec.python_types
    found = list(values)
    for index, value in enumerate(values):
        if type(value) in taken:
            continue
        if value is None and null is not None:
            found[index] = null
        elif type(value) is float and int in taken and value.is_integer() and abs(value) <= _EXACT:
            found[index] = int(value)  # as JSON has it, 5.0 is a whole number
        else:
            raise Refused(400, f"Input {spec.name} is {spec.datatype}; value {index} is {orjson_text(value)}.")
    return found


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
        raise _out_of_range(block) from None
    # The graph rounds to BF16 without a word.
    if block.specs[0].datatype == "BF16" and (np.abs(array[np.isfinite(array)]) >= _BF16_OVERFLOW).any():
        raise _out_of_range(block)
    if len(block.specs) > 1:
        return np.ascontiguousarray(array.T)
    return array.reshape(rows, *block.row_shape)


def _out_of_range(block: Block) -> Refused:
    names = ", ".join(spec.name for spec in block.specs)
    return Refused(400, f"A value of {names} is out of the range of {block.specs[0].datatype}.")


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
