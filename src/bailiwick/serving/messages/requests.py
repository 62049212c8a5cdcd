"""ModelInferRequest from its bytes to the tensors that a binder takes, without protobuf where that is several times faster.

A client sends the same names, datatypes and shapes with each request, so what is in front of a tensor's values is read
once and known by its bytes after that. A message that is not laid out as every known client lays it out is read by
protobuf, with the same result.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from math import isnan, prod
from typing import Any, cast

import numpy as np
from google.protobuf.message import DecodeError
from msgspec import Struct

from bailiwick.serving.messages.classes import message
from bailiwick.serving.protocol import InferRequest, Refused, RequestedOutput, RequestTensor
from bailiwick.serving.wire import read_tensor

MESSAGE_MARK = b"\0\2"
"""In front of a message on record: no JSON begins so, nor anything that `wire` writes."""

_MOST_HEADS = 4096
_LONGEST_HEAD = 512

_NAME, _VERSION, _ID, _PARAMETERS, _INPUT, _OUTPUT, _RAW = 0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x32, 0x3A
_CONTENTS = 0x2A

_CONTENTS_OF = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_PACKED_FP32, _PACKED_FP64, _ONE_TEXT = 0x32, 0x3A, 0x42
_ONE_NUMBER: dict[str, Callable[[bytes], tuple[Any, ...]]] = {
    datatype: struct.Struct(f"<{letter}").unpack
    for datatype, letter in (
        ("INT8", "b"),
        ("INT16", "h"),
        ("INT32", "i"),
        ("INT64", "q"),
        ("UINT8", "B"),
        ("UINT16", "H"),
        ("UINT32", "I"),
        ("UINT64", "Q"),
        ("FP32", "f"),
        ("FP64", "d"),
    )
}
_SIZES = {datatype: struct.calcsize(f"<{letter}") for datatype, letter in zip(_ONE_NUMBER, "bhiqBHIQfd", strict=True)}
_TYPED_TAGS = {"FP32": _PACKED_FP32, "FP64": _PACKED_FP64, "BYTES": _ONE_TEXT}
_float_at, _double_at = struct.Struct("<f").unpack_from, struct.Struct("<d").unpack_from
_TEXT_LENGTH = struct.Struct("<I").unpack_from


class Head(Struct, frozen=True, gc=False):
    """What is in front of a tensor's values."""

    name: str
    datatype: str
    shape: list[int]
    count: int
    one: Callable[[bytes], tuple[Any, ...]] | None  # reads the value, where there is one number
    size: int
    typed: int | None  # the first byte of typed contents that are one value of a datatype which is quickly read


class InferMessage(Struct, gc=False):
    """A request with its address. `typed` when the client wants outputs as typed contents instead of raw bytes."""

    model: str
    version: str
    request: InferRequest
    typed: bool = False


class _Parts(Struct, gc=False):
    """The fields of a message, each tensor as its bytes in front of the values and those of its contents."""

    model: bytes
    version: bytes
    id: bytes
    tensors: list[tuple[Head, bytes | None]]
    raws: list[memoryview | bytes]
    more: bool  # parameters or requested outputs


_heads: dict[bytes, Head] = {}


def read_infer(data: bytes) -> InferMessage:
    """Raises Refused (400) for what is not a request, and for contents that are not what datatype and shape say."""
    parts = _split(data)
    if parts is None:
        return _read_slowly(data)
    try:
        model, version, given = parts.model.decode(), parts.version.decode(), parts.id.decode()
    except UnicodeDecodeError as error:
        raise Refused(400, f"The message is not a ModelInferRequest: {error}.") from None
    inputs = _tensors(parts.tensors, parts.raws)
    found = InferMessage(model, version, InferRequest(inputs, given or None))
    if parts.more:
        _add_wishes(found, _parsed(data))
    return found


def _read_slowly(data: bytes) -> InferMessage:
    parsed = _parsed(data)
    tensors = [(_head(sent.name, sent.datatype, list(sent.shape)), sent.contents or None) for sent in parsed.inputs]
    inputs = _tensors(tensors, list(parsed.raw_input_contents))
    found = InferMessage(parsed.model_name, parsed.model_version, InferRequest(inputs, parsed.id or None))
    _add_wishes(found, parsed)
    return found


