"""One table from error class to HTTP status, and the one shape of an error body."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from bailiwick.core.errors import (
    AlreadyExists,
    BailiwickError,
    CheckFailed,
    Conflict,
    Corrupted,
    InvalidInput,
    LimitExceeded,
    NotAllowed,
    NotFound,
    Unauthenticated,
    Unavailable,
)

STATUS: dict[type[BailiwickError], int] = {
    InvalidInput: 400,
    Unauthenticated: 401,
    NotAllowed: 403,
    NotFound: 404,
    AlreadyExists: 409,
    Conflict: 409,
    LimitExceeded: 413,
    CheckFailed: 422,
    Corrupted: 500,
    Unavailable: 503,
    BailiwickError: 500,
}

CODES = {404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type", 500: "internal"}


class ErrorDetail(Struct, frozen=True):
    """`code` is stable, `message` is for people, `hint` says what to do next, `findings` lists reasons of a failed check."""

    code: str
    message: str
    hint: str = ""
    findings: tuple[str, ...] | UnsetType = UNSET


class ErrorBody(Struct, frozen=True):
    """What every failure returns."""

    error: ErrorDetail


def status_of(error: BailiwickError) -> int:
    """The status of an error by its nearest listed class."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def detail_of(error: BailiwickError) -> ErrorDetail:
    """What a client is told of an error."""
    findings = error.findings if isinstance(error, CheckFailed) else UNSET
    return ErrorDetail(error.code, error.message, error.hint, findings)


def error_response(status: int, detail: ErrorDetail, headers: dict[str, str] | None = None) -> Response:
    """The JSON body of a failure; a 401 says which scheme would help."""
    sent = dict(headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        sent["WWW-Authenticate"] = 'Bearer realm="bailiwick"'
    return Response(msgspec.json.encode(ErrorBody(detail)), status, sent, "application/json")


def http_detail(status: int, message: str) -> ErrorDetail:
    """An error that HTTP itself raises: no such path, method not allowed."""
    return ErrorDetail(CODES.get(status, "http_error"), message)


UNEXPECTED = ErrorDetail(
    "internal", "Something went wrong that should not have.", "The control log says what; please report it."
)
