"""The event loop of a worker: accept, sweep idle connections, and drain on a signal."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from email.utils import formatdate

from bailiwick.core.errors import Unavailable
from bailiwick.serving.connection import InferenceConnection, Listener

IDLE_SECONDS = 75.0
DRAIN_SECONDS = 5.0
BACKLOG = 2048

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def bind(host: str, port: int) -> socket.socket:
    """A listening address that any number of workers share (SO_REUSEPORT). Raises Unavailable when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise Unavailable(f"Port {port} of {host} cannot be bound: {error.strerror}.") from error
    return opened


async def serve(listener: Listener, opened: socket.socket) -> None:
    """Answer until SIGTERM or SIGINT, then drain: every answer says `Connection: close`, new connections are still taken,
    and it ends when no connection is left or after 5 s. A second signal ends it at once.
    """
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    for number in _SIGNALS:
        loop.add_signal_handler(number, signals.put_nowait, None)
    _tick(listener)
    server = await loop.create_server(lambda: InferenceConnection(listener), sock=opened, backlog=BACKLOG)
    ticking = loop.create_task(_tick_on(listener))
    try:
        await signals.get()
        listener.handler.draining = True
        await _until_drained(listener, signals)
    finally:
        ticking.cancel()
        server.close()
        for connection in list(listener.connections):
            connection.close()
        await asyncio.sleep(0)  # lets what was written reach the sockets
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _until_drained(listener: Listener, signals: asyncio.Queue[None]) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while listener.connections and time.monotonic() < deadline and signals.empty():  # noqa: ASYNC110 - nothing to wait on
        await asyncio.sleep(0.02)


async def _tick_on(listener: Listener) -> None:
    while True:
        await asyncio.sleep(1)
        _tick(listener)
        listener.close_idle(listener.now - IDLE_SECONDS)


def _tick(listener: Listener) -> None:
    """Once a second: the clock of idleness and the Date header of every answer."""
    listener.now = time.monotonic()
    listener.date = f"date: {formatdate(usegmt=True)}\r\n".encode()
