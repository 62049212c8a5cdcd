"""The connection without sockets: what it says to frames, and what it holds for a client that does not read."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.serving.http2 import connection as http2
from bailiwick.serving.http2 import frames
from bailiwick.serving.http2.connection import Http2Connection, Stream
from bailiwick.serving.http2.frames import Fault, frame
from bailiwick.serving.http2.hpack import literal

HEADERS = b"\x83\x86\x84"  # POST http /
SETTINGS = frame(frames.SETTINGS, 0, 0)


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.data += data

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Echo(Http2Connection):
    """Answers a request with its own body, once it is whole."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: dict[int, bytes] = {}
        self.gone: list[int] = []

    def request_began(self, stream: Stream) -> None:
        self.bodies[stream.id] = b""

    def request_data(self, stream: Stream, data: bytes) -> None:
        self.bodies[stream.id] += data

    def request_ended(self, stream: Stream) -> None:
        self.answer(stream, b"\x88", self.bodies.pop(stream.id), literal(b"end", b"1"))

    def request_reset(self, stream: Stream) -> None:
        self.gone.append(stream.id)


class Client:
    """The other end, as far as a test needs one."""

    def __init__(self, *settings: tuple[int, int]) -> None:
        self.wire = Wire()
        self.server = Echo()
        self.server.connection_made(cast("asyncio.Transport", self.wire))
        self.read = 0
        payload = b"".join(struct.pack(">HI", *each) for each in settings)
        self.send(frames.PREFACE + frame(frames.SETTINGS, 0, 0, payload))
        self.answers()

    def send(self, *data: bytes) -> None:
        self.server.data_received(b"".join(data))

    def answers(self) -> list[tuple[int, int, int, bytes]]:
        """(kind, flags, stream, payload) of every frame since the last time."""
        found = []
        while self.read < len(self.wire.data):
            length = int.from_bytes(self.wire.data[self.read : self.read + 3], "big")
            kind, flags = self.wire.data[self.read + 3], self.wire.data[self.read + 4]
            number = int.from_bytes(self.wire.data[self.read + 5 : self.read + 9], "big")
            found.append((kind, flags, number, self.wire.data[self.read + 9 : self.read + 9 + length]))
            self.read += 9 + length
        return found

    def fault(self) -> Fault:
        """Why it was sent away."""
        last = [answer for answer in self.answers() if answer[0] == frames.GOAWAY][-1]
        assert self.wire.closed
        return Fault(int.from_bytes(last[3][4:8], "big"))


def request(number: int, body: bytes = b"hello") -> bytes:
    return frame(frames.HEADERS, frames.END_HEADERS, number, HEADERS) + frame(
        frames.DATA, frames.END_STREAM, number, body
    )


ANSWER = [
    (frames.HEADERS, frames.END_HEADERS, 1, b"\x88"),
    (frames.DATA, 0, 1, b"hello"),
    (frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, literal(b"end", b"1")),
]


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), max_size=20))
def test_however_the_bytes_are_cut_the_answer_is_the_same(cuts: list[int]) -> None:
    client = Client()
    data, start = request(1), 0
    for cut in cuts:
        client.send(data[start : start + cut])
        start += cut
    client.send(data[start:])
    assert client.answers() == ANSWER


def test_padding_priority_continuation_and_unknown_frames_are_taken() -> None:
    client = Client()
    flags = frames.PADDED | frames.PRIORITISED
    padded = b"\x03" + b"\x00\x00\x00\x00\x10" + HEADERS[:1] + b"\0\0\0"
    client.send(
        frame(99, 0, 0, b"?"),
        frame(frames.HEADERS, flags, 1, padded),
        frame(frames.CONTINUATION, 0, 1, HEADERS[1:2]),
        frame(frames.CONTINUATION, frames.END_HEADERS, 1, HEADERS[2:]),
        frame(frames.PRIORITY, 0, 3, b"\x00\x00\x00\x00\x10"),
        frame(frames.DATA, frames.PADDED, 1, b"\x02hel\0\0"),
        frame(frames.DATA, 0, 1, b"lo"),
        frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, literal(b"x-trailer", b"1")),
    )
    assert client.answers() == ANSWER


@pytest.mark.parametrize("window", [0, 1, 5, 100, 65_535, 1 << 20])
def test_an_answer_waits_for_the_clients_windows(window: int) -> None:
    client, body = Client((frames.SET_WINDOW, window)), b"x" * 70_000
    client.send(request(1, body))
    got, most = b"", 65_535
    for _ in range(100):
        for kind, _, _, payload in client.answers():
            got += payload if kind == frames.DATA else b""
        assert len(got) <= most
        if len(got) == len(body):
            break
        assert client.server.streams
        client.send(
            frames.number_frame(frames.WINDOW_UPDATE, 0, 40_000), frames.number_frame(frames.WINDOW_UPDATE, 1, 40_000)
        )
        most += 40_000
    assert got == body
    assert not client.server.streams


