"""One row of the route table, and what a handler is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from msgspec import Struct
from starlette.requests import Request

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import NotFound
from bailiwick.lifecycle.platform import Platform

Q = TypeVar("Q")
B = TypeVar("B")
_PARAMETER = re.compile(r"{(\w+)}")
_LARGEST_NUMBER = 2**31 - 1


class Access(Enum):
    """The explicit word for a route that anyone may call."""

    PUBLIC = "public"


PUBLIC = Access.PUBLIC


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No query parameters, or no body, are taken."""


NOTHING = Nothing()


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """One authorised request: who asks, what is in the path, and the validated query and body."""

    platform: Platform
    actor: Actor
    path: Mapping[str, str]
    query: Q
    body: B
    request: Request

    @property
    def workspace(self) -> str:
        """The workspace the actor acts in; every reading verb is asked for this one."""
        return self.actor.workspace

    def number(self, name: str) -> int:
        """A version number in the path; anything that cannot be one names no record, hence NotFound."""
        text = self.path[name]
        if text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) <= _LARGEST_NUMBER:
            return int(text)
        raise NotFound.of(name.capitalize(), text[:100])


Handler = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Route:
    """`permission` is checked before anything is parsed. `response` is what the handler returns; None means it answers itself."""

    method: str
    path: str
    permission: Permission | Access | None
    handler: Handler
    summary: str
    response: Any = None
    query: type[Struct] = Nothing
    body: type[Struct] = Nothing
    status: int = 200

    @property
    def parameters(self) -> list[str]:
        """Names of the path's parameters in order."""
        return _PARAMETER.findall(self.path)

    @property
    def name(self) -> str:
        """The handler's name: the operation id, unique in the table."""
        return str(self.handler.__name__)


def check_routes(routes: Iterable[Route]) -> None:
    """Refuse a table in which a route has no permission, or two rows share a path or a name."""
    seen: set[object] = set()
    for route in routes:
        if not isinstance(route.permission, Permission | Access):
            raise AssertionError(  # noqa: TRY004 - a row of our own table, not a caller's argument
                f"{route.method} {route.path} needs a permission, or PUBLIC in so many words"
            )
        for key in ((route.method, route.path), route.name):
            if key in seen:
                raise AssertionError(f"{key} is in the route table twice")
            seen.add(key)
