"""One inference process, put together from settings: follower, handler, spool and server."""

from __future__ import annotations

import gc

import uvloop

from bailiwick.core.settings import Settings
from bailiwick.serving.connection import Listener
from bailiwick.serving.control import ControlClient
from bailiwick.serving.follower import RouteCache, RouteFollower
from bailiwick.serving.handler import InferenceHandler
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.python_runtime import PythonModels
from bailiwick.serving.server import bind, serve
from bailiwick.serving.spool import SpoolWriter


def serve_worker(settings: Settings, worker: int) -> None:
    """Serve on `host`:`inference_port`, which any number of workers share, until SIGTERM or SIGINT; drain, then return.

    It serves what is cached on disk at once, whether or not the control plane can be reached. Raises Unavailable when
    the port or the spool cannot be had.
    """
    opened = bind(settings.host, settings.inference_port)
    spool = SpoolWriter(settings.spool_root, limit_bytes=settings.spool_bytes)
    metrics = Metrics(worker, lambda: _gauges(handler, follower, spool))
    handler = InferenceHandler(spool, metrics)
    control = ControlClient(settings.control_address, settings.token, workspace=settings.workspace)
    models = PythonModels.of(settings)
    follower = RouteFollower(control, RouteCache(settings.route_cache), handler, metrics, models.open)
    follower.start()
    _quieten_collector()
    try:
        uvloop.run(serve(Listener(handler, max_body_bytes=settings.max_body_bytes), opened))
    finally:
        follower.stop()
        spool.close()


def _quieten_collector() -> None:
    """What is loaded by now stays, and requests make no cycles: let the collector look seldom, and only at what is new."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _gauges(handler: InferenceHandler, follower: RouteFollower, spool: SpoolWriter) -> dict[str, float]:
    return {
        "spool_pending_bytes": spool.pending_bytes,
        "route_revision": handler.routes.revision,
        "route_load_failures": follower.load_failures,
        "draining": float(handler.draining),
        "requests_apart": handler.apart,
    }
