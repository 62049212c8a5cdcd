"""HTTP/1.1 on one connection: parsed by llhttp, answered where it is parsed, written in one piece.

An inference request is answered without waiting for anything, so there is nothing for a task, a queue or a scope
dictionary to do; leaving them out is worth more than half of the time of a small request (`benchmarks/serving.py`).
The exception are models that may take long: they run in threads, and what comes after on the same connection waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import unquote

import httptools

from bailiwick.serving.admission import PEER
from bailiwick.serving.balance import Balance
from bailiwick.serving.handler import LATER, InferenceHandler, Response
from bailiwick.serving.http.form import Asked, Outcome
from bailiwick.serving.inference import MOST_APART
from bailiwick.serving.protocol import error_json
from bailiwick.serving.turns import hold_seconds

MAX_HEAD_BYTES = 65_536
LINGER_SECONDS = 2.0

_UPGRADE_HEADERS = frozenset({b"connection", b"upgrade", b"http2-settings"})
_log = logging.getLogger(__name__)
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


Done = TypeVar("Done")


class _Request(NamedTuple):
    """One that waits for its turn."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    keep: bool


class Listener:
    """What the connections of one listening socket share: the handler, the limits, and who is connected."""

    def __init__(self, handler: InferenceHandler, *, max_body_bytes: int, request_seconds: float = 60.0) -> None:
        self.handler = handler
        self.max_body_bytes = max_body_bytes
        self.request_seconds = request_seconds
        self.connections: set[InferenceConnection] = set()
        self.date = b""
        self.now = 0.0
        self.tasks: set[asyncio.Task[None]] = set()
        self.balance: Balance | None = None
        self._threads = ThreadPoolExecutor(MOST_APART, thread_name_prefix="slow-model")  # started as they are needed

    def close_idle(self, older_than: float) -> None:
        """Close connections that have sent nothing since `older_than`, in the middle of a request or between two."""
        for connection in list(self.connections):
            if connection.last_data < older_than:
                connection.close()

    def spread(self) -> None:
        """Let other workers have connections that they have too few of; those in the middle of a request stay."""
        if self.balance is not None:
            excess = self.balance.excess()
            for connection in [each for each in self.connections if excess and each.movable][:excess]:
                connection.hand_over(self.balance)

    def hand_over(self) -> None:
        """Let other workers go on with every connection that is between two requests, as far as they can take them now."""
        if self.balance is not None:
            for connection in [each for each in self.connections if each.movable]:
                connection.hand_over(self.balance)

    def refuse_slow(self, longest: float) -> None:
        """Refuse requests that have been arriving for longer than so many seconds, however steadily."""
        for connection in list(self.connections):
            connection.refuse_slow(longest)

    async def elsewhere(self, work: Callable[[], Done]) -> Done:
        """Have a slow model answer while this thread does other things."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class InferenceConnection(asyncio.Protocol):
    """Requests are answered in the order they come, pipelined ones too."""

    ordered = True

    def __init__(self, listener: Listener, *, adopted: bool = False) -> None:
        self._listener = listener
        self._settled = adopted  # whether the balance counts it as one of this worker's
        self._within = False  # a request
        self._past_head = False
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._finished = False  # what still comes is thrown away
        self.last_data = listener.now
        self._url = b""
        self._head_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._watched: dict[bytes, bytes] | None = (
            None  # the headers of a request that was not whole when last looked at
        )
        self._watched_since = 0.0
        self._behind: deque[_Request] | None = None  # what waits for a slow model's answer; None while there is none
        self.gathered = 0  # requests that are answered at the end of the turn
        self._held = False

    # -- the event loop calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast("asyncio.Transport", transport)
        balance = self._listener.balance
        if balance is not None and not self._settled:
            self._settled = balance.settle(transport)
            if not self._settled:
                self._finished = True
                return
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        """Forget the connection; an unfinished request was never seen by the handler."""
        self._finished = True
        self._listener.connections.discard(self)
        if self._settled and self._listener.balance is not None:
            self._listener.balance.left()

    def data_received(self, data: bytes) -> None:
        """Parse, and answer every request that is complete."""
        if self._finished:
            return
        self.last_data = self._listener.now
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if not self._finished:
                self._refuse(400, f"This is not HTTP/1.1: {error}.")

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more requests from it."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._read_on()

    def hold_back(self) -> None:
        """Read nothing for a moment: the client was refused for load, and may not have heard of `Retry-After`."""
        if self._finished or self._held:
            return
        self._held = True
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(hold_seconds(len(self._listener.connections)), self._let_go)

    def _let_go(self) -> None:
        self._held = False
        self._read_on()

    def _read_on(self) -> None:
        if self._behind is None and not self._held and not self._finished:
            self._transport.resume_reading()

    def refuse_slow(self, longest: float) -> None:
        """Called once a second, so that no request pays for being timed: each has a dictionary of headers of its own."""
        if self._finished or not self._url or self._behind is not None:
            self._watched = None
        elif self._watched is not self._headers:
            self._watched, self._watched_since = self._headers, self._listener.now
        elif self._listener.now - self._watched_since > longest:
            self._refuse(408, f"The request was not whole after {longest:g} seconds.")

    def eof_received(self) -> None:
        """The client sends no more; what it has asked is answered before the transport closes."""
        self._flush()

    def close(self) -> None:
        """Close once everything written has been sent."""
        self._flush()
        self._finished = True
        self._transport.close()

    @property
    def movable(self) -> bool:
        """Whether nothing of a request or of an answer is here."""
        waits = self._behind is not None or self._within or self.gathered or self._transport.get_write_buffer_size()
        return not (self._finished or waits)

    def hand_over(self, balance: Balance) -> None:
        """Let another worker go on with the connection, which must be `movable`."""
        if balance.hand_over(self._transport):
            self._settled = False
            self._finished = True

    # -- the parser calls ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._within = True
        self._past_head = False

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. Those behind a chunked body are not taken: no proxy has looked at them."""
        if not self._past_head:
            self._headers[name.lower()] = value
        self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Refuse a body that is declared too large before it is sent."""
        self._past_head = True
        if self._finished or self._parser.should_upgrade():
            return
        declared = self._headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._listener.max_body_bytes:
            self._refuse_body()
        elif self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > self._listener.max_body_bytes and not self._finished:
            self._body.clear()
            self._refuse_body()

    def on_message_complete(self) -> None:
        """Answer."""
        if self._finished or self._parser.should_upgrade():
            return
        self._within = False
        parts, method = self._body, self._parser.get_method().decode("latin-1")
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        path, headers = _path(self._url), self._headers
        self._url, self._head_bytes, self._headers, self._body, self._body_bytes = b"", 0, {}, [], 0
        if self._behind is not None:
            self._behind.append(_Request(method, path, headers, body, self._parser.should_keep_alive()))
            return
        handler, keep = self._listener.handler, self._parser.should_keep_alive()
        if handler.routes.handled:
            headers[PEER] = self._peer()
        asked = handler.inference(method, path, headers, body)
        if asked is not None and handler.takes_long(asked, path):
            if self._caught_up():
                self._begin_apart(asked, keep=keep)
        elif asked is not None and handler.turn.gathers():
            handler.turn.add(asked, self, keep)
        elif self._caught_up():
            if asked is not None:
                self.answered(asked, handler.run_safely(asked), keep)
                handler.settle_if_needed()
            else:
                self._answer_at_once(_Request(method, path, headers, body, keep))

    def _answer_at_once(self, request: _Request) -> None:
        response = self._handled(request.method, request.path, request.headers, request.body)
        if response.status == LATER:
            self._begin_later(request)
            return
        self._write(response, is_head=request.method == "HEAD", keep=request.keep)
        self._listener.handler.settle_if_needed()

    def _peer(self) -> bytes:
        """The client's address, without its port."""
        known = self._transport.get_extra_info("peername")
        return str(known[0]).encode() if isinstance(known, tuple) else b""

    def _caught_up(self) -> bool:
        """Answer what came before and was gathered; whether there is still somebody to answer."""
        self._flush()
        return not self._finished

    def _flush(self) -> None:
        if self.gathered:
            self._listener.handler.turn.flush()

    def answered(self, asked: Asked, outcome: Outcome, mark: bool) -> None:  # noqa: FBT001 - as it was added
        """Write the answer of a request that was gathered, unless the connection is gone; `mark` says whether to keep it."""
        if not self._finished:
            self._write(self._safely(lambda: self._listener.handler.response(asked, outcome)), keep=mark)

    # -- slow models ---------------------------------------------------------------------------------------------------

    def _begin_apart(self, asked: Asked, *, keep: bool) -> None:
        listener = self._listener
        self._begin(listener.handler.handle_apart(asked, listener.elsewhere), keep=keep)

    def _begin_later(self, request: _Request) -> None:
        loading = self._listener.handler.handle_later
        self._begin(self._listener.elsewhere(lambda: loading(request.path)), keep=request.keep)

    def _begin(self, answering: Coroutine[Any, Any, Response], *, keep: bool) -> None:
        self._behind = deque()
        self._transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self._answer_slowly(answering, keep=keep))
        self._listener.tasks.add(task)  # the loop itself would let it be collected
        task.add_done_callback(self._listener.tasks.discard)

    async def _answer_slowly(self, answering: Coroutine[Any, Any, Response], *, keep: bool) -> None:
        """Answer, then what came after it, up to the next that is slow."""
        try:
            response = await answering
        except Exception:  # noqa: BLE001 - the edge of the process: no request may end without an answer
            _log.exception("a request failed in a way that was not foreseen")
            response = _plain(500, error_json("The server failed; the failure is in its log."))
        behind, self._behind = self._behind, None
        self.last_data = self._listener.now
        if self._finished:
            return
        self._write(response, keep=keep)
        self._listener.handler.settle_if_needed()
        while behind and not self._finished:
            following = behind.popleft()
            handler, (method, path, headers, body, _) = self._listener.handler, following
            asked = handler.inference(method, path, headers, body)
            if asked is not None and handler.takes_long(asked, path):
                self._begin_apart(asked, keep=following.keep)
                self._behind = behind
                return
            answer = self._handled(method, path, headers, body)
            if answer.status == LATER:
                self._begin_later(following)
                self._behind = behind
                return
            self._write(answer, is_head=following.method == "HEAD", keep=following.keep)
        self._read_on()

    # -- answers -------------------------------------------------------------------------------------------------------

    def _handled(self, method: str, path: str, headers: dict[bytes, bytes], body: bytes) -> Response:
        return self._safely(lambda: self._listener.handler.handle(method, path, headers, body))

    def _safely(self, answer: Callable[[], Response]) -> Response:
        try:
            return answer()
        except Exception:  # noqa: BLE001 - the edge of the process: no request may end without an answer
            _log.exception("a request failed in a way that was not foreseen")
            return _plain(500, error_json("The server failed; the failure is in its log."))

    def _write(self, response: Response, *, is_head: bool = False, keep: bool | None = None) -> None:
        status, headers, body = response
        parts = [_STATUS_LINES[status], self._listener.date]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        kept = self._parser.should_keep_alive() if keep is None else keep
        keep = kept and (b"connection", b"close") not in headers
        if not keep and (b"connection", b"close") not in headers:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        if not is_head:
            parts.append(body)
        self._transport.write(b"".join(parts))
        if not keep:
            self.close()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """A client that offers another protocol (Java offers h2c with every first request) is answered in this one."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            self._refuse(405, "CONNECT is not allowed here.")
            return
        kept = [b"%b: %b\r\n" % item for item in self._headers.items() if item[0] not in _UPGRADE_HEADERS]
        head = b"".join((method, b" ", self._url, b" HTTP/1.1\r\n", *kept, b"\r\n"))
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._head_bytes, self._headers = b"", 0, {}
        self.data_received(head + rest)

    def _refuse_body(self) -> None:
        self._linger(self._listener.handler.refuse_body(self._listener.max_body_bytes))

    def _refuse(self, status: int, message: str) -> None:
        self._linger(_plain(status, error_json(message)))

    def _linger(self, response: Response) -> None:
        """Answer before the request is whole. Closing at once would reset the connection and lose the answer."""
        self._flush()
        self._finished = True
        status, headers, body = response
        parts = [_STATUS_LINES[status], self._listener.date]
        parts += [b"%b: %b\r\n" % header for header in headers if header[0] != b"connection"]
        self._transport.write(b"".join([*parts, b"connection: close\r\n\r\n", body]))
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES and not self._finished:
            self._refuse(431, f"The request's head is larger than {MAX_HEAD_BYTES} bytes.")


def _plain(status: int, body: bytes) -> Response:
    return Response(status, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))], body)


def _path(url: bytes) -> str:
    path = url.partition(b"?")[0].decode("latin-1")
    if not path.startswith("/"):
        try:
            path = (httptools.parse_url(url).path or b"/").decode("latin-1")
        except httptools.HttpParserInvalidURLError:
            return "/"
    return unquote(path) if "%" in path else path
