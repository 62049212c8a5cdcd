"""One inference process, put together from settings: follower, handler, spool and server."""

from __future__ import annotations

import gc
import os
import socket
import sys
from threading import get_ident
from typing import Never

import uvloop

from bailiwick.core.settings import Settings
from bailiwick.serving.access_log import AccessLog
from bailiwick.serving.balance import Balance
from bailiwick.serving.connection import Listener
from bailiwick.serving.control import ControlClient
from bailiwick.serving.figures import Figures
from bailiwick.serving.follower import ModelBound, RouteCache, RouteFollower
from bailiwick.serving.forwarder import Forwarder
from bailiwick.serving.grpc.listener import grpc_listener
from bailiwick.serving.handler import InferenceHandler
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.overtime import GRACE_SECONDS, no_longer_needed, when_stuck
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.quotas import Quotas
from bailiwick.serving.reporter import Reporter
from bailiwick.serving.runtimes.opening import opener
from bailiwick.serving.server import Door, bind, serve
from bailiwick.serving.shelf import Shelf
from bailiwick.serving.spool import SpoolWriter
from bailiwick.serving.witness import Witness, Witnesses

SWITCH_SECONDS = 0.001
"""How long a thread that computes in Python keeps the event loop from going on. Python's own 5 ms would be felt."""

STUCK = 75
"""The status that a worker ends with where a run cannot be ended: a temporary failure, as sysexits.h has it."""


def serve_worker(settings: Settings, worker: int) -> None:
    """Serve on `host`:`inference_port`, and over gRPC on `grpc_port`, until SIGTERM or SIGINT; drain, then return.

    Any number of workers share the ports.

    It serves what is cached on disk at once, whether or not the control plane can be reached. Raises Unavailable when
    the port or the spool cannot be had.
    """
    opened = bind(settings.host, settings.inference_port)
    grpc_opened = bind(settings.host, settings.grpc_inference_port) if settings.grpc_inference_port else None
    spool = SpoolWriter(settings.spool_root, limit_bytes=settings.spool_bytes)
    metrics = Metrics(worker, lambda: _gauges(handler, follower, spool))
    witnesses = Witnesses(_witnesses(settings, worker))
    quotas = Quotas(settings.route_cache / "workers")
    handler = InferenceHandler(spool, metrics, witnesses or None, max_body_bytes=settings.max_body_bytes, quotas=quotas)
    handler.server_name = settings.server_name
    control = ControlClient(settings.control_address, settings.token, workspace=settings.workspace)
    models = PythonModels.of(settings)
    shelf = Shelf(settings.route_cache) if settings.repository_control else None
    bound = ModelBound(settings.serve_model_bytes, float(settings.serve_load_seconds))
    cache = RouteCache(settings.route_cache)
    follower = RouteFollower(control, cache, handler, metrics, opener(models), shelf=shelf, bound=bound)
    handler.repository = follower
    figures = Figures(settings.route_cache / "workers", settings.inference_port, worker, metrics.exposition)
    handler.figures = figures.of_all
    reporter = Reporter(control, handler, metrics, worker)
    forwarder = Forwarder(settings.spool_root, control) if settings.control_url else None
    when_stuck(get_ident(), lambda: _give_up(settings))
    follower.start()
    reporter.start()
    figures.start()
    if forwarder is not None:
        forwarder.start()
    _quieten_collector()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        uvloop.run(_serve(settings, handler, metrics, opened, grpc_opened))
    finally:
        no_longer_needed(get_ident())
        figures.close()
        reporter.stop()
        handler.close()
        follower.stop()
        spool.close()
        quotas.close()
        if forwarder is not None:
            forwarder.stop()
        witnesses.close()


def _give_up(settings: Settings) -> Never:
    """End at once, so that another worker is started: what it has is not answered any more, and what was is on disk."""
    sys.stderr.write(
        f"error: One operator of an ONNX graph has held this worker for {GRACE_SECONDS:g} seconds more than models_seconds "
        f"({settings.models_seconds}), and cannot be ended; the worker ends, to be started again. The requests that it had "
        "are lost.\n"
    )
    sys.stderr.flush()
    os._exit(STUCK)


def _witnesses(settings: Settings, worker: int) -> list[Witness]:
    found: list[Witness] = []
    if settings.access_log:
        found.append(AccessLog(settings.access_log, worker))
    if settings.traces:
        from bailiwick.serving.tracing import Tracing

        found.append(Tracing(worker))
    return found


async def _serve(
    settings: Settings,
    handler: InferenceHandler,
    metrics: Metrics,
    opened: socket.socket,
    grpc_opened: socket.socket | None,
) -> None:
    limit, folder = settings.max_body_bytes, settings.route_cache / "workers"
    listener = Listener(handler, max_body_bytes=limit, request_seconds=float(settings.request_seconds))
    doors = [Door(listener, opened, Balance(folder, settings.inference_port))]
    if grpc_opened is not None:
        grpc = grpc_listener(handler, metrics, listener.elsewhere, max_body_bytes=limit)
        doors.append(Door(grpc, grpc_opened, Balance(folder, settings.grpc_inference_port)))
    metrics.connections = {name: door.listener.connections for name, door in zip(("http", "grpc"), doors, strict=False)}
    await serve(*doors)


def _quieten_collector() -> None:
    """What is loaded by now stays, and requests make no cycles: let the collector look seldom, and only at what is new."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _gauges(handler: InferenceHandler, follower: RouteFollower, spool: SpoolWriter) -> dict[str, float]:
    held = follower.residency
    bounded = (
        {}
        if held is None
        else {
            "model_bytes": held.bytes,
            "models_resident": len(held.resident),
            "model_loads": held.loads,
            "model_evictions": held.evictions,
            "model_load_refusals": held.refusals,
        }
    )
    return bounded | {
        "spool_pending_bytes": spool.pending_bytes,
        "route_revision": handler.routes.revision,
        "route_load_failures": follower.load_failures,
        "draining": float(handler.draining),
        "requests_in_flight": handler.in_flight,
        "requests_apart": handler.apart,
        "requests_waiting": handler.waiting,
    }
