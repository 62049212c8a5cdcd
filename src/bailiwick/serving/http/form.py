"""What a protocol is to the handler: it reads a request, writes the answer, and words a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import Struct, structs

from bailiwick.serving.binder import Batch
from bailiwick.serving.execution import Execution
from bailiwick.serving.router import CompiledEndpoint, Handling

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")


class Reply(NamedTuple):
    """A body, its type, and headers that only this one has."""

    body: bytes
    kind: Header = JSON
    more: tuple[Header, ...] = ()


class Taken(Struct, gc=False):
    """A request that was read, checked and bound: ready to be run.

    `body` is an infer request as it goes on record (`wire.recorded_request` reads it), `wanted` what the form keeps for
    its answer, `began` when the request had arrived and `bound` when it was ready, in `perf_counter_ns`. `parameters` are
    those of the request, where its form has them; `place` is that among requests that came together; `deadline` is in
    `perf_counter_ns`, 0 for none. `attempts` are runs of others that failed before; `handling` is that of the endpoint as
    routed.
    """

    compiled: CompiledEndpoint
    batch: Batch
    wanted: Any
    request_id: str
    body: bytes
    began: int
    bound: int
    form: Form
    parameters: Mapping[str, Any] | None = None
    place: int = 0
    priority: int = 1
    deadline: int = 0
    attempts: list[tuple[CompiledEndpoint, Execution]] | None = None
    handling: Handling | None = None

    def for_another(self, compiled: CompiledEndpoint) -> Taken:
        """The same request, to be run by another."""
        return structs.replace(self, compiled=compiled, attempts=None, handling=None)


class Form(Protocol):
    """Stateless, so that one object serves every request; all it does is fast and waits for nothing."""

    def take(self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes, began: int) -> Taken:
        """Raises Refused for what cannot be answered, with a status of the protocol."""
        ...

    def answer(self, taken: Taken, done: Execution) -> Reply | bytes:
        """What the client gets; `done` has outputs. Bytes are JSON."""
        ...

    def refusal(self, status: int, message: str) -> Reply:
        """The body that goes with an error status."""
        ...
