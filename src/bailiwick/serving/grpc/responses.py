"""ModelInferResponse written by hand: what does not change with the request is encoded once for each version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bailiwick.serving.messages.classes import message
from bailiwick.serving.protocol import Refused
from bailiwick.serving.tensors import TensorSpec
from bailiwick.serving.wire import write_tensor

_NAME, _VERSION, _ID, _PARAMETERS, _OUTPUT, _RAW = 0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x32
_TENSOR_NAME, _TENSOR_DATATYPE, _TENSOR_SHAPE, _TENSOR_CONTENTS = 0x0A, 0x12, 0x1A, 0x2A
_KEY, _VALUE, _TEXT_VALUE, _TRUE = 0x0A, 0x12, 0x1A, b"\x08\x01"

_CONTENTS = {
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


def varint(value: int) -> bytes:
    """A number from 0 on."""
    digits = []
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def field(tag: int, data: bytes) -> bytes:
    """One length-delimited field."""
    return b"".join((bytes((tag,)), varint(len(data)), data))


def response_opening(model: str, version: str, variant: str) -> bytes:
    """Model, version and the parameter that names the variant; the last two may be empty."""
    parts = [field(_NAME, model.encode())]
    if version:
        parts.append(field(_VERSION, version.encode()))
    if variant:
        parts.append(text_parameter("variant", variant))
    return b"".join(parts)


def parameter(name: str, value: bytes) -> bytes:
    """One entry of the parameters; `value` is an InferParameter."""
    return field(_PARAMETERS, field(_KEY, name.encode()) + field(_VALUE, value))


def text_parameter(name: str, value: str) -> bytes:
    """One that is text."""
    return parameter(name, field(_TEXT_VALUE, value.encode("utf-8", "replace")))


FINAL = parameter("triton_final_response", _TRUE)
"""Says on a stream that nothing more follows for this request, as Triton does."""

FALLBACK_ANSWER = parameter("fallback", _TRUE)
"""Says that another answered than the variant that was meant to, as over HTTP."""


def output_head(spec: TensorSpec) -> bytes:
    """The front of one output, up to its shape."""
    return field(_TENSOR_NAME, spec.name.encode()) + field(_TENSOR_DATATYPE, spec.datatype.encode())


def response(
    opening: bytes,
    request_id: str,
    heads: Sequence[bytes],
    specs: Sequence[TensorSpec],
    outputs: Sequence[np.ndarray],
    *,
    typed: bool = False,
    more: bytes = b"",
) -> bytes:
    """The whole message. Raises Refused (400) when typed contents are wanted of a datatype that has none."""
    parts = [opening, field(_ID, request_id.encode()), more]
    raws = []
    for head, spec, values in zip(heads, specs, outputs, strict=True):
        tensor = head + field(_TENSOR_SHAPE, b"".join(map(varint, values.shape)))
        if typed:
            tensor += field(_TENSOR_CONTENTS, _contents(spec, values))
        else:
            raws.append(field(_RAW, write_tensor(values, spec.datatype)))
        parts.append(field(_OUTPUT, tensor))
    return b"".join((*parts, *raws))


def _contents(spec: TensorSpec, values: np.ndarray) -> bytes:
    name = _CONTENTS.get(spec.datatype)
    if name is None:
        raise Refused(400, f"Output {spec.name} is {spec.datatype}, which has no typed contents: ask for raw outputs.")
    flat: list[Any] = values.ravel().tolist()
    if spec.datatype == "BYTES":
        flat = [value if isinstance(value, bytes) else str(value).encode() for value in flat]
    made = message("inference.InferTensorContents")(**{name: flat})
    return bytes(made.SerializeToString())
