"""MLflow's error codes, and the one table from our errors to them."""

from __future__ import annotations

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
from bailiwick.server.mlflow.words import in_mlflow_words

INVALID = "INVALID_PARAMETER_VALUE"
MISSING = "RESOURCE_DOES_NOT_EXIST"
EXISTS = "RESOURCE_ALREADY_EXISTS"
BAD_REQUEST = "BAD_REQUEST"
NO_ENDPOINT = "ENDPOINT_NOT_FOUND"
NOT_OFFERED = "NOT_IMPLEMENTED"
INTERNAL = "INTERNAL_ERROR"
INVALID_STATE = "INVALID_STATE"

STATUS = {
    INVALID: 400,
    EXISTS: 400,
    BAD_REQUEST: 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    MISSING: 404,
    NO_ENDPOINT: 404,
    "RESOURCE_EXHAUSTED": 429,
    INTERNAL: 500,
    INVALID_STATE: 409,
    "DATA_LOSS": 500,
    NOT_OFFERED: 501,
    "TEMPORARILY_UNAVAILABLE": 503,
}

CODES: dict[type[BailiwickError], str] = {
    InvalidInput: INVALID,
    LimitExceeded: INVALID,
    Conflict: INVALID,
    CheckFailed: INVALID,
    NotFound: MISSING,
    AlreadyExists: EXISTS,
    Unauthenticated: "UNAUTHENTICATED",
    NotAllowed: "PERMISSION_DENIED",
    Unavailable: "TEMPORARILY_UNAVAILABLE",
    Corrupted: "DATA_LOSS",
    BailiwickError: INTERNAL,
}


class MlflowError(Exception):
    """An answer whose code or wording MLflow's clients depend on."""

    def __init__(self, code: str, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUS[code]


def as_mlflow(error: BailiwickError) -> MlflowError:
    """Our error in MLflow's terms, by its nearest listed class."""
    code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    return MlflowError(code, in_mlflow_words(error) or str(error))
