"""What webhooks need from those who know the domains: how a journal entry is told in a format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bailiwick.store.journal.model import Entry


@dataclass(frozen=True, slots=True)
class Announcement:
    """One event and the exact text of its body."""

    event: str
    body: str


class EventFormat(Protocol):
    """Turns journal entries into what receivers of one format expect.

    * `announce` gives no announcement for an entry that the format does not tell of, and never two with one event name.
      It may read records, and must live with records that are gone by now. The same entry gives the same announcements
      for as long as those records do not change. It may be called from many threads at once.
    * A subscription is a text the format has checked; `matches` says whether an event falls under it.
    * `headers` are those of one attempt; they differ from attempt to attempt in the time that is signed only.
    """

    name: str
    content_type: str

    def check_subscription(self, subscription: str) -> str:
        """The subscription in its one spelling. Raises InvalidInput with the choices for one that nothing can match."""
        ...

    def matches(self, subscription: str, event: str) -> bool:
        """Whether `event` falls under a checked subscription."""
        ...

    def announce(self, entry: Entry) -> Sequence[Announcement]:
        """What to tell of an entry that has its place in the tree."""
        ...

    def example(self, subscription: str, workspace: str, time: int) -> Announcement:
        """Something to test a receiver with. Raises InvalidInput as `check_subscription` does."""
        ...

    def headers(self, *, delivery: str, time: int, body: bytes, secret: str) -> Mapping[str, str]:
        """Identity, time and, with a secret, the signature of one attempt at `time` (UTC milliseconds)."""
        ...
