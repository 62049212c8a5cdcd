"""What a worker writes to its spool: frames of one endpoint definition, one answered request, or one batch of outcomes.

A frame is `u32 length, u32 crc32, payload`, little-endian. A payload begins with its version and kind. A prediction's
payload holds the request body as received and the outputs as bytes, so that the hot path formats nothing; a definition,
written before its first use in each segment, says how to read them. Bodies are infer requests of the Open Inference
Protocol, whatever the client spoke; `wire.recorded_request` reads them, those with binary tensors too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec
import numpy as np
from msgspec import Struct

from bailiwick.core.errors import Corrupted
from bailiwick.endpoints.model import Endpoint
from bailiwick.pyfunc.params import ParamSpec
from bailiwick.serving.tensors import TensorSpec

VERSION = 1
DEFINITION, PREDICTION, OUTCOMES, WITHHELD, REFUSED = 1, 2, 3, 4, 5
"""A WITHHELD frame is a prediction whose inputs are not kept; its body holds the unit and the event time at most."""
MIXED = NO_FAILURE = 255
SHADOW, FALLBACK = "shadow", "fallback"

_FRAME = struct.Struct("<II")
_KIND = struct.Struct("<BB")
_PREDICTION = struct.Struct("<BBIqiHBBIBIIH")
_OUTCOMES = struct.Struct("<BBqH")
_REFUSED = struct.Struct("<BBqHIHH")

FRAME_BYTES = _FRAME.size


class Definition(Struct, frozen=True):
    """How to read the predictions that name `reference`. `params` are those of each variant, where any has some."""

    reference: int
    endpoint: Endpoint
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    role: str = ""  # SHADOW, FALLBACK, or none: what the split or the caller chose
    params: tuple[tuple[ParamSpec, ...], ...] = ()


class Prediction(Struct, frozen=True):
    """One request as answered: `variants` has one index byte a row, `failed` the variant that failed or NO_FAILURE.

    `outputs` has, for each output of the definition, its raw values (or the JSON list of its texts); none when it failed.
    """

    reference: int
    received: int
    latency_us: int
    status: int
    failed: int
    rows: int
    variants: bytes
    request_id: str
    body: bytes
    outputs: tuple[bytes, ...]
    error: str
    withheld: bool = False


class Refusal(Struct, frozen=True):
    """A request that an endpoint did not take, with the status it got and how many bytes its body had."""

    endpoint: str
    received: int
    status: int
    body_bytes: int
    request_id: str
    error: str


class Outcomes(Struct, frozen=True):
    """One batch of outcomes as received for an endpoint."""

    endpoint: str
    received: int
    body: bytes


def frame(payload: bytes) -> bytes:
    """The payload with its length and checksum."""
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def prediction_payload(
    reference: int,
    *,
    received: int,
    latency_us: int,
    status: int,
    rows: int,
    variant: int,
    variants: bytes,
    request_id: bytes,
    body: bytes,
    outputs: bytes,
    failed: int = NO_FAILURE,
    error: bytes = b"",
    withheld: bool = False,
) -> bytes:
    """`variant` is MIXED when `variants` has one index a row; `outputs` are `output_bytes` joined in order."""
    head = _PREDICTION.pack(
        VERSION,
        WITHHELD if withheld else PREDICTION,
        reference,
        received,
        latency_us,
        status,
        variant,
        failed,
        rows,
        len(request_id),
        len(body),
        len(outputs),
        len(error),
    )
    return b"".join((head, request_id, body, variants, outputs, error))


def definition_payload(definition: Definition) -> bytes:
    """Kind and JSON."""
    return _KIND.pack(VERSION, DEFINITION) + msgspec.json.encode(definition)


def outcomes_payload(outcomes: Outcomes) -> bytes:
    """Kind, time, endpoint and the body as received."""
    name = outcomes.endpoint.encode()
    return _OUTCOMES.pack(VERSION, OUTCOMES, outcomes.received, len(name)) + name + outcomes.body


def refusal_payload(refusal: Refusal) -> bytes:
    """Kind, numbers, then endpoint, id and error as texts."""
    name, request_id = refusal.endpoint.encode(), refusal.request_id.encode()
    head = _REFUSED.pack(
        VERSION,
        REFUSED,
        refusal.received,
        refusal.status,
        min(refusal.body_bytes, (1 << 32) - 1),
        len(name),
        len(request_id),
    )
    return b"".join((head, name, request_id, refusal.error.encode("utf-8", "replace")))


def output_bytes(values: np.ndarray) -> bytes:
    """Raw little-endian values; texts as a length-prefixed JSON list."""
    if values.dtype != object:
        return values.tobytes()
    encoded = msgspec.json.encode([str(value) for value in values.ravel()])
    return struct.pack("<I", len(encoded)) + encoded


def first_frame_bytes(data: bytes) -> int:
    """Bytes that the first frame of `data` takes, or FRAME_BYTES when even its head is not whole."""
    return FRAME_BYTES + _FRAME.unpack_from(data)[0] if len(data) >= FRAME_BYTES else FRAME_BYTES


def read_frames(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """(end offset, payload) of each whole frame; stops at the first that is torn or does not match its checksum."""
    view, start = memoryview(data), 0
    while start + FRAME_BYTES <= len(data):
        length, checksum = _FRAME.unpack_from(data, start)
        end = start + FRAME_BYTES + length
        payload = view[start + FRAME_BYTES : end]
        # A length of zero is what blocks that were never written read as.
        if length < _KIND.size or end > len(data) or zlib.crc32(payload) != checksum:
            return
        yield end, payload
        start = end


_definition = msgspec.json.Decoder(Definition)


def read_payload(
    payload: memoryview, definitions: dict[int, Definition]
) -> Definition | Prediction | Outcomes | Refusal:
    """Decode one payload; definitions met are remembered in `definitions`. Raises Corrupted."""
    version, kind = _KIND.unpack_from(payload)
    if version != VERSION:
        raise Corrupted(f"A spool frame has version {version}; this program reads {VERSION}.")
    if kind == DEFINITION:
        definition = _definition.decode(payload[_KIND.size :])
        definitions[definition.reference] = definition
        return definition
    if kind == OUTCOMES:
        _, _, received, length = _OUTCOMES.unpack_from(payload)
        rest = bytes(payload[_OUTCOMES.size :])
        return Outcomes(rest[:length].decode(), received, rest[length:])
    if kind in {PREDICTION, WITHHELD}:
        return _prediction(payload, definitions)
    if kind == REFUSED:
        return _refusal(payload)
    raise Corrupted(f"A spool frame has unknown kind {kind}.")


def _refusal(payload: memoryview) -> Refusal:
    _, _, received, status, body_bytes, name, request_id = _REFUSED.unpack_from(payload)
    rest = bytes(payload[_REFUSED.size :])
    error = rest[name + request_id :].decode(errors="replace")
    return Refusal(rest[:name].decode(), received, status, body_bytes, rest[name : name + request_id].decode(), error)


def _prediction(payload: memoryview, definitions: dict[int, Definition]) -> Prediction:
    _, kind, reference, received, latency, status, variant, failed, rows, *lengths = _PREDICTION.unpack_from(payload)
    definition = definitions.get(reference)
    if definition is None:
        raise Corrupted(f"A spool frame names definition {reference}, which was not written before it.")
    id_length, body_length, outputs_length, error_length = lengths
    rest = bytes(payload[_PREDICTION.size :])
    body = id_length + body_length
    variants = body + (rows if variant == MIXED else 0)
    outputs = variants + outputs_length
    return Prediction(
        reference,
        received,
        latency,
        status,
        failed,
        rows,
        rest[body:variants] if variant == MIXED else bytes((variant,)) * rows,
        rest[:id_length].decode(),
        rest[id_length:body],
        _outputs(rest[variants:outputs], definition.outputs, rows) if outputs_length else (),
        rest[outputs : outputs + error_length].decode(errors="replace"),
        kind == WITHHELD,
    )


def _outputs(data: bytes, specs: tuple[TensorSpec, ...], rows: int) -> tuple[bytes, ...]:
    if len(specs) == 1 and specs[0].datatype != "BYTES":
        return (data,)
    read, start = [], 0
    for spec in specs:
        if spec.datatype == "BYTES":
            (length,) = struct.unpack_from("<I", data, start)
            start += 4
        else:
            length = rows * spec.width * np.dtype(spec.dtype).itemsize
        read.append(data[start : start + length])
        start += length
    return tuple(read)
