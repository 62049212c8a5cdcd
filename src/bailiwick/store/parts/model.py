"""What a store must do to take an object in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

MAX_PARTS = 10_000
"""As many as S3 takes; Azure takes more."""


@dataclass(frozen=True, slots=True)
class PartAddress:
    """Where one part is PUT, with headers that must be sent along; numbers begin with 1."""

    number: int
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that the store has taken, with the ETag it answered, if it answers any."""

    number: int
    etag: str = ""


class PartedStore(Protocol):
    """A store that joins parts. Raises Unavailable where it does not answer or refuses."""

    def begin(self, key: str) -> str:
        """Begin an object; returns what the store calls the upload."""

    def address(self, key: str, upload: str, number: int, *, seconds: int) -> PartAddress:
        """Where anyone can send one part for a while."""

    def complete(self, key: str, upload: str, parts: Sequence[SentPart]) -> None:
        """Make the object of these parts, in order, in place of one that is there.

        Raises InvalidInput for parts that were not sent or cannot be joined, NotFound for an upload that is over.
        """

    def abort(self, key: str, upload: str) -> None:
        """Let the store forget the parts. One that is over is no error."""
