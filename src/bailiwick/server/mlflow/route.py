"""One row of the MLflow route table, and what a handler is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from starlette.requests import Request

from bailiwick.core.actor import Actor, Permission
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.api.route import Access
from bailiwick.server.mlflow.message import Message

M = TypeVar("M", bound=Message)

PREFIXES = ("/api", "/ajax-api")
MAX_MESSAGE_BYTES = 32 << 20
"""Profiles of datasets may have 16 MiB, and a request may have several."""


class Empty(Message):
    """A request without fields."""


@dataclass(frozen=True, slots=True)
class MlflowCall(Generic[M]):
    """One authorised request."""

    platform: Platform
    actor: Actor
    message: M
    path: Mapping[str, str]
    request: Request
    threads: Executor
    at_once: bool = False

    @property
    def base_url(self) -> str:
        """How the client reached this server, without a trailing slash."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"

    @property
    def workspace(self) -> str:
        """The workspace the actor acts in."""
        return self.actor.workspace


@dataclass(frozen=True, slots=True)
class MlflowRoute:
    """`path` follows `/api/<version>`, or is the whole path where `version` is empty; a parameter is `{name}`, or
    `{name:path}` for the rest of the path.

    The handler returns what is sent as JSON: a dict, whose None values are left out at every depth, or, where speed
    counts, a msgspec Struct or the encoded bytes; where the status is not 200, a Response. A `raw` one is async, is given
    Starlette's request as well, reads the body itself and returns a Response. A `prompt` one reads or changes a few rows by
    their key, and is called without changing threads where the database is a file of this machine and nobody is writing.
    One that `begins` has, for many clients at once, a way that waits for nothing: where `call.at_once` is true it returns
    a Future of what is done, and an empty object is answered.
    """

    method: str
    path: str
    message: type[Message]
    permission: Permission | Access
    handler: Callable[..., Any]
    version: str = "2.0"
    raw: bool = False
    prompt: bool = False
    begins: bool = False
    max_bytes: int = MAX_MESSAGE_BYTES

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path it is served under."""
        if not self.version:
            return (self.path,)
        return tuple(f"{prefix}/{self.version}{self.path}" for prefix in PREFIXES)