def test_a_window_that_is_made_smaller_may_be_overdrawn_and_grows_again() -> None:
    client = Client((frames.SET_WINDOW, 10))
    client.send(request(1, b"x" * 20))
    client.send(frame(frames.SETTINGS, 0, 0, struct.pack(">HI", frames.SET_WINDOW, 5)))
    client.send(frames.number_frame(frames.WINDOW_UPDATE, 1, 5))
    assert sum(len(payload) for kind, _, _, payload in client.answers() if kind == frames.DATA) == 10
    client.send(frame(frames.SETTINGS, 0, 0, struct.pack(">HI", frames.SET_WINDOW, 50)))
    assert sum(len(payload) for kind, _, _, payload in client.answers() if kind == frames.DATA) == 10
    assert not client.server.streams


def test_frames_are_no_larger_than_the_client_takes() -> None:
    client = Client((frames.SET_WINDOW, 1 << 20), (frames.SET_FRAME, 20_000))
    client.send(frames.number_frame(frames.WINDOW_UPDATE, 0, 1 << 20), request(1, b"x" * 50_000))
    assert [len(payload) for kind, _, _, payload in client.answers() if kind == frames.DATA] == [20_000, 20_000, 10_000]


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (frame(frames.DATA, 0, 1, b"x"), Fault.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 2, HEADERS), Fault.PROTOCOL_ERROR),
        (frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff"), Fault.COMPRESSION_ERROR),
        (frame(frames.HEADERS, 0, 1, HEADERS) + frame(frames.PING, 0, 0, b"x" * 8), Fault.PROTOCOL_ERROR),
        (frame(frames.PING, 0, 0, b"x"), Fault.FRAME_SIZE_ERROR),
        (frame(frames.PING, 0, 1, b"x" * 8), Fault.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, 0, 0, b"x"), Fault.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, 0, 1), Fault.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, 0, 0, struct.pack(">HI", frames.SET_WINDOW, 1 << 31)), Fault.FLOW_CONTROL_ERROR),
        (frame(frames.SETTINGS, 0, 0, struct.pack(">HI", frames.SET_FRAME, 1)), Fault.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, 0, 0, struct.pack(">HI", frames.SET_PUSH, 2)), Fault.PROTOCOL_ERROR),
        (frame(frames.PUSH_PROMISE, 0, 1), Fault.PROTOCOL_ERROR),
        (frame(frames.CONTINUATION, 0, 1), Fault.PROTOCOL_ERROR),
        (frame(frames.GOAWAY, 0, 0, b"x"), Fault.FRAME_SIZE_ERROR),
        (frame(frames.RST_STREAM, 0, 1, b"\0\0\0\0"), Fault.PROTOCOL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), Fault.PROTOCOL_ERROR),
        (frames.number_frame(frames.WINDOW_UPDATE, 0, frames.WIDEST_WINDOW), Fault.FLOW_CONTROL_ERROR),
        (b"\xff\xff\xff\0\0\0\0\0\1", Fault.FRAME_SIZE_ERROR),
        (request(3) + request(1), Fault.STREAM_CLOSED),
    ],
)
def test_a_client_that_breaks_the_protocol_is_sent_away_with_the_reason(sent: bytes, fault: Fault) -> None:
    client = Client()
    client.send(sent)
    assert client.fault() is fault


def headers(*fields: tuple[bytes, bytes]) -> bytes:
    return frame(
        frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, b"".join(literal(*field) for field in fields)
    )


GOOD = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")]


@pytest.mark.parametrize(
    "fields",
    [
        GOOD[:2],
        [*GOOD, (b":path", b"/")],
        [*GOOD, (b":other", b"x")],
        [(b"x", b"y"), *GOOD],
        [*GOOD, (b"X", b"y")],
        [*GOOD, (b"connection", b"close")],
        [*GOOD, (b"te", b"gzip")],
        [*GOOD, (b"content-length", b"5")],
    ],
)
def test_headers_that_are_no_request_end_their_stream_alone(fields: list[tuple[bytes, bytes]]) -> None:
    client = Client()
    client.send(headers(*fields), request(3))
    answers = client.answers()
    assert answers[0] == (frames.RST_STREAM, 0, 1, b"\0\0\0\1")
    assert (frames.DATA, 0, 3, b"hello") in answers


