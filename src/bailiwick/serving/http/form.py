"""What a protocol is to the handler: it reads a request, writes the answer, and words a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import Struct, structs

from bailiwick.core.errors import LimitExceeded, Unavailable
from bailiwick.serving.binder import Batch
from bailiwick.serving.execution import Execution
from bailiwick.serving.protocol import Refused
from bailiwick.serving.router import MOST_INLINE_BYTES, CompiledEndpoint, Handling
from bailiwick.serving.withholding import Kept

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
    routed. `waited_before` and `waited_after` it was bound is what it stood in line, in nanoseconds.
    `kept` is what goes on record, where that was prepared.
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
    waited_before: int = 0
    waited_after: int = 0
    kept: Kept | None = None

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


class Asked(NamedTuple):
    """An inference request that has arrived: what answers it, and when it was there, in `perf_counter_ns`."""

    compiled: CompiledEndpoint
    headers: Mapping[bytes, bytes]
    body: bytes
    began: int
    form: Form

    @property
    def big(self) -> bool:
        """Whether reading or running it may take long enough for others to notice."""
        headers = self.headers  # written out, because every request is asked
        return (
            len(self.body) > self.compiled.inline_bytes
            or b"content-encoding" in headers
            or (b"content-type" in headers and b"parquet" in headers[b"content-type"])
        )

    @property
    def weight(self) -> float:
        """How much of what may be answered in the event loop it is, by its size; the least that is known before it is read."""
        return len(self.body) / max(self.compiled.inline_bytes, 1)

    @property
    def bulky(self) -> bool:
        """Whether reading it may. What is compressed may be of any size."""
        headers = self.headers
        return (
            len(self.body) > MOST_INLINE_BYTES
            or b"content-encoding" in headers
            or b"parquet" in headers.get(b"content-type", b"")
        )


Failure = Refused | LimitExceeded | Unavailable
"""Why a request is not answered, in words for its client. Whoever speaks its protocol counts it and words it."""

FORESEEN = (Refused, LimitExceeded, Unavailable)

Outcome = Reply | bytes | Failure
"""What a request comes to. A prediction is on record by then."""
