"""The server's end of HTTP/2 (RFC 9113), without TLS: frames in, streams kept, frames out within the client's windows.

Requests are given to whoever derives from it, in the same callback that read them. Receiving is bounded by bytes held,
not by windows: those are as wide as the protocol allows, and the transport is not read while the client does not read.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, cast

from bailiwick.serving.http2 import frames
from bailiwick.serving.http2.frames import ConnectionFault, Fault, StreamFault, frame, head, number_frame
from bailiwick.serving.http2.hpack import HeaderDecoder, HeadersUnreadable

MOST_RESETS = 1000
"""Requests that a client may take back, more than it lets finish: one that does little else is sent away."""
MOST_WAITING_BYTES = 256 << 20
"""Answers that wait for a client to take them; one that lets more come together is sent away."""
REFILL_BYTES = frames.WIDEST_WINDOW // 2
"""How much of our windows is used before the client is told that it is free again."""

_GOODBYE = b"goodbye!"  # the ping whose answer says that the client knows it shall begin nothing more
_OWN_PRIORITY = 0x100  # no flag of the protocol: said once the block, which keeps the ends' tables alike, has been read
_PRESENCE = b"bailiwic"


class Stream:
    """One request and its answer. `ended` when the client has said all, `answered` when we have."""

    __slots__ = ("answered", "call", "consumed", "ended", "expected", "headers", "id", "pending", "trailers", "window")

    def __init__(self, number: int, headers: dict[bytes, bytes], window: int) -> None:
        self.id = number
        self.headers = headers
        self.call: Any = None  # whatever the derived class remembers
        self.ended = False
        self.answered = False
        self.window = window  # what the client still takes
        self.pending = b""  # what waits for it to take more
        self.trailers: bytes | None = None  # what comes after `pending`
        self.consumed = 0  # bytes received that the client does not know to be gone
        declared = headers.get(b"content-length", b"")
        self.expected = int(declared) if declared.isdigit() else -1  # bytes still to come; -1 when nobody said


class Http2Connection(asyncio.Protocol, ABC):
    """Derived classes answer `request_began`, `request_data`, `request_ended`, `request_reset` and `answer_taken`."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.finished = False  # what still comes is thrown away
        self._buffer = b""
        self._greeted = False
        self._settled = False
        self._last_stream = 0
        self._leaving = False
        self._headers = HeaderDecoder()
        self._blocks: dict[bytes, dict[bytes, bytes]] = {}  # header blocks that mean the same each time they come
        self._blocks_of = -1  # the decoder's generation
        self._unfinished: tuple[int, int, bytes] | None = None  # stream, flags and part of a header block
        self._window = frames.DEFAULT_WINDOW
        self._stream_window = frames.DEFAULT_WINDOW
        self._frame_bytes = frames.DEFAULT_FRAME_BYTES
        self._consumed = 0
        self._resets = 0
        self._waiting = 0  # bytes of answers that the client does not take yet
        self._given_up: set[int] = set()  # streams on which the client may still send, not knowing that they are closed
        self._out: list[bytes] | None = None  # collects while frames are read, so that all goes out in one write

    # -- for derived classes -------------------------------------------------------------------------------------------

    @abstractmethod
    def request_began(self, stream: Stream) -> None:
        """Headers are there."""

    @abstractmethod
    def request_data(self, stream: Stream, data: bytes) -> None:
        """A part of the body."""

    @abstractmethod
    def request_ended(self, stream: Stream) -> None:
        """The body is whole."""

    @abstractmethod
    def request_reset(self, stream: Stream) -> None:
        """The client takes the request back, or the connection is lost; nothing more can be said on the stream."""

    def answer_taken(self, stream: Stream) -> None:
        """The client has room again: nothing waits on the stream."""

    def answer(self, stream: Stream, headers: bytes, data: bytes, trailers: bytes) -> None:
        """The whole of an answer at once: two header blocks and what is between them."""
        size = len(data)
        if size <= self._frame_bytes and size <= self._window and size <= stream.window:
            self._window -= size
            opening, closing = len(headers) << 8 | frames.HEADERS, len(trailers) << 8 | frames.HEADERS
            self._write(
                b"".join(
                    (
                        head(opening, frames.END_HEADERS, stream.id),
                        headers,
                        head(size << 8, 0, stream.id),
                        data,
                        head(closing, frames.END_HEADERS | frames.END_STREAM, stream.id),
                        trailers,
                    )
                )
            )
            self._conclude(stream)
            return
        self.begin_answer(stream, headers)
        self.add_to_answer(stream, data)
        self.end_answer(stream, trailers)

    def begin_answer(self, stream: Stream, headers: bytes) -> None:
        """A header block; data and trailers follow."""
        self._write(frame(frames.HEADERS, frames.END_HEADERS, stream.id, headers))

    def add_to_answer(self, stream: Stream, data: bytes) -> None:
        """Data, as soon as the client takes it."""
        stream.pending = stream.pending + data if stream.pending else data
        self._waiting += len(data)
        self._flush(stream)
        if self._waiting > MOST_WAITING_BYTES:
            self._send_away(ConnectionFault(Fault.ENHANCE_YOUR_CALM, "Too many bytes of answers are not taken."))

    def end_answer(self, stream: Stream, trailers: bytes) -> None:
        """A last header block, after all data. When nothing came before, it is the whole answer."""
        stream.trailers = trailers
        self._flush(stream)

    def reset(self, stream: Stream, fault: Fault) -> None:
        """Give the stream up."""
        self._forget(stream)
        self._reset(stream.id, fault)

    def leave(self) -> None:
        """Close when every stream is answered; the client is told to begin no more, and none of its requests is lost."""
        if self.finished or self._leaving:
            return
        self._leaving = True
        if not self._settled:
            self.close()
            return
        self._write(frames.goaway(frames.WIDEST_WINDOW, Fault.NO_ERROR) + frame(frames.PING, 0, 0, _GOODBYE))

    def ping(self) -> None:
        """Ask whether the client is still there; its answer counts as something received."""
        self._write(frame(frames.PING, 0, 0, _PRESENCE))

    def close(self) -> None:
        """Close once everything written has been sent."""
        self.finished = True
        self.transport.close()

    # -- the event loop calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what is allowed."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(frames.OPENING)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        """Nothing can be answered any more."""
        self.finished = True
        streams, self.streams = list(self.streams.values()), {}
        for stream in streams:
            self.request_reset(stream)

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more from it."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Read every frame that is complete, then write what they led to."""
        if self.finished:
            return
        self._out = []
        try:
            self._read(self._buffer + data if self._buffer else data)
        except ConnectionFault as fault:
            self._send_away(fault)
        finally:
            self._write_out()

    # -- frames in -----------------------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        position, size = 0, len(data)
        if not self._greeted:
            if not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
                raise ConnectionFault(Fault.PROTOCOL_ERROR, "This is not HTTP/2.")
            if size < len(frames.PREFACE):
                self._buffer = data
                return
            self._greeted, position = True, len(frames.PREFACE)
        while position + frames.HEAD_BYTES <= size and not self.finished:
            length = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            if length > frames.MAX_FRAME_BYTES:
                raise ConnectionFault(Fault.FRAME_SIZE_ERROR, f"A frame has {length} bytes.")
            end = position + frames.HEAD_BYTES + length
            if end > size:
                break
            kind, flags = data[position + 3], data[position + 4]
            number = int.from_bytes(data[position + 5 : position + 9], "big") & frames.WIDEST_WINDOW
            try:
                self._take(kind, flags, number, data[position + frames.HEAD_BYTES : end])
            except StreamFault as fault:
                self._fail_stream(fault)
            position = end
        self._buffer = data[position:] if position < size else b""

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._unfinished is not None:
            self._take_continuation(kind, flags, number, payload)
        elif kind == frames.DATA:
            self._take_data(flags, number, payload)
        elif kind == frames.HEADERS:
            self._take_headers(flags, number, payload)
        else:
            self._take_other(kind, flags, number, payload)

    def _take_other(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if not self._settled and kind != frames.SETTINGS:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "The first frame must be SETTINGS.")
        if kind == frames.WINDOW_UPDATE:
            self._take_window(number, payload)
        elif kind == frames.PING:
            self._take_ping(flags, number, payload)
        elif kind == frames.SETTINGS:
            self._take_settings(flags, number, payload)
        elif kind == frames.RST_STREAM:
            self._take_reset(number, payload)
        elif kind == frames.PRIORITY:
            self._take_priority(number, payload)
        elif kind == frames.GOAWAY:
            self._take_goaway(number, payload)
        elif kind in {frames.PUSH_PROMISE, frames.CONTINUATION}:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, f"A frame of kind {kind} may not come here.")

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        if self._consumed + size > REFILL_BYTES:
            self._write(number_frame(frames.WINDOW_UPDATE, 0, self._consumed + size))
            self._consumed = 0
        else:
            self._consumed += size
        stream = self.streams.get(number)
        if stream is None or stream.ended:
            self._require_begun(number)
            if number not in self._given_up:
                raise StreamFault(number, Fault.STREAM_CLOSED)
            if flags & frames.END_STREAM:
                self._given_up.discard(number)
            return
        data = frames.unpadded(payload) if flags & frames.PADDED else payload
        if stream.expected >= 0:
            stream.expected -= len(data)
            if stream.expected < 0 or (flags & frames.END_STREAM and stream.expected):
                raise StreamFault(number, Fault.PROTOCOL_ERROR)
        stream.consumed += size
        if stream.consumed > REFILL_BYTES:
            self._write(number_frame(frames.WINDOW_UPDATE, number, stream.consumed))
            stream.consumed = 0
        if data:
            self.request_data(stream, data)
        if flags & frames.END_STREAM and number in self.streams:
            self._end(stream)

    def _take_headers(self, flags: int, number: int, payload: bytes) -> None:
        if not self._settled or not number & 1:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, f"HEADERS may not come here, on stream {number}.")
        if flags & frames.PADDED:
            payload = frames.unpadded(payload)
        if flags & frames.PRIORITISED:
            payload, is_own = frames.unprioritised(payload, number)
            flags |= _OWN_PRIORITY if is_own else 0
        if flags & frames.END_HEADERS:
            self._take_block(flags, number, payload)
        else:
            self._unfinished = (number, flags, payload)

    def _take_continuation(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        assert self._unfinished is not None
        expected, first_flags, block = self._unfinished
        if kind != frames.CONTINUATION or number != expected:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "A header block is interrupted.")
        block += payload
        if len(block) > frames.MAX_HEADER_BYTES or not payload:
            raise ConnectionFault(Fault.ENHANCE_YOUR_CALM, "A header block has too many bytes or parts.")
        if flags & frames.END_HEADERS:
            self._unfinished = None
            self._take_block(first_flags, number, block)
        else:
            self._unfinished = (number, first_flags, block)

    def _take_block(self, flags: int, number: int, block: bytes) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            self._take_trailers(stream, flags, block)
            return
        if number <= self._last_stream:
            self._decoded(block, number)
            if number in self._given_up:
                self._given_up.discard(number)
                return
            raise ConnectionFault(Fault.STREAM_CLOSED, f"Stream {number} is closed.")
        self._last_stream = number
        headers = self._known(block, number)
        if flags & _OWN_PRIORITY:
            raise StreamFault(number, Fault.PROTOCOL_ERROR)
        if len(self.streams) >= frames.MAX_STREAMS:
            raise StreamFault(number, Fault.REFUSED_STREAM)
        stream = self.streams[number] = Stream(number, headers, self._stream_window)
        self.request_began(stream)
        if flags & frames.END_STREAM and number in self.streams:
            if stream.expected > 0:
                raise StreamFault(number, Fault.PROTOCOL_ERROR)
            self._end(stream)

    def _take_trailers(self, stream: Stream, flags: int, block: bytes) -> None:
        fields = self._decoded(block, stream.id)
        if stream.ended:
            raise StreamFault(stream.id, Fault.STREAM_CLOSED)
        if not flags & frames.END_STREAM or any(name.startswith(b":") or name != name.lower() for name, _ in fields):
            raise StreamFault(stream.id, Fault.PROTOCOL_ERROR)
        if stream.expected > 0:
            raise StreamFault(stream.id, Fault.PROTOCOL_ERROR)
        self._end(stream)

    def _known(self, block: bytes, number: int) -> dict[bytes, bytes]:
        """A request's headers; most clients send the same few bytes with each request."""
        decoder = self._headers
        if self._blocks_of != decoder.generation:
            self._blocks.clear()
            self._blocks_of = decoder.generation
        known = self._blocks.get(block)
        if known is None:
            known = frames.request_headers(self._decoded(block, number), number)
            if decoder.generation == self._blocks_of and len(block) < 256 and len(self._blocks) < 64:
                self._blocks[block] = known
        return known

    def _decoded(self, block: bytes, number: int) -> list[tuple[bytes, bytes]]:
        try:
            fields = self._headers.decode(block)
        except HeadersUnreadable as error:
            raise ConnectionFault(Fault.COMPRESSION_ERROR, str(error)) from None
        if sum(len(name) + len(value) + 32 for name, value in fields) > frames.MAX_HEADER_BYTES:
            raise StreamFault(number, Fault.ENHANCE_YOUR_CALM)
        return fields

    def _take_priority(self, number: int, payload: bytes) -> None:
        if not number:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "PRIORITY needs a stream.")
        if len(payload) != 5:
            raise StreamFault(number, Fault.FRAME_SIZE_ERROR)
        if int.from_bytes(payload[:4], "big") & frames.WIDEST_WINDOW == number:
            raise StreamFault(number, Fault.PROTOCOL_ERROR)

    def _take_reset(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Fault.FRAME_SIZE_ERROR, "RST_STREAM has four bytes.")
        self._require_begun(number)
        self._given_up.discard(number)
        stream = self.streams.get(number)
        if stream is not None:
            self._forget(stream)
            self._resets += 1
            self.request_reset(stream)
            if self._resets > MOST_RESETS:
                raise ConnectionFault(Fault.ENHANCE_YOUR_CALM, "Too many requests are taken back.")

    def _take_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "SETTINGS belong to the connection.")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionFault(Fault.FRAME_SIZE_ERROR, "SETTINGS have six bytes each.")
        if flags & frames.ACK:
            return
        self._settled = True
        known = frames.settings(payload)
        self._write(frame(frames.SETTINGS, frames.ACK, 0))  # before what follows from them
        for name, value in known:
            if name == frames.SET_WINDOW:
                self._change_windows(value)
            elif name == frames.SET_FRAME:
                self._frame_bytes = value

    def _change_windows(self, value: int) -> None:
        change, self._stream_window = value - self._stream_window, value
        for stream in list(self.streams.values()):
            stream.window += change
            if stream.window > frames.WIDEST_WINDOW:
                raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, "A window is too wide.")
            self._flush(stream)

    def _take_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "PING belongs to the connection.")
        if len(payload) != 8:
            raise ConnectionFault(Fault.FRAME_SIZE_ERROR, "PING has eight bytes.")
        if not flags & frames.ACK:
            self._write(frame(frames.PING, frames.ACK, 0, payload))
        elif payload == _GOODBYE and self._leaving:
            self._write(frames.goaway(self._last_stream, Fault.NO_ERROR))
            self._leave_when_done()

    def _take_goaway(self, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "GOAWAY belongs to the connection.")
        if len(payload) < 8:
            raise ConnectionFault(Fault.FRAME_SIZE_ERROR, "GOAWAY has at least eight bytes.")
        self._leaving = True
        self._leave_when_done()

    def _take_window(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Fault.FRAME_SIZE_ERROR, "WINDOW_UPDATE has four bytes.")
        more = int.from_bytes(payload, "big") & frames.WIDEST_WINDOW
        if not number:
            self._window += more
            if not more:
                raise ConnectionFault(Fault.PROTOCOL_ERROR, "A window grows by nothing.")
            if self._window > frames.WIDEST_WINDOW:
                raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, "A window is too wide.")
            for waiting in list(self.streams.values()):
                self._flush(waiting)
            return
        self._require_begun(number)
        stream = self.streams.get(number)
        if stream is not None:
            stream.window += more
            if not more:
                raise StreamFault(number, Fault.PROTOCOL_ERROR)
            if stream.window > frames.WIDEST_WINDOW:
                raise StreamFault(number, Fault.FLOW_CONTROL_ERROR)
            self._flush(stream)

    def _require_begun(self, number: int) -> None:
        if number > self._last_stream or not number & 1:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, f"Stream {number} has not begun.")

    # -- streams and frames out ----------------------------------------------------------------------------------------

    def _end(self, stream: Stream) -> None:
        stream.ended = True
        self.request_ended(stream)

    def _flush(self, stream: Stream) -> None:
        pending, start = stream.pending, 0
        while start < len(pending):
            size = min(len(pending) - start, self._frame_bytes, self._window, stream.window)
            if size <= 0:
                break
            self._window -= size
            stream.window -= size
            self._write(frame(frames.DATA, 0, stream.id, pending[start : start + size]))
            start += size
        self._waiting -= start
        stream.pending = pending[start:]
        if stream.pending:
            return
        if stream.trailers is None:
            if start:
                self.answer_taken(stream)
        elif not stream.answered:
            self._write(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream.id, stream.trailers))
            self._conclude(stream)

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        self._waiting -= len(stream.pending)
        stream.pending = b""
        stream.answered = True

    def _reset(self, number: int, fault: Fault) -> None:
        """Frames that are on their way are not held against the client; how many streams that is about is bounded."""
        self._write(number_frame(frames.RST_STREAM, number, fault))
        if len(self._given_up) >= frames.MAX_STREAMS:
            self._given_up.clear()
        self._given_up.add(number)

    def _conclude(self, stream: Stream) -> None:
        stream.answered = True
        self.streams.pop(stream.id, None)
        if not stream.ended:  # the rest of the request is not wanted
            self._reset(stream.id, Fault.NO_ERROR)
        elif self._resets:
            self._resets -= 1
        if self._leaving and not self.streams:
            self._leave_when_done()

    def _leave_when_done(self) -> None:
        if not self.streams:
            self.finished = True
            if self._out is None:
                self.transport.close()

    def _fail_stream(self, fault: StreamFault) -> None:
        stream = self.streams.get(fault.stream)
        self._reset(fault.stream, fault.fault)
        if stream is not None:
            self._forget(stream)
            self.request_reset(stream)

    def _send_away(self, fault: ConnectionFault) -> None:
        self._write(frames.goaway(self._last_stream, fault.fault, str(fault).encode()))
        self.finished = True
        if self._out is None:
            self.transport.close()

    def _write_out(self) -> None:
        out, self._out = self._out, None
        if out:
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self.finished:
            self.transport.close()

    def _write(self, data: bytes) -> None:
        if self._out is not None:
            self._out.append(data)
        elif not self.finished:
            self.transport.write(data)
