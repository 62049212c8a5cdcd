"""Inference by messages: how a request is bound, and how its answer is written."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from typing import cast

from msgspec import Struct

from bailiwick.core.ids import new_id
from bailiwick.serving.execution import Execution
from bailiwick.serving.frames import FALLBACK, MIXED
from bailiwick.serving.grpc.responses import FALLBACK_ANSWER, output_head, response, response_opening, text_parameter
from bailiwick.serving.http.form import Reply, Taken
from bailiwick.serving.messages.requests import MESSAGE_MARK, InferMessage
from bailiwick.serving.protocol import Refused, refuse_extensions, usable_id
from bailiwick.serving.router import CompiledEndpoint

_MOST_WRITTEN = 1024


class Wanted(Struct, gc=False):
    """How an answer differs from the usual one: places of its outputs, the id to give back, and fields to add."""

    places: list[int] | None
    typed: bool
    echo: str
    more: bytes


class _Written:
    """What is the same in every answer of one compiled endpoint."""

    def __init__(self, compiled: CompiledEndpoint) -> None:
        name = compiled.endpoint.name
        told = FALLBACK_ANSWER if compiled.definition.role == FALLBACK else b""
        self.openings = [
            response_opening(name, str(arm.variant.version), arm.variant.name) + told for arm in compiled.arms
        ]
        self.mixed = response_opening(name, "", "")
        self.heads = [output_head(spec) for spec in compiled.outputs]


_written: dict[int, _Written] = {}
"""By definition, from which it follows."""


class Message:
    """The form of one message, which had to be read to know whom it is for. `more` is added to its answer."""

    __slots__ = ("_more", "_sent")

    def __init__(self, sent: InferMessage, more: bytes = b"") -> None:
        self._sent = sent
        self._more = more

    def take(self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes, began: int) -> Taken:  # noqa: ARG002 - the form's
        """`body` is the message that was read. Raises Refused (400)."""
        sent, more = self._sent, self._more
        request = sent.request
        batch = compiled.binder.bind(request)
        given = request.id
        if given is None:
            request_id, echo = new_id(), ""
        else:
            request_id, echo = (given, "") if usable_id(given) else (new_id(), given)
        wanted = None
        if request.outputs is not None or sent.typed or echo or more:
            wanted = Wanted(_places(compiled, sent), sent.typed, echo, more)
        return Taken(
            compiled, batch, wanted, request_id, MESSAGE_MARK + body, began, perf_counter_ns(), self, request.parameters
        )

    def answer(self, taken: Taken, done: Execution) -> bytes:
        """A ModelInferResponse."""
        compiled, wanted = taken.compiled, cast("Wanted | None", taken.wanted)
        written = _written_of(compiled)
        opening = written.mixed if done.variant == MIXED else written.openings[done.variant]
        heads, specs, outputs = written.heads, compiled.outputs, done.outputs
        if wanted is None:
            return response(opening, taken.request_id, heads, specs, outputs)
        if wanted.places is not None:
            heads, outputs = [heads[place] for place in wanted.places], [outputs[place] for place in wanted.places]
            specs = tuple(specs[place] for place in wanted.places)
        if wanted.echo:
            opening += text_parameter("prediction_id", taken.request_id)
        shown = wanted.echo or taken.request_id
        return response(opening, shown, heads, specs, outputs, typed=wanted.typed, more=wanted.more)

    def refusal(self, status: int, message: str) -> Reply:
        """Not used: a refused call ends with a status and has no message."""
        raise RuntimeError(f"{status}: {message}")


def _written_of(compiled: CompiledEndpoint) -> _Written:
    reference = compiled.definition.reference
    written = _written.get(reference)
    if written is None:
        if len(_written) >= _MOST_WRITTEN:  # of routes that are long gone
            _written.clear()
        written = _written[reference] = _Written(compiled)
    return written


def _places(compiled: CompiledEndpoint, sent: InferMessage) -> list[int] | None:
    if sent.request.outputs is None:
        return None
    known = {spec.name: place for place, spec in enumerate(compiled.outputs)}
    places: list[int] = []
    for output in sent.request.outputs:
        place = known.get(output.name)
        if place is None:
            raise Refused(400, f"Output {output.name[:100]!r} is not known; the outputs are: {', '.join(known)}.")
        if place in places:
            raise Refused(400, f"Output {output.name[:100]!r} is asked for twice.")
        refuse_extensions(output)
        places.append(place)
    return places
