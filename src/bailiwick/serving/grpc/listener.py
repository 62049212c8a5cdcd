"""Everything that is answered over gRPC, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bailiwick.serving.gathering import Elsewhere
from bailiwick.serving.grpc.connection import Call, GrpcListener, Opened, Reader
from bailiwick.serving.grpc.health import CHECK, WATCH, Health
from bailiwick.serving.grpc.queue import Queue
from bailiwick.serving.grpc.reflection import VERSIONS, path_of, reflect
from bailiwick.serving.grpc.service import SERVICE, InferenceService, without_waiting
from bailiwick.serving.handler import InferenceHandler
from bailiwick.serving.metrics import Metrics


def grpc_listener(
    handler: InferenceHandler, metrics: Metrics, elsewhere: Elsewhere, *, max_body_bytes: int
) -> GrpcListener:
    """A listener with inference, health and reflection."""
    service = InferenceService(handler)
    health = Health(service)
    service.unary[CHECK] = without_waiting(health.check)
    streams: dict[str, Opened] = {
        f"/{SERVICE}/ModelStreamInfer": lambda call, elsewhere: Queue(
            call, partial(service.infer_on_stream, elsewhere=elsewhere)
        ),
        WATCH: lambda call, _: health.watch(call),
    }
    for version in VERSIONS:
        streams[path_of(version)] = _reflecting(version)
    return GrpcListener(service, metrics, elsewhere, health.tick, max_body_bytes=max_body_bytes, streams=streams)


def _reflecting(version: str) -> Opened:
    made: list[Callable[[bytes], bytes]] = []

    def opened(call: Call, _: Elsewhere) -> Reader:
        if not made:
            made.append(reflect(version))  # hardly anyone asks
        return Queue(call, made[0])

    return opened
