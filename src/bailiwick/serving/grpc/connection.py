"""gRPC on one connection: calls from streams, messages from their frames, statuses into trailers.

What can be answered at once is answered in the callback that read it, as over HTTP/1.1; models that may take long run
in threads, and any number of their calls wait side by side.
"""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol
from urllib.parse import quote

from bailiwick.serving.admission import DEADLINE, MOST_DEADLINE_MS, PEER
from bailiwick.serving.balance import Balance
from bailiwick.serving.gathering import Elsewhere
from bailiwick.serving.grpc.service import SERVICE, InferenceService, Unary
from bailiwick.serving.grpc.status import CallFailed, Code, unforeseen
from bailiwick.serving.http.form import Asked, Outcome
from bailiwick.serving.http2.connection import Http2Connection, Stream
from bailiwick.serving.http2.hpack import literal
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.router import MOST_INLINE_BYTES
from bailiwick.serving.turns import hold_seconds

INFER = f"/{SERVICE}/ModelInfer".encode()
MOST_DEFLATED = 4096
"""Bytes of a compressed message that is read in the event loop: it has a thousand times as many at most."""

_PREFIX = 5
_MESSAGE_CHARACTERS = 2000  # clients take 8 KiB of trailers, and percent-encoding may treble what is said
_STATUS_200 = b"\x88"
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_HEADERS = _STATUS_200 + literal(b"content-type", b"application/grpc")
_PLAIN = literal(b"content-type", b"text/plain")
_OK = literal(b"grpc-status", b"0")
_ENCODINGS = literal(b"grpc-accept-encoding", b"identity,gzip,deflate")
_log = logging.getLogger(__name__)


class Reader(Protocol):
    """The server's end of a stream of messages; each may be followed by any number of answers."""

    def message(self, data: bytes) -> None:
        """One message. Raises CallFailed, which ends the call."""
        ...

    def ended(self) -> None:
        """No more messages come."""
        ...

    def taken(self) -> None:
        """The client has room for more answers."""
        ...

    def gone(self) -> None:
        """The call is over."""
        ...


