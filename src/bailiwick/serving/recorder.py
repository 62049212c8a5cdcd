"""Putting on record what was answered, as the endpoint's policy has it: whole, without what is withheld, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns

from bailiwick.core.errors import LimitExceeded, Unavailable
from bailiwick.core.ids import new_id
from bailiwick.serving.execution import Execution
from bailiwick.serving.frames import Definition, Refusal, output_bytes, prediction_payload, refusal_payload
from bailiwick.serving.http.form import Taken
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.protocol import Refused
from bailiwick.serving.router import CompiledEndpoint
from bailiwick.serving.spool import SpoolWriter
from bailiwick.serving.withholding import Kept

_ERROR_BYTES = 60_000
_LATENCY_LIMIT_US = (1 << 31) - 1

Finished = tuple[Taken, Execution, int]
"""A request, what became of it, and the microseconds that it took."""

Record = tuple[bytes, Definition]


class Recorder:
    """Belongs to the thread that answers, as the spool does."""

    def __init__(self, spool: SpoolWriter, metrics: Metrics) -> None:
        self._spool = spool
        self._metrics = metrics

    def require_room(self, compiled: CompiledEndpoint) -> None:
        """Raises Refused (503) where the prediction could not be kept and the policy is to keep every one."""
        if not self._spool.has_room() and _keeps_all(compiled):
            raise Refused(503, "Too many predictions wait to be recorded; none are answered until some are shipped.")

    def keep(self, taken: Taken, done: Execution, latency_us: int) -> None:
        """On disk when it returns. Raises LimitExceeded, Unavailable, unless the policy would rather lose the record."""
        kept = kept_of(taken)
        try:
            if taken.attempts is None:
                payload = _payload(taken.compiled, taken, done, latency_us, kept)
                self._spool.append(payload, taken.compiled.definition)
            else:
                self._spool.append_many(_records(taken, done, latency_us, kept))
        except (LimitExceeded, Unavailable):
            if _keeps_all(taken.compiled):
                raise
            self._count(taken, "dropped")
        else:
            self._count(taken, "withheld" if kept.withheld else "whole")

    def keep_together(self, finished: Sequence[Finished]) -> list[bool]:
        """The same for several, in one write; whether each may be answered."""
        kept = [kept_of(taken) for taken, _, _ in finished]
        records: list[Record] = []
        for (taken, done, latency), each in zip(finished, kept, strict=True):
            records += _records(taken, done, latency, each)
        try:
            self._spool.append_many(records)
        except (LimitExceeded, Unavailable):
            lost = [not _keeps_all(taken.compiled) for taken, _, _ in finished]
            for (taken, _, _), answered in zip(finished, lost, strict=True):
                if answered:
                    self._count(taken, "dropped")
            return lost
        for (taken, _, _), each in zip(finished, kept, strict=True):
            self._count(taken, "withheld" if each.withheld else "whole")
        return [True] * len(finished)

    def keep_shadowed(self, shadowed: Sequence[Finished]) -> bool:
        """What shadows answered, where there is room that callers' predictions will not need."""
        if self._spool.half_full:
            return False
        try:
            self._spool.append_many(
                [
                    (_payload(taken.compiled, taken, done, took, kept_of(taken)), taken.compiled.definition)
                    for taken, done, took in shadowed
                ]
            )
        except (LimitExceeded, Unavailable):
            return False
        return True

    def keep_refusal(self, endpoint: str, status: int, message: str, body_bytes: int) -> None:
        """A refused request has no answer that could wait for its record, so a full spool only counts it."""
        said = message[: _ERROR_BYTES // 4]
        refusal = Refusal(endpoint, time_ns() // 1_000_000, status, body_bytes, new_id(), said)
        try:
            self._spool.append(refusal_payload(refusal))
        except (LimitExceeded, Unavailable):
            self._metrics.recorded[endpoint, "dropped"] += 1
        else:
            self._metrics.recorded[endpoint, "refused"] += 1

    def _count(self, taken: Taken, kept: str) -> None:
        self._metrics.recorded[taken.compiled.endpoint.name, kept] += taken.batch.rows


def _keeps_all(compiled: CompiledEndpoint) -> bool:
    return compiled.endpoint.recording.when_full == "refuse"


def kept_of(taken: Taken) -> Kept:
    """What of a request goes on record. Any thread may ask."""
    if taken.kept is not None:
        return taken.kept
    withholding = taken.compiled.withholding
    if withholding is None:
        return Kept(taken.body, withheld=False)
    return withholding.keep(taken.body, taken.request_id)


def _records(taken: Taken, done: Execution, latency_us: int, kept: Kept) -> list[Record]:
    """What is kept of a request: each attempt that failed, then the answer."""
    runs = [*(taken.attempts or ()), (taken.compiled, done)]
    return [(_payload(compiled, taken, each, latency_us, kept), compiled.definition) for compiled, each in runs]


def _payload(compiled: CompiledEndpoint, taken: Taken, done: Execution, latency_us: int, kept: Kept) -> bytes:
    outputs = done.outputs
    return prediction_payload(
        compiled.definition.reference,
        received=time_ns() // 1_000_000,
        latency_us=min(latency_us, _LATENCY_LIMIT_US),
        status=done.status if done.error else 200,
        rows=taken.batch.rows,
        variant=done.variant,
        variants=done.variants,
        request_id=taken.request_id.encode(),
        body=kept.body,
        outputs=output_bytes(outputs[0]) if len(outputs) == 1 else b"".join(map(output_bytes, outputs)),
        failed=done.failed,
        error=(done.error or done.why).encode()[:_ERROR_BYTES],
        withheld=kept.withheld,
    )
