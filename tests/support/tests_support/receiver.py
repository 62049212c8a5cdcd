"""A real HTTP receiver of webhooks that behaves as badly as it is told to."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def status(code: int, headers: str = "", body: str = "no") -> bytes:
    """A whole response."""
    return f"HTTP/1.1 {code} Said\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    time: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Behaviour = Callable[[socket.socket, Got], None]


def answers(*responses: bytes) -> Behaviour:
    """Gives the responses in turn, the last one for ever."""
    left = list(responses)

    def behave(connection: socket.socket, _got: Got) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return behave


def hangs(seconds: float = 30.0) -> Behaviour:
    """Takes the request and says nothing."""

    def behave(connection: socket.socket, _got: Got) -> None:
        connection.settimeout(seconds)
        with suppress(OSError):
            connection.recv(1)

    return behave


def drips(response: bytes, pause: float = 0.2) -> Behaviour:
    """A byte now and then, so that no single read takes long."""

    def behave(connection: socket.socket, _got: Got) -> None:
        with suppress(OSError):
            for index in range(len(response)):
                connection.sendall(response[index : index + 1])
                time.sleep(pause)

    return behave


@dataclass
class Receiver:
    """Listens on loopback; `got` is every whole request, in order of arrival."""

    port: int
    behave: Behaviour
    got: list[Got] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, count: int, seconds: float = 10.0) -> list[Got]:
        """The requests, once there are `count` of them."""
        end = time.monotonic() + seconds
        while len(self.got) < count:
            assert time.monotonic() < end, f"{len(self.got)} of {count} requests came"
            time.sleep(0.01)
        return list(self.got)


@contextmanager
def receiving(behave: Behaviour | None = None) -> Iterator[Receiver]:
    """A receiver on a free port for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        receiver = Receiver(listening.getsockname()[1], behave or answers(OK))
        threading.Thread(target=_accept, args=(listening, receiver), daemon=True).start()
        yield receiver
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, receiver: Receiver) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=(connection, receiver), daemon=True).start()


def _serve(connection: socket.socket, receiver: Receiver) -> None:
    with connection, suppress(OSError):
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            body += connection.recv(65536)
        got = Got(first.split(" ")[1], headers, body, time.time())
        receiver.got.append(got)
        receiver.behave(connection, got)