class Call:
    """A call of many messages as its reader sees it."""

    def __init__(self, connection: GrpcConnection, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._begun = False

    @property
    def full(self) -> bool:
        """Whether answers wait for the client to take them."""
        return bool(self._stream.pending)

    def send(self, data: bytes) -> None:
        """One message to the client."""
        if self._stream.answered:
            return
        if not self._begun:
            self._begun = True
            self._connection.begin_answer(self._stream, _HEADERS)
        self._connection.add_to_answer(self._stream, _framed(data))

    def finish(self) -> None:
        """End the call well."""
        self._connection.conclude(self._stream, begun=self._begun)

    def fail(self, error: CallFailed) -> None:
        """End the call with an error."""
        self._connection.fail(self._stream, error, begun=self._begun)


Opened = Callable[[Call, Elsewhere], Reader]
"""Makes the reader of a call of many messages."""


class GrpcListener:
    """What the connections of one listening socket share."""

    def __init__(
        self,
        service: InferenceService,
        metrics: Metrics,
        elsewhere: Elsewhere,
        tick: Callable[[], None],
        *,
        max_body_bytes: int,
        streams: Mapping[str, Opened],
    ) -> None:
        self.service = service
        self.metrics = metrics
        self.elsewhere = elsewhere
        self.tick = tick
        self.max_body_bytes = max_body_bytes
        self.streams = streams
        self.connections: set[GrpcConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.balance: Balance | None = None
        self.now = 0.0

    def drain(self) -> None:
        """Let every client go elsewhere with its next call."""
        for connection in list(self.connections):
            connection.leave()

    def spread(self) -> None:
        """Have clients that another worker should serve connect anew; a connection's state cannot be handed over."""
        if self.balance is not None:
            for connection in list(self.connections)[: self.balance.excess()]:
                connection.leave()

    def close_idle(self, older_than: float) -> None:
        """Let go of connections that carry no call and have sent nothing since `older_than`; of others, see who is gone."""
        for connection in list(self.connections):
            connection.check_idle(older_than)


class _Incoming:
    """A call of which not everything is there."""

    __slots__ = ("began", "encoding", "method", "parts", "reader", "refused", "size", "timer", "unary")

    def __init__(self, method: str, began: float) -> None:
        self.method = method
        self.began = began
        self.unary: Unary | None = None  # None for inference and for streams
        self.reader: Reader | None = None
        self.encoding = b""
        self.refused = False
        self.parts: list[bytes] = []
        self.size = 0
        self.timer: asyncio.TimerHandle | None = None


class GrpcConnection(Http2Connection):
    """Answers the calls of one client."""

    ordered = False

    def __init__(self, listener: GrpcListener, *, adopted: bool = False) -> None:
        super().__init__()
        self._listener = listener
        self._settled = adopted  # whether the balance counts it as one of this worker's
        self._held = 0  # bytes of messages that are not whole
        self._asked = False  # whether the client was asked if it is still there
        self.gathered = 0  # calls that are answered at the end of the turn
        self._held_back = False
        self._unread = False  # whether answers wait for the client to take them
        self.last_data = listener.now

    # -- the connection ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember it, unless another worker shall have it."""
        balance = self._listener.balance
        if balance is not None and not self._settled:
            self._settled = balance.settle(transport)
            if not self._settled:
                self.finished = True
                return
        super().connection_made(transport)
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._listener.connections.discard(self)
        if self._settled and self._listener.balance is not None:
            self._listener.balance.left()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note that the client is there."""
        self.last_data = self._listener.now
        self._asked = False
        super().data_received(data)

    def check_idle(self, older_than: float) -> None:
        """A client without calls is let go; one with calls is asked whether it is there, and cut off if it does not say.

        A call of one message must bring it in the same time.
        """
        for stream in list(self.streams.values()):
            if not stream.ended and stream.call.reader is None and stream.call.began < older_than:
                self.fail(stream, CallFailed(Code.DEADLINE_EXCEEDED, "The message did not come in time."))
        if self.last_data >= older_than or self.finished:
            return
        if self._asked:
            self.close()
            return
        self._asked = True
        self.last_data = self._listener.now
        if self.streams:
            self.ping()
        else:
            self.leave()

    # -- calls ---------------------------------------------------------------------------------------------------------

    def request_began(self, stream: Stream) -> None:
        """Find what answers."""
        headers, listener = stream.headers, self._listener
        path = headers[b":path"]
        infers = path == INFER
        call = _Incoming("ModelInfer", listener.now) if infers else self._found(path.decode("latin-1"), stream)
        stream.call = call
        if headers[b":method"] != b"POST" or not headers.get(b"content-type", b"").startswith(b"application/grpc"):
            call.refused = True  # once it is whole: no client of gRPC waits for an answer before that
            return
        if listener.service.draining:
            self.leave()
        if not call.method:
            self.fail(stream, CallFailed(Code.UNIMPLEMENTED, f"There is no method {path[:200].decode('latin-1')}."))
            return
        call.encoding = headers.get(b"grpc-encoding", b"")
        if call.encoding not in _INFLATING and call.encoding not in {b"", b"identity"}:
            said = call.encoding[:50].decode("latin-1")
            self.fail(
                stream, CallFailed(Code.UNIMPLEMENTED, f"Compression {said!r} is not known; use gzip or deflate.")
            )
            return
        timeout = headers.get(b"grpc-timeout")
        if timeout is not None:
            self._limit(stream, timeout)

    def request_data(self, stream: Stream, data: bytes) -> None:
        """Keep it until the message is whole."""
        call: _Incoming = stream.call
        if call.refused:
            return
        call.parts.append(data)
        call.size += len(data)
        self._held += len(data)
        limit = self._listener.max_body_bytes
        if call.reader is not None:
            self._read_messages(stream, call)
        elif call.size > limit + _PREFIX:
            self._refuse_size(stream)
        elif self._held > 2 * (limit + _PREFIX):
            said = f"Calls of one connection have more than {2 * limit} bytes of messages that are not whole."
            self.fail(stream, CallFailed(Code.RESOURCE_EXHAUSTED, said))

    def request_ended(self, stream: Stream) -> None:
        """Answer a call of one message; tell the reader of others."""
        call: _Incoming = stream.call
        if call.refused:
            self._refuse_http(stream)
            return
        parts = call.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._held -= call.size
        call.parts, call.size = [], 0
        try:
            if call.reader is not None:
                _require(not data, "The call ends inside of a message.")
                call.reader.ended()
                return
            if call.unary is None:
                self._infer(stream, call, data)
                return
            answer = call.unary(self._message(call, data), self._listener.elsewhere)
            if isinstance(answer, bytes):
                self._reply(stream, answer)
            else:
                self._wait(stream, answer)
        except CallFailed as error:
            self.fail(stream, error)
        except Exception:  # noqa: BLE001 - the edge of the process: no call may end without an answer
            _log.exception("a call failed in a way that was not foreseen")
            self.fail(stream, unforeseen())

    def _message(self, call: _Incoming, data: bytes) -> bytes:
        whole = len(data) >= _PREFIX and int.from_bytes(data[1:_PREFIX], "big") == len(data) - _PREFIX
        _require(whole, "The call must bring exactly one message.")
        return self._inflated(call, data[_PREFIX:]) if data[0] else data[_PREFIX:]

    def _infer(self, stream: Stream, call: _Incoming, data: bytes) -> None:
        """At once, with others of this turn of the event loop, or where it holds up nobody."""
        service, headers = self._listener.service, stream.headers
        if service.tells_callers_apart:
            headers[PEER] = self._peer()
        if len(data) > (MOST_DEFLATED if data[:1] == b"\1" else MOST_INLINE_BYTES):
            self._wait(
                stream, service.infer_bulky(lambda: self._message(call, data), headers, self._listener.elsewhere)
            )
            return
        asked = service.asked(self._message(call, data), headers)
        if service.takes_long(asked):
            self._wait(stream, service.infer_apart(asked, self._listener.elsewhere))
        elif service.turn.gathers():
            service.turn.add(asked, self, stream)
        else:
            self._reply(stream, service.infer(asked))

    def answered(self, asked: Asked, outcome: Outcome, mark: Stream) -> None:
        """Answer a call that was gathered, unless its client is gone."""
        if mark.answered or mark.trailers is not None or self.streams.get(mark.id) is not mark:
            return
        try:
            self._reply(mark, self._listener.service.answer(asked, outcome))
        except CallFailed as error:
            self.fail(mark, error)
        except Exception:  # noqa: BLE001 - the edge of the process: no call may end without an answer
            _log.exception("a call failed in a way that was not foreseen")
            self.fail(mark, unforeseen())

    def hold_back(self) -> None:
        """Read nothing for a moment: the client was refused for load."""
        if self.finished or self._held_back:
            return
        self._held_back = True
        self.transport.pause_reading()
        asyncio.get_running_loop().call_later(hold_seconds(len(self._listener.connections)), self._let_go)

    def _let_go(self) -> None:
        self._held_back = False
        if not self.finished and not self._unread:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more from it."""
        self._unread = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._unread = False
        if not self._held_back:
            super().resume_writing()

    def close(self) -> None:
        """Close once everything written has been sent, and what was asked is answered."""
        if self.gathered:
            self._listener.service.turn.flush()
        super().close()

    def _peer(self) -> bytes:
        """The client's address, without its port."""
        known = self.transport.get_extra_info("peername")
        return str(known[0]).encode() if isinstance(known, tuple) else b""

    def request_reset(self, stream: Stream) -> None:
        """The client does not wait any more."""
        if stream.call is not None:
            self._note(stream.call, Code.CANCELLED)

    def answer_taken(self, stream: Stream) -> None:
        """Tell the reader."""
        call: _Incoming = stream.call
        if call.reader is not None:
            call.reader.taken()

    def conclude(self, stream: Stream, *, begun: bool) -> None:
        """End a call of many messages well."""
        if stream.answered or stream.trailers is not None:
            return
        self._note(stream.call, Code.OK)
        self.end_answer(stream, _OK if begun else _HEADERS + _OK)

    def fail(self, stream: Stream, error: CallFailed, *, begun: bool = False) -> None:
        """End a call with a status that is not OK."""
        if stream.answered or stream.trailers is not None:
            return
        self._note(stream.call, error.code)
        trailers = [] if begun else [_HEADERS]
        trailers.append(literal(b"grpc-status", b"%d" % error.code))
        said = quote(error.message[:_MESSAGE_CHARACTERS], safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
        trailers.append(literal(b"grpc-message", said.encode()))
        if error.retry_ms is not None:
            trailers.append(literal(b"grpc-retry-pushback-ms", b"%d" % error.retry_ms))
        if error.code is Code.UNIMPLEMENTED:
            trailers.append(_ENCODINGS)
        self.end_answer(stream, b"".join(trailers))

    # -- parts of it ---------------------------------------------------------------------------------------------------

    def _found(self, path: str, stream: Stream) -> _Incoming:
        listener = self._listener
        opened = listener.streams.get(path)
        unary = listener.service.unary.get(path)
        known = opened is not None or unary is not None
        call = _Incoming(path.rpartition("/")[2] if known else "", listener.now)
        call.unary = unary
        if opened is not None:
            call.reader = opened(Call(self, stream), listener.elsewhere)
        return call

    def _read_messages(self, stream: Stream, call: _Incoming) -> None:
        data = call.parts[0] if len(call.parts) == 1 else b"".join(call.parts)
        start = 0
        assert call.reader is not None
        try:
            while len(data) - start >= _PREFIX:
                length = int.from_bytes(data[start + 1 : start + _PREFIX], "big")
                if length > self._listener.max_body_bytes:
                    self._refuse_size(stream)
                    break
                end = start + _PREFIX + length
                if end > len(data):
                    break
                sent = data[start + _PREFIX : end]
                call.reader.message(self._inflated(call, sent) if data[start] else sent)
                start = end
                if stream.answered or stream.trailers is not None:
                    break
        except CallFailed as error:
            self.fail(stream, error)
        except Exception:  # noqa: BLE001 - the edge of the process: no call may end without an answer
            _log.exception("a call failed in a way that was not foreseen")
            self.fail(stream, unforeseen())
        if stream.answered:
            return
        self._held -= start
        call.parts = [data[start:]] if start < len(data) else []
        call.size = len(data) - start

    def _wait(self, stream: Stream, answer: Coroutine[Any, Any, bytes]) -> None:
        task = asyncio.get_running_loop().create_task(self._reply_later(stream, answer))
        self._listener.tasks.add(task)  # the loop itself would let it be collected
        task.add_done_callback(self._listener.tasks.discard)

    async def _reply_later(self, stream: Stream, answer: Coroutine[Any, Any, bytes]) -> None:
        try:
            self._reply(stream, await answer)
        except CallFailed as error:
            self.fail(stream, error)
        except Exception:  # noqa: BLE001 - the edge of the process: no call may end without an answer
            _log.exception("a call failed in a way that was not foreseen")
            self.fail(stream, unforeseen())

    def _reply(self, stream: Stream, answer: bytes) -> None:
        if stream.answered:  # the client did not wait, or too long
            return
        self._note(stream.call, Code.OK)
        self.answer(stream, _HEADERS, _framed(answer), _OK)
        self._listener.service.settle()

    def _note(self, call: _Incoming, code: Code) -> None:
        """The call is over: count it, and let go of what it holds."""
        self._listener.metrics.calls[call.method, code.name] += 1
        self._held -= call.size
        call.parts, call.size = [], 0
        if call.timer is not None:
            call.timer.cancel()
        if call.reader is not None:
            call.reader.gone()

    def _limit(self, stream: Stream, timeout: bytes) -> None:
        matched = _TIMEOUT.fullmatch(timeout)
        if matched is None:
            said = timeout[:50].decode("latin-1")
            self.fail(
                stream, CallFailed(Code.INVALID_ARGUMENT, f"grpc-timeout {said!r} is not 1 to 8 digits and a unit.")
            )
            return
        seconds = int(matched[1]) * _UNITS[matched[2]]
        if seconds <= 0:
            self._expire(stream, timeout)
            return
        stream.call.timer = asyncio.get_running_loop().call_later(seconds, self._expire, stream, timeout)
        milliseconds = int(seconds * 1000)
        if 0 < milliseconds <= MOST_DEADLINE_MS and DEADLINE not in stream.headers:  # so that nothing runs for nobody
            stream.headers[DEADLINE] = b"%d" % milliseconds

    def _expire(self, stream: Stream, timeout: bytes) -> None:
        said = f"The call was not answered within {timeout.decode('latin-1')}, which its client asked for."
        self.fail(stream, CallFailed(Code.DEADLINE_EXCEEDED, said))

    def _inflated(self, call: _Incoming, data: bytes) -> bytes:
        bits = _INFLATING.get(call.encoding)
        if bits is None:
            raise CallFailed(Code.INVALID_ARGUMENT, "A message is compressed, and the call does not say how.")
        inflating, limit = zlib.decompressobj(bits), self._listener.max_body_bytes
        try:
            inflated = inflating.decompress(data, limit + 1)
        except zlib.error as error:
            raise CallFailed(Code.INVALID_ARGUMENT, f"The message cannot be decompressed: {error}.") from None
        if len(inflated) > limit:
            raise CallFailed(Code.RESOURCE_EXHAUSTED, _too_large(limit))
        if not inflating.eof:
            raise CallFailed(Code.INVALID_ARGUMENT, "The message cannot be decompressed: it is cut short.")
        return inflated

    def _refuse_size(self, stream: Stream) -> None:
        self.fail(stream, CallFailed(Code.RESOURCE_EXHAUSTED, _too_large(self._listener.max_body_bytes)))

    def _refuse_http(self, stream: Stream) -> None:
        """Not gRPC at all: an answer that an HTTP client understands."""
        self._note(stream.call, Code.UNIMPLEMENTED)
        status = b"405" if stream.headers[b":method"] != b"POST" else b"415"
        self.answer(stream, literal(b":status", status) + _PLAIN, b"This port speaks gRPC.\n", b"")


_INFLATING = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


def _require(right: bool, message: str) -> None:  # noqa: FBT001 - what is required reads best in front
    if not right:
        raise CallFailed(Code.INVALID_ARGUMENT, message)


def _framed(data: bytes) -> bytes:
    return b"\x00" + len(data).to_bytes(4, "big") + data


def _too_large(limit: int) -> str:
    return f"The message is larger than {limit} bytes."
