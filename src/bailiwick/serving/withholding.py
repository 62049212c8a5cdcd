"""What of a request is not written to the spool, by the endpoint's policy: compiled once for each change of routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from bailiwick.endpoints.model import Endpoint
from bailiwick.endpoints.recording import WHOLE
from bailiwick.serving.matrix import columns_of
from bailiwick.serving.protocol import InferRequest
from bailiwick.serving.recorded import read_recorded
from bailiwick.serving.tensors import TensorSpec
from bailiwick.serving.wire import write_request


class Kept(NamedTuple):
    """The body that goes on record, and whether the inputs were withheld from it by the share."""

    body: bytes
    withheld: bool


@dataclass(frozen=True, slots=True)
class Withholding:
    """A policy that keeps less than everything. The unit and the event time are kept for the log, which may hash the unit."""

    endpoint: Endpoint
    inputs: tuple[TensorSpec, ...]
    context: frozenset[str]
    params: frozenset[str] = frozenset()

    def keep(self, body: bytes, request_id: str) -> Kept:
        """What is recorded of a request as it would go on record (see `wire`). The same id is in or out of the share
        wherever it is answered.
        """
        policy = self.endpoint.recording
        withheld = policy.share < WHOLE and crc32(request_id.encode()) % WHOLE >= policy.share
        request = read_recorded(body)
        sent = columns_of(request.inputs, self.inputs)
        kept = [
            tensor
            for tensor in sent
            if tensor.name in self.context or not (withheld or policy.treatment(tensor.name) == "omit")
        ]
        given = {name: value for name, value in (request.parameters or {}).items() if name in self.params}
        told = {} if withheld else {name: each for name, each in given.items() if policy.treatment(name) != "omit"}
        if len(kept) == len(sent) and len(told) == len(given):
            return Kept(body, withheld)
        return Kept(write_request(InferRequest(kept, parameters=told or None)), withheld)


def withholding_of(
    endpoint: Endpoint, inputs: tuple[TensorSpec, ...], params: frozenset[str] = frozenset()
) -> Withholding | None:
    """None where requests are kept as they are received, which costs nothing."""
    if not endpoint.recording.withholds:
        return None
    return Withholding(endpoint, inputs, frozenset({endpoint.key, endpoint.time} - {""}), params)
