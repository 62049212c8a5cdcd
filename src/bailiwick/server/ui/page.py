"""One row of the table of pages, and what a view is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import NotFound
from bailiwick.lifecycle.platform import Platform

_LARGEST_NUMBER = 2**31 - 1

Context = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Visit:
    """One authorised look at a page: `query` holds the last value of each parameter, `every` all; `now` is UTC milliseconds."""

    platform: Platform
    actor: Actor
    path: Mapping[str, str]
    query: Mapping[str, str]
    now: int
    every: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def who(self, identity: str) -> str:
        """The name of an identity of the workspace; what is none, or is gone, as it is."""
        if identity and not self._names:
            self._names.update(self.platform.identities.names(self.workspace), local="local")
        return self._names.get(identity, identity)

    @property
    def workspace(self) -> str:
        """The workspace everything shown belongs to."""
        return self.actor.workspace

    def may(self, permission: Permission) -> bool:
        """Whether to offer what needs `permission`; the service decides again when it is used."""
        return permission in self.actor.permissions

    def number(self, name: str) -> int:
        """A positive number in the path. Raises NotFound for anything else."""
        return positive(self.path[name], name)


def positive(text: str, name: str) -> int:
    """The number that `text` writes. Raises NotFound."""
    if text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) <= _LARGEST_NUMBER:
        return int(text)
    raise NotFound.of(name.capitalize(), text[:100])


@dataclass(frozen=True, slots=True)
class Page:
    """`here` is the navigation item that is lit; `refresh` seconds, 0 for a page that does not change."""

    path: str
    template: str
    view: Callable[[Visit], Context]
    here: str
    permission: Permission = Permission.READ
    refresh: int = 0


@dataclass(frozen=True, slots=True)
class Form:
    """A form post: `act` calls one verb and returns where to go on. `permission` is checked before anything is read."""

    path: str
    permission: Permission
    act: Callable[[Visit, Mapping[str, str]], str]