def _parsed(data: bytes) -> Any:
    try:
        return message("bailiwick.wire.ModelInferRequest").FromString(data)
    except DecodeError as error:
        raise Refused(400, f"The message is not a ModelInferRequest: {error}.") from None


def _add_wishes(found: InferMessage, parsed: Any) -> None:
    found.request.parameters = {
        name: getattr(value, chosen)
        for name, value in parsed.parameters.items()
        if (chosen := value.WhichOneof("parameter_choice"))
    } or None
    found.request.outputs = [
        RequestedOutput(wanted.name, dict.fromkeys(wanted.parameters) or None) for wanted in parsed.outputs
    ] or None
    wished = [parsed.parameters["binary_data_output"]] if "binary_data_output" in parsed.parameters else []
    wished += [wanted.parameters["binary_data"] for wanted in parsed.outputs if "binary_data" in wanted.parameters]
    found.typed = any(
        choice.WhichOneof("parameter_choice") == "bool_param" and not choice.bool_param for choice in wished
    )


# -- the layout that clients use ---------------------------------------------------------------------------------------


def _split(data: bytes) -> _Parts | None:  # noqa: C901, PLR0912 - calls would be most of its time
    """None for anything unusual, which protobuf then reads or refuses."""
    parts = _Parts(b"", b"", b"", [], [], False)
    heads, tensors, raws = _heads, parts.tensors, parts.raws
    position, size = 0, len(data)
    view: memoryview | None = None
    try:
        while position < size:
            tag, length = data[position], data[position + 1]
            position += 2
            if length >= 0x80:
                length, position = _varint(data, position - 1)
            end = position + length
            if end > size:
                return None
            if tag == _RAW:
                if length > _LONGEST_HEAD:
                    view = memoryview(data) if view is None else view
                    raws.append(view[position:end])
                else:
                    raws.append(data[position:end])
            elif tag == _INPUT:
                part = data[position:end]
                head = heads.get(part)
                if head is not None:
                    tensors.append((head, None))
                else:
                    tensor = _tensor(part)
                    if tensor is None:
                        return None
                    tensors.append(tensor)
            elif tag == _NAME:
                parts.model = data[position:end]
            elif tag == _VERSION:
                parts.version = data[position:end]
            elif tag == _ID:
                parts.id = data[position:end]
            elif tag in {_PARAMETERS, _OUTPUT}:
                parts.more = True
            else:
                return None
            position = end
    except IndexError:
        return None
    return parts


def _tensor(part: bytes) -> tuple[Head, bytes | None] | None:
    """Head and contents of a tensor whose contents come last."""
    position, size = 0, len(part)
    while position < size:
        tag, length, start = part[position], part[position + 1], position
        position += 2
        if length >= 0x80:
            length, position = _varint(part, position - 1)
        if tag == _CONTENTS:
            if position + length != size:
                return None
            head = _heads.get(part[:start]) or _known_head(part[:start])
            return None if head is None else (head, part[position:])
        if tag & 7 != 2:
            return None
        position += length
    head = _known_head(part)
    return None if head is None or position != size else (head, None)


def _known_head(part: bytes) -> Head | None:
    head = _heads.get(part)
    if head is None:
        try:
            sent = message("bailiwick.wire.ModelInferRequest").InferInputTensor.FromString(part)
        except DecodeError:
            return None
        head = _head(sent.name, sent.datatype, list(sent.shape))
        if len(part) <= _LONGEST_HEAD:
            if len(_heads) >= _MOST_HEADS:
                _heads.clear()
            _heads[part] = head
    return head


def _head(name: str, datatype: str, shape: list[int]) -> Head:
    count = prod(shape) if all(size >= 0 for size in shape) else -1
    one = _ONE_NUMBER.get(datatype) if count == 1 else None
    typed = _TYPED_TAGS.get(datatype) if count == 1 else None
    return Head(name, datatype, shape, count, one, _SIZES.get(datatype, 0), typed)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Raises IndexError where it is cut short or longer than a length can be."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 35:
            raise IndexError


# -- values ------------------------------------------------------------------------------------------------------------


