"""`bailiwick control`: the control plane as a process, until SIGTERM."""

from __future__ import annotations

import gc
import logging
import signal
import socket

import uvicorn

from bailiwick.app import open_platform
from bailiwick.core.errors import Unavailable
from bailiwick.core.ids import new_id
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.outbox import OutboxKeeper
from bailiwick.server.asgi import create_app
from bailiwick.server.mlflow.connection import connections
from bailiwick.store.log_length import lengthen_log

DRAIN_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
"""Between two requests of a training loop may lie a minute, and a client that finds its connection closed starts anew."""


def run_control(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is being answered. Raises Unavailable when the port is taken."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with _listen(settings.host, settings.control_port) as listening:
        platform = open_platform(settings)
        outbox = OutboxKeeper(platform, f"{socket.gethostname()[:60]}:{new_id()}", spare=True)
        try:
            app = create_app(platform, stopping=lambda: server.should_exit)
            server = uvicorn.Server(
                uvicorn.Config(
                    app,
                    http=connections(app.state.mlflow),
                    log_config=None,
                    access_log=False,
                    proxy_headers=False,  # who the peer is decides who is the local administrator
                    server_header=False,
                    timeout_keep_alive=KEEP_ALIVE_SECONDS,
                    timeout_graceful_shutdown=DRAIN_SECONDS,
                )
            )
            lengthen_log(platform.database)
            _spare_the_collector()
            # uvicorn raises the signal that ended it once more; what follows must still be done
            signal.signal(signal.SIGTERM, lambda *_: None)
            server.run(sockets=[listening])
        finally:
            outbox.stop()
            platform.close()


def _spare_the_collector() -> None:
    """What is loaded by now stays, and pages of thousands of rows are not garbage: a fifth of such a page went into looking."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, taken before anything is opened, so that a port in use is the first and only complaint."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Unavailable(
            f"Port {port} on {host} cannot be used for control: {error.strerror}.",
            hint="Stop what uses it, or choose another with --control-port.",
        ) from error
    return listening
