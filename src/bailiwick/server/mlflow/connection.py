"""Connections on which the plainest requests are answered where their bytes arrive, and all others by the application.

A training loop sends the same small request thousands of times, with the same headers, and waits for each answer. The
server's task, scope, queue and middleware take as long for it as what it asks for (decision 0012); none is needed for a
request that is whole, small, to a prompt route, from the user of this machine, who is alone. Whatever is not exactly that
is handed on byte for byte: there is no second reading of HTTP here, only a first look at its simplest form.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bailiwick.server.middleware import NO_STORE, security_headers
from bailiwick.server.mlflow.desk import JSON, SMALL_BYTES, MlflowDesk
from bailiwick.server.mlflow.message import read_body, read_query
from bailiwick.server.mlflow.table import Match
from bailiwick.store.patience import Busy, without_waiting

MAX_HEAD_BYTES = 4_096
CLIENT = b"mlflow-python-client/"
"""How MLflow's own client names itself."""

_LINE = re.compile(rb"(GET|POST) (/[A-Za-z0-9/._\-]*)(?:\?([A-Za-z0-9&=._\-]*))? HTTP/1\.1")
_HEADER = re.compile(rb"([A-Za-z\-]+): ?([!-~](?:[ -~]*[!-~])?)")
_PLAIN = frozenset(
    {b"host", b"user-agent", b"accept", b"accept-encoding", b"connection", b"content-type", b"content-length"}
    | {b"x-mlflow-client-version"}
)


class Head(NamedTuple):
    """What the header lines of a plain request say: who asks, in which workspace, with how long a body, from a browser or not.

    MLflow's client parses each header of an answer in Python, about 10 µs each, and does not heed those for browsers.
    """

    headers: list[tuple[bytes, bytes]]
    workspace: str
    body_bytes: int
    answered_with: bytes


class Answer(NamedTuple):
    """The body of a 200, or another Response, and the header lines that go with it."""

    said: Response | bytes
    headers: bytes


class Incomplete(Exception):
    """The request may be plain, and is not all here."""


