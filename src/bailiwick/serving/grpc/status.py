"""How a call ends, in the words of gRPC."""

from __future__ import annotations

from enum import IntEnum

RETRY_MS = 1000
"""When a client that was turned away may try again."""


class Code(IntEnum):
    """https://github.com/grpc/grpc/blob/master/doc/statuscodes.md"""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_BY_HTTP = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    408: Code.DEADLINE_EXCEEDED,
    409: Code.FAILED_PRECONDITION,
    412: Code.FAILED_PRECONDITION,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    422: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}


class CallFailed(Exception):
    """The call ends with a status that is not OK. `retry_ms` tells the client when to try again."""

    def __init__(self, code: Code, message: str, *, retry_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_ms = retry_ms


def failed(status: int, message: str) -> CallFailed:
    """What an HTTP status of the handler is here."""
    code = _BY_HTTP.get(status, Code.INTERNAL)
    retry = RETRY_MS if code is Code.UNAVAILABLE or status == 429 else None
    return CallFailed(code, message, retry_ms=retry)


def unforeseen() -> CallFailed:
    """The server's own fault; what it was is in its log."""
    return CallFailed(Code.INTERNAL, "The server failed; the failure is in its log.")