def test_header_blocks_are_bounded() -> None:
    client = Client()
    client.send(frame(frames.HEADERS, 0, 1, HEADERS))
    for _ in range(40):
        if not client.wire.closed:
            client.send(frame(frames.CONTINUATION, 0, 1, b"\0" * 10_000))
    assert client.fault() is Fault.ENHANCE_YOUR_CALM
    client = Client()
    client.send(frame(frames.HEADERS, 0, 1, HEADERS), frame(frames.CONTINUATION, 0, 1))
    assert client.fault() is Fault.ENHANCE_YOUR_CALM
    client = Client()
    small = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"x" * 4000  # once in the table, a byte says it again
    client.send(frame(frames.HEADERS, frames.END_HEADERS, 1, HEADERS + small + b"\xbe" * 100), request(3))
    assert client.answers()[0] == (frames.RST_STREAM, 0, 1, b"\0\0\0\x0b")


def test_one_that_takes_its_requests_back_over_and_over_is_sent_away() -> None:
    client = Client()
    for number in range(1, 2 * http2.MOST_RESETS + 10, 2):
        opened = frame(frames.HEADERS, frames.END_HEADERS, number, HEADERS)
        client.send(opened, frames.number_frame(frames.RST_STREAM, number, Fault.CANCEL))
        if client.wire.closed:
            break
    assert client.fault() is Fault.ENHANCE_YOUR_CALM
    assert len(client.server.gone) == http2.MOST_RESETS + 1


def test_streams_at_a_time_are_bounded_and_the_next_may_be_sent_again() -> None:
    client = Client()
    for number in range(1, 2 * frames.MAX_STREAMS, 2):
        client.send(frame(frames.HEADERS, frames.END_HEADERS, number, HEADERS))
    client.send(frame(frames.HEADERS, frames.END_HEADERS, 2 * frames.MAX_STREAMS + 1, HEADERS))
    assert client.answers() == [(frames.RST_STREAM, 0, 2 * frames.MAX_STREAMS + 1, b"\0\0\0\x07")]


def test_answers_that_nobody_takes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "MOST_WAITING_BYTES", 1_000_000)
    client = Client((frames.SET_WINDOW, 0))
    for number in range(1, 40, 2):
        if not client.wire.closed:
            client.send(request(number, b"x" * 100_000))
    assert client.fault() is Fault.ENHANCE_YOUR_CALM


def test_what_waits_is_forgotten_when_the_client_takes_the_request_back() -> None:
    client = Client((frames.SET_WINDOW, 0))
    client.send(request(1, b"x" * 1000))
    assert client.server._waiting == 1000
    client.send(frames.number_frame(frames.RST_STREAM, 1, Fault.CANCEL))
    assert (client.server._waiting, client.server.gone) == (0, [1])


def test_leaving_lets_what_was_begun_be_answered() -> None:
    client = Client()
    client.send(frame(frames.HEADERS, frames.END_HEADERS, 1, HEADERS))
    client.server.leave()
    goaway, ping = client.answers()
    assert goaway[3] == struct.pack(">II", frames.WIDEST_WINDOW, 0)
    client.send(frame(frames.HEADERS, frames.END_HEADERS, 3, HEADERS))  # it did not know yet
    client.send(frame(frames.PING, frames.ACK, 0, ping[3]))
    assert client.answers()[0][3] == struct.pack(">II", 3, 0)
    closed = [client.wire.closed]
    for number, body in ((1, b"a"), (3, b"b")):
        client.send(frame(frames.DATA, frames.END_STREAM, number, body))
        closed.append(client.wire.closed)
    assert closed == [False, False, True]
    assert [payload for kind, _, _, payload in client.answers() if kind == frames.DATA] == [b"a", b"b"]


def test_a_lost_connection_tells_what_it_carried() -> None:
    client = Client()
    client.send(frame(frames.HEADERS, frames.END_HEADERS, 1, HEADERS))
    client.server.connection_lost(None)
    assert client.server.gone == [1]


def test_another_protocol_is_refused() -> None:
    wire = Wire()
    server = Echo()
    server.connection_made(cast("asyncio.Transport", wire))
    server.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert wire.closed
    assert b"This is not HTTP/2." in wire.data


def test_both_ends_windows_are_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "REFILL_BYTES", 50)
    client: Any = Client()
    client.send(frame(frames.HEADERS, frames.END_HEADERS, 1, HEADERS))
    client.send(frame(frames.DATA, 0, 1, b"x" * 40), frame(frames.DATA, 0, 1, b"x" * 40))
    updates = [(number, payload) for kind, _, number, payload in client.answers() if kind == frames.WINDOW_UPDATE]
    assert updates == [(0, b"\0\0\0\x50"), (1, b"\0\0\0\x50")]


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_answered_or_sent_away(data: bytes) -> None:
    client = Client()
    client.send(data)
    client.send(data)
    client.answers()