class PlainRequests:
    """What of the bytes of a connection can be answered at once, and the answer.

    `head` remembers the headers it has read: those of one client are the same from request to request.
    """

    def __init__(self, desk: MlflowDesk) -> None:
        self.desk = desk
        self.head = lru_cache(maxsize=256)(self._head)

    def answer(self, data: bytes, peer: tuple[str, int]) -> Answer | None:
        """None where the application is to answer. Raises Incomplete."""
        desk = self.desk
        if not desk.at_hand or (data.startswith(b"POST") and desk.last != peer):
            return None
        head, ended, body = data.partition(b"\r\n\r\n")
        if not ended:
            if len(data) < MAX_HEAD_BYTES and data.startswith((b"GET /", b"POST /")):
                raise Incomplete
            return None
        line, _, lines = head.partition(b"\r\n")
        asked = _LINE.fullmatch(line)
        route = asked and desk.table.prompt(asked[1].decode(), asked[2].decode())
        known = self.head(lines, peer[0]) if route else None
        if not asked or not route or known is None or not desk.authenticator.remembers(known.workspace):
            return None
        if asked[1] == b"GET" and known.body_bytes:
            return None
        if len(body) < known.body_bytes:
            raise Incomplete
        if len(body) > known.body_bytes:
            return None  # another request is here already
        said = self._answered(Match(route, {}), asked, known, body, peer)
        return None if said is None else Answer(said, known.answered_with)

    def _answered(
        self, match: Match, asked: re.Match[bytes], known: Head, body: bytes, peer: tuple[str, int]
    ) -> Response | bytes | None:
        method, path, desk = match.route.method, asked[2].decode(), self.desk
        query = asked[3] or b""
        request = Request(
            {"type": "http", "method": method, "path": path, "query_string": query, "headers": known.headers}
            | {"client": peer, "scheme": "http"}
        )
        begun = time.perf_counter()
        answer: Response | bytes
        try:
            if method == "GET":
                message = read_query(_pairs(query), match.route.message)
            else:
                message = read_body(body, match.route.message)
            with without_waiting():
                answer = desk.handled(match, request, message, workspace=known.workspace)
        except Busy:
            return None
        except Exception as error:  # noqa: BLE001 - the edge of the process, as in the door
            answer = desk.refused(error, method, path)
        status = answer.status_code if isinstance(answer, Response) else 200
        desk.metrics.observe(method, match.route.path, status, time.perf_counter() - begun)
        return answer

    def _head(self, lines: bytes, peer_host: str) -> Head | None:
        """None for a header that is not among the few that change nothing, is there twice, or is written in another way."""
        headers: dict[bytes, bytes] = {}
        for line in lines.split(b"\r\n"):
            found = _HEADER.fullmatch(line)
            name = found[1].lower() if found else b""
            if not found or name not in _PLAIN or name in headers:
                return None
            headers[name] = found[2]
        length, kind = headers.get(b"content-length", b"0"), headers.get(b"content-type", JSON.encode())
        if not re.fullmatch(rb"[0-9]{1,5}", length) or int(length) > SMALL_BYTES or kind != JSON.encode():
            return None
        if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
            return None
        workspace = self.desk.authenticator.local_workspace(headers.get(b"host", b"").decode(), peer_host)
        browser = not headers.get(b"user-agent", b"").startswith(CLIENT)
        answered_with = _FOR_BROWSERS if browser else _FOR_CLIENTS
        return None if workspace is None else Head([*headers.items()], workspace, int(length), answered_with)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    """The parameters of a query in which nothing is escaped."""
    parts = (part.partition("=") for part in query.decode().split("&") if part)
    return [(name, value) for name, _, value in parts]


def connections(desk: MlflowDesk) -> type[HttpToolsProtocol]:
    """The class of connection that uvicorn is to make."""
    plain = PlainRequests(desk)

    class MlflowConnection(_Connection):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.plain = plain

    return MlflowConnection


class _Connection(HttpToolsProtocol):
    """Looks at bytes only between two requests, while nothing is being answered and everything answered has been taken."""

    plain: PlainRequests
    _inside = False
    _held = b""

    def data_received(self, data: bytes) -> None:
        """Answer, hold until the rest comes, or hand on."""
        data, self._held = self._held + data, b""
        if not self._is_between() or self.client is None:
            super().data_received(data)
            return
        try:
            answer = self.plain.answer(data, self.client)
        except Incomplete:
            self._unset_keepalive_if_required()
            self._held = data
            return
        if answer is None:
            super().data_received(data)
        else:
            self._write(answer)

    def on_message_begin(self) -> None:
        """The parser has the beginning of a request, and must have the rest of it."""
        self._inside = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The parser has a whole request."""
        self._inside = False
        super().on_message_complete()

    def _is_between(self) -> bool:
        answered = self.cycle is None or (self.cycle.response_complete and self.cycle.keep_alive)
        return answered and not self._inside and not self.pipeline and not self.transport.get_write_buffer_size()

    def _write(self, answer: Answer) -> None:
        said = answer.said
        status, body = (200, said) if isinstance(said, bytes) else (said.status_code, bytes(said.body))
        lines = [b"HTTP/1.1 %d \r\n" % status if status != 200 else b"HTTP/1.1 200 OK\r\n"]
        for name, value in self.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (
            b"content-length: %d\r\ncontent-type: application/json\r\n" % len(body),
            answer.headers,
            b"\r\n",
            body,
        )
        self.transport.write(b"".join(lines))
        self.on_response_complete()


_FOR_BROWSERS = b"".join(b"%b: %b\r\n" % pair for pair in security_headers())
_FOR_CLIENTS = b"%b: %b\r\n" % NO_STORE
