"""Frames of HTTP/2 as bytes, and what the headers of a request must be (RFC 9113)."""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_STREAMS = 1024
MAX_FRAME_BYTES = 1 << 17
MAX_HEADER_BYTES = 65_536
WIDEST_WINDOW = (1 << 31) - 1
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME_BYTES = 16_384
LAST_FRAME_BYTES = (1 << 24) - 1
HEAD_BYTES = 9

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20
SET_PUSH, SET_STREAMS, SET_WINDOW, SET_FRAME, SET_HEADERS = 0x2, 0x3, 0x4, 0x5, 0x6

head = struct.Struct(">IBI").pack
"""A frame's head from its length and kind together, its flags and its stream."""

_CONNECTION_HEADERS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_REQUEST_PSEUDO = frozenset({b":method", b":path", b":scheme", b":authority"})
_NEEDED_PSEUDO = frozenset({b":method", b":path", b":scheme"})


class Fault(IntEnum):
    """Error codes of RFC 9113, section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """The client broke the protocol so that the connection cannot go on."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class StreamFault(Exception):
    """The client broke the protocol on one stream."""

    def __init__(self, stream: int, fault: Fault) -> None:
        super().__init__(stream, fault)
        self.stream = stream
        self.fault = fault


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """The whole frame."""
    return head(len(payload) << 8 | kind, flags, stream) + payload


def number_frame(kind: int, stream: int, number: int) -> bytes:
    """A frame whose payload is one number of four bytes: RST_STREAM, WINDOW_UPDATE."""
    return frame(kind, 0, stream, number.to_bytes(4, "big"))


def goaway(last: int, fault: Fault, said: bytes = b"") -> bytes:
    """The last stream that is answered, and why no more are."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, fault) + said)


OPENING = b"".join(
    (
        frame(
            SETTINGS,
            0,
            0,
            b"".join(
                struct.pack(">HI", *setting)
                for setting in (
                    (SET_STREAMS, MAX_STREAMS),
                    (SET_WINDOW, WIDEST_WINDOW),
                    (SET_FRAME, MAX_FRAME_BYTES),
                    (SET_HEADERS, MAX_HEADER_BYTES),
                )
            ),
        ),
        number_frame(WINDOW_UPDATE, 0, WIDEST_WINDOW - DEFAULT_WINDOW),
    )
)
"""What a server says first."""


def settings(payload: bytes) -> list[tuple[int, int]]:
    """(name, value) of each setting that is known here. Raises ConnectionFault for values that may not be."""
    found = [(name, value) for name, value in struct.iter_unpack(">HI", payload)]
    for name, value in found:
        if name == SET_WINDOW and value > WIDEST_WINDOW:
            raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, "A window is too wide.")
        if name == SET_FRAME and not DEFAULT_FRAME_BYTES <= value <= LAST_FRAME_BYTES:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, f"Frames cannot have up to {value} bytes.")
        if name == SET_PUSH and value > 1:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1.")
    return found


def unpadded(payload: bytes) -> bytes:
    """What is left of a padded frame. Raises ConnectionFault."""
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(Fault.PROTOCOL_ERROR, "There is more padding than frame.")
    return payload[1 : len(payload) - payload[0]]


def unprioritised(payload: bytes, number: int) -> tuple[bytes, bool]:
    """A header block without its priority, and whether that names the stream itself, which is an error of the stream."""
    if len(payload) < 5:
        raise ConnectionFault(Fault.FRAME_SIZE_ERROR, "HEADERS are too short for their priority.")
    return payload[5:], int.from_bytes(payload[:4], "big") & WIDEST_WINDOW == number


def request_headers(fields: list[tuple[bytes, bytes]], number: int) -> dict[bytes, bytes]:
    """Fields by name. Raises StreamFault for what is not a request (section 8)."""
    headers: dict[bytes, bytes] = {}
    regular = False
    for name, value in fields:
        if name[:1] == b":":
            if regular or name in headers or name not in _REQUEST_PSEUDO:
                raise StreamFault(number, Fault.PROTOCOL_ERROR)
        else:
            regular = True
            if name != name.lower() or name in _CONNECTION_HEADERS or (name == b"te" and value != b"trailers"):
                raise StreamFault(number, Fault.PROTOCOL_ERROR)
        headers[name] = value
    if not headers.keys() >= _NEEDED_PSEUDO or not headers[b":path"]:
        raise StreamFault(number, Fault.PROTOCOL_ERROR)
    return headers