def _tensors(tensors: Sequence[tuple[Head, bytes | None]], raws: Sequence[memoryview | bytes]) -> list[RequestTensor]:
    if not raws:
        return [
            RequestTensor(head.name, head.datatype, head.shape, _typed(head, contents)) for head, contents in tensors
        ]
    if len(raws) != len(tensors):
        raise Refused(400, f"There are {len(raws)} raw_input_contents for {len(tensors)} inputs.")
    inputs = []
    for (head, contents), raw in zip(tensors, raws, strict=True):
        if contents:
            raise Refused(400, f"Input {head.name[:100]} has contents where others have raw_input_contents.")
        inputs.append(RequestTensor(head.name, head.datatype, head.shape, _raw(head, raw)))
    return inputs


def _raw(head: Head, raw: memoryview | bytes) -> list[Any]:
    """One value as a list, which binds fastest; more as an array that lies in the message itself."""
    one = head.one
    if one is not None and len(raw) == head.size:
        value = one(cast("bytes", raw))[0]
        if not isnan(value):  # NaN may have to be refused, which is done for arrays
            return [value]
    elif (
        head.datatype == "BYTES"
        and head.count == 1
        and type(raw) is bytes
        and len(raw) >= 4
        and _TEXT_LENGTH(raw)[0] == len(raw) - 4
    ):
        return [_text(head, 0, raw[4:])]
    return cast("list[Any]", read_tensor(raw, head.datatype, head.shape, name=head.name))


def _typed(head: Head, contents: bytes | None) -> list[Any]:
    """Values in the field that belongs to the datatype; what is there and how many is checked when they are bound."""
    if contents and head.typed == contents[0]:
        value = _one_typed(head, contents)
        if value is not None:
            return value
    field = _CONTENTS_OF.get(head.datatype)
    if field is None:
        raise Refused(
            400,
            f"Input {head.name[:100]} has datatype {head.datatype[:20]!r}, which has no typed contents: "
            "send raw_input_contents.",
        )
    if not contents:
        return []
    if contents[0] == _PACKED_FP32 and field == "fp32_contents":
        packed = _packed(contents)
        if packed is not None and not len(packed) % 4:
            return _listed(np.frombuffer(packed, "<f4"))
    elif contents[0] == _PACKED_FP64 and field == "fp64_contents":
        packed = _packed(contents)
        if packed is not None and not len(packed) % 8:
            return _listed(np.frombuffer(packed, "<f8"))
    return _unpacked(head, field, contents)


def _one_typed(head: Head, contents: bytes) -> list[Any] | None:
    """One value, in the few bytes that it takes; None when that is not all there is."""
    if len(contents) < 2 or contents[1] != len(contents) - 2:
        return None
    if contents[0] == _ONE_TEXT:
        return [_text(head, 0, contents[2:])]
    if len(contents) != 2 + head.size:
        return None
    (value,) = _float_at(contents, 2) if contents[0] == _PACKED_FP32 else _double_at(contents, 2)
    return None if isnan(value) else [value]


def _packed(contents: bytes) -> bytes | None:
    """The only field of the contents, None when there are more."""
    try:
        length, position = _varint(contents, 1)
    except IndexError:
        return None
    return contents[position:] if position + length == len(contents) else None


def _listed(values: np.ndarray) -> list[Any]:
    if len(values) == 1:
        value = values.item()
        if not isnan(value):
            return [value]
    return cast("list[Any]", values)


def _unpacked(head: Head, field: str, contents: bytes) -> list[Any]:
    try:
        parsed = message("inference.InferTensorContents").FromString(contents)
    except DecodeError as error:
        raise Refused(400, f"The contents of input {head.name[:100]} cannot be read: {error}.") from None
    for other, _ in parsed.ListFields():
        if other.name != field:
            raise Refused(
                400, f"Input {head.name[:100]} is {head.datatype}: its values belong into {field}, not {other.name}."
            )
    values = list(getattr(parsed, field))
    if field == "bytes_contents":
        return list(_texts(head, values))
    if field.startswith("fp"):
        return _listed(np.array(values, "<f4" if field == "fp32_contents" else "<f8"))
    return values


def _texts(head: Head, values: Sequence[bytes]) -> Iterator[str]:
    for index, value in enumerate(values):
        yield _text(head, index, value)


def _text(head: Head, index: int, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refused(400, f"Input {head.name[:100]}: element {index} is not text in UTF-8.") from None
