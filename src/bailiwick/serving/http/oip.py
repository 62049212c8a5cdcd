"""Inference by the Open Inference Protocol v2, with tensors in JSON or as bytes behind it."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any, cast

import numpy as np
import orjson
from msgspec import Struct

from bailiwick.core.ids import new_id
from bailiwick.serving.binder import Batch
from bailiwick.serving.execution import Execution
from bailiwick.serving.frames import MIXED
from bailiwick.serving.http.form import JSON, Header, Reply, Taken
from bailiwick.serving.protocol import (
    InferRequest,
    Refused,
    RequestTensor,
    error_json,
    output_json,
    parse_infer,
    refuse_extensions,
    usable_id,
)
from bailiwick.serving.router import CompiledEndpoint
from bailiwick.serving.tensors import TensorSpec
from bailiwick.serving.wire import element_bytes, read_tensor, recorded, write_request, write_tensor

HEADER_LENGTH = b"inference-header-content-length"

_BYTES: Header = (b"content-type", b"application/octet-stream")
_MOST_DIGITS = 18


class Wanted(Struct, gc=False):
    """How an answer differs from the usual one: (place, as bytes) of each output, and the id to give back."""

    outputs: list[tuple[int, bool]]
    echo: str | None


class OpenInference:
    """The form of `/v2/models/<endpoint>/infer`."""

    def take(self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes, began: int) -> Taken:
        """Raises Refused (400) naming the input, output or length that does not fit."""
        stated = headers.get(HEADER_LENGTH)
        if stated is None:
            request = parse_infer(body)
            batch = compiled.binder.bind(request)
        else:
            request, batch, body = _with_bytes(compiled, stated, body)
        given = request.id
        if given is not None and usable_id(given):
            request_id, echo = given, None
        else:
            request_id, echo = new_id(), given or None
        usual = request.outputs is None and request.parameters is None and echo is None
        wanted = None if usual else _wanted(compiled, request, echo)
        return Taken(compiled, batch, wanted, request_id, body, began, perf_counter_ns(), self, request.parameters)

    def answer(self, taken: Taken, done: Execution) -> Reply | bytes:
        """JSON; or JSON and tensors behind it, where the client asked for bytes."""
        compiled, wanted = taken.compiled, cast("Wanted | None", taken.wanted)
        if wanted is None:
            if len(done.outputs) == 1:
                outputs = output_json(compiled.output_openings[0], done.outputs[0])
            else:
                outputs = b",".join(map(output_json, compiled.output_openings, done.outputs))
            return _framed(compiled, done, taken.request_id, outputs)
        written: list[bytes] = []
        tensors: list[bytes] = []
        for place, as_bytes in wanted.outputs:
            values = done.outputs[place]
            if as_bytes:
                tensors.append(write_tensor(values, compiled.outputs[place].datatype))
                written.append(_sized(compiled.output_openings[place], values, len(tensors[-1])))
            else:
                written.append(output_json(compiled.output_openings[place], values))
        outputs = b",".join(written)
        if wanted.echo is None:
            head = _framed(compiled, done, taken.request_id, outputs)
        else:
            head = _echoed(compiled, done, taken.request_id, wanted.echo, outputs)
        if not tensors:
            return head
        return Reply(b"".join((head, *tensors)), _BYTES, ((HEADER_LENGTH, b"%d" % len(head)),))

    def refusal(self, status: int, message: str) -> Reply:  # noqa: ARG002 - the same for every status
        """`{"error": message}`."""
        return Reply(error_json(message), JSON)


def _with_bytes(compiled: CompiledEndpoint, stated: bytes, body: bytes) -> tuple[InferRequest, Batch, bytes]:
    """(request, its rows, what goes on record)."""
    if not stated.isdigit() or len(stated) > _MOST_DIGITS or int(stated) > len(body):
        raise Refused(
            400,
            f"Inference-Header-Content-Length is {stated[:30].decode('latin-1')!r}; the body has {len(body)} bytes.",
        )
    json_bytes = int(stated)
    if json_bytes:
        return *compiled.heads.read(body, json_bytes), recorded(body, json_bytes)
    request = _raw(compiled, body)
    return request, compiled.binder.bind(request), write_request(request)


def _raw(compiled: CompiledEndpoint, body: bytes) -> InferRequest:
    """The rows of a model's one input, as many as the body has, and nothing else.

    BYTES are one row: the body as it is, without a length.
    """
    specs = compiled.binder.specs
    if len(specs) != 1:
        raise Refused(400, f"A raw request is for models with one input; {compiled.endpoint.name} has {len(specs)}.")
    spec = specs[0]
    if spec.datatype == "BYTES":
        if spec.width != 1:
            raise Refused(400, f"A raw request is one text; input {spec.name} has {spec.width} in each row.")
        body = len(body).to_bytes(4, "little") + body
    shape = [max(1, len(body) // ((element_bytes(spec.datatype) or len(body)) * spec.width)), *spec.tail]
    values: Any = read_tensor(body, spec.datatype, shape, name=spec.name)
    tensor = RequestTensor(spec.name, spec.datatype, shape, values)
    return InferRequest([tensor], parameters={"binary_data_output": True})


def _wanted(compiled: CompiledEndpoint, request: InferRequest, echo: str | None) -> Wanted:
    as_bytes = _flag(request.parameters, "binary_data_output", default=False)
    if not request.outputs:
        return Wanted([(place, as_bytes) for place in range(len(compiled.outputs))], echo)
    places = {spec.name: place for place, spec in enumerate(compiled.outputs)}
    chosen: dict[int, bool] = {}
    for output in request.outputs:
        place = places.get(output.name)
        if place is None:
            raise Refused(400, f"Output {output.name[:100]!r} is not known; the outputs are: {', '.join(places)}.")
        if place in chosen:
            raise Refused(400, f"Output {output.name[:100]!r} is asked for twice.")
        refuse_extensions(output)
        chosen[place] = _flag(output.parameters, "binary_data", default=as_bytes)
    return Wanted(list(chosen.items()), echo)


def _flag(parameters: Mapping[str, Any] | None, name: str, *, default: bool) -> bool:
    value = default if parameters is None else parameters.get(name, default)
    if not isinstance(value, bool):
        raise Refused(400, f"Parameter {name} is true or false.")
    return value


def _framed(compiled: CompiledEndpoint, done: Execution, request_id: str, outputs: bytes) -> bytes:
    if done.variant == MIXED:
        return b"".join((compiled.mixed_opening, request_id.encode(), b'","outputs":[', outputs, b"]}"))
    arm = compiled.arms[done.variant]
    return b"".join((arm.opening, request_id.encode(), arm.parameters, outputs, b"]}"))


def _echoed(compiled: CompiledEndpoint, done: Execution, request_id: str, echo: str, outputs: bytes) -> bytes:
    """An id that cannot name predictions is given back all the same; what names them is a parameter."""
    said: dict[str, Any] = {"model_name": compiled.endpoint.name}
    parameters: dict[str, Any] = {"prediction_id": request_id}
    if done.variant != MIXED:
        variant = compiled.arms[done.variant].variant
        said["model_version"] = str(variant.version)
        parameters = {"variant": variant.name, **parameters}
    said |= {"id": echo.encode("utf-8", "replace").decode(), "parameters": parameters}
    return b"".join((orjson.dumps(said)[:-1], b',"outputs":[', outputs, b"]}"))


def _sized(opening: bytes, values: np.ndarray, size: int) -> bytes:
    shape = ",".join(map(str, values.shape)).encode()
    return b"".join((opening, shape, b'],"parameters":{"binary_data_size":%d}}' % size))


def tensor_metadata(spec: TensorSpec) -> dict[str, object]:
    """A tensor in model metadata."""
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


OPEN_INFERENCE = OpenInference()
