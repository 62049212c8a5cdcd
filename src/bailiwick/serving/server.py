"""The event loop of a worker: accept, sweep idle connections, and drain on a signal."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from email.utils import formatdate

from bailiwick.core.errors import Unavailable
from bailiwick.serving.balance import Balance
from bailiwick.serving.connection import InferenceConnection, Listener
from bailiwick.serving.grpc.connection import GrpcConnection, GrpcListener

IDLE_SECONDS = 75.0
DRAIN_SECONDS = 5.0
QUIET_SECONDS = 0.3
"""How long a draining worker without connections still accepts: those told to leave may come back to it by chance."""
BACKLOG = 2048

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Door:
    """A port of the worker: what listens there, and how connections are spread over the workers that share it."""

    def __init__(
        self, listener: Listener | GrpcListener, opened: socket.socket, balance: Balance | None = None
    ) -> None:
        self.listener = listener
        self.opened = opened
        self.balance = balance
        self._adopting: set[asyncio.Task[object]] = set()

    async def open(self) -> asyncio.Server:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol(adopted=False), sock=self.opened, backlog=BACKLOG)
        if self.balance is not None:
            self.balance.join(self._adopt)
            self.listener.balance = self.balance
        return server

    def drain(self) -> None:
        """Connections go to other workers, where there are any: new ones, and those that can be handed over."""
        if self.balance is not None:
            self.balance.leave()
        if isinstance(self.listener, GrpcListener):
            self.listener.drain()

    def close(self) -> None:
        """Nothing is answered any more."""
        connections: list[InferenceConnection | GrpcConnection] = [*self.listener.connections]
        if self.balance is not None:
            self.listener.balance = None
            self.balance.close()
        for connection in connections:
            connection.close()

    def _protocol(self, *, adopted: bool) -> Callable[[], asyncio.Protocol]:
        listener = self.listener
        if isinstance(listener, GrpcListener):
            return lambda: GrpcConnection(listener, adopted=adopted)
        return lambda: InferenceConnection(listener, adopted=adopted)

    def _adopt(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._protocol(adopted=True), connection))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)


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


async def serve(http: Door, *others: Door) -> None:
    """Answer until SIGTERM or SIGINT, then drain: connections are handed to other workers of the port; where there are
    none, every answer says that the connection ends. New ones are still taken, and it ends when no connection is left or
    after 5 s. A second signal ends it at once.
    """
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    for number in _SIGNALS:
        loop.add_signal_handler(number, signals.put_nowait, None)
    doors = (http, *others)
    _tick(doors)
    servers = [await door.open() for door in doors]
    ticking = loop.create_task(_tick_on(doors))
    try:
        await signals.get()
        assert isinstance(http.listener, Listener)
        http.listener.handler.draining = True
        for door in doors:
            door.drain()
        await _until_drained(doors, signals)
    finally:
        ticking.cancel()
        for server in servers:
            server.close()
        for door in doors:
            door.close()
        await asyncio.sleep(0)  # lets what was written reach the sockets
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _until_drained(doors: tuple[Door, ...], signals: asyncio.Queue[None]) -> None:
    began = quiet = time.monotonic()
    while time.monotonic() - began < DRAIN_SECONDS and signals.empty():
        for door in doors:
            if isinstance(door.listener, Listener):
                door.listener.hand_over()
        if _connected(doors):
            quiet = time.monotonic()
        elif time.monotonic() - quiet > QUIET_SECONDS:
            return
        await asyncio.sleep(0.02)


def _connected(doors: tuple[Door, ...]) -> bool:
    return any(door.listener.connections for door in doors)


async def _tick_on(doors: tuple[Door, ...]) -> None:
    while True:
        await asyncio.sleep(1)
        _tick(doors)
        for door in doors:
            door.listener.close_idle(door.listener.now - IDLE_SECONDS)
            door.listener.spread()
            if isinstance(door.listener, Listener):
                door.listener.refuse_slow(door.listener.request_seconds)


def _tick(doors: tuple[Door, ...]) -> None:
    """Once a second: the clock of idleness, the Date header of every answer, and what watchers of health are told."""
    for door in doors:
        listener = door.listener
        listener.now = time.monotonic()
        if isinstance(listener, GrpcListener):
            listener.tick()
        else:
            listener.handler.settle()
            listener.handler.tick()
            listener.date = f"date: {formatdate(usegmt=True)}\r\n".encode()
