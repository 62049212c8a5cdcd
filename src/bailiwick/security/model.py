"""Identities and tokens as records. The secret of a token is in none of them."""

from __future__ import annotations

from dataclasses import dataclass

from bailiwick.core.actor import Permission
from bailiwick.security.roles import permissions_of

KINDS = ("person", "service")


@dataclass(frozen=True, slots=True)
class Identity:
    """Someone, or some program, who acts in one workspace. `id` is what the journal keeps; `name` is unique in the workspace."""

    id: str
    workspace: str
    name: str
    kind: str
    roles: tuple[str, ...]
    created: int
    created_by: str

    @property
    def permissions(self) -> frozenset[Permission]:
        """What its roles allow together."""
        return permissions_of(self.roles)


@dataclass(frozen=True, slots=True)
class Token:
    """The handle of an API token: enough to list and revoke it, useless for acting. Times are UTC milliseconds."""

    id: str
    workspace: str
    identity: str
    note: str
    created: int
    expires: int
    revoked: int | None = None

    def valid_at(self, time: int) -> bool:
        """Whether it proves its identity at `time`; the moment of expiry is already too late."""
        return self.revoked is None and time < self.expires
