"""Story: versions whose files lie where they must be read first are read beside the other duties, one after another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from bailiwick.core.actor import system_actor
from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.measuring import Unread
from bailiwick.registry.model import ContentState

AT_ONCE = 20

log = logging.getLogger("bailiwick.measuring")


def measure(platform: Platform, unread: Sequence[Unread]) -> list[str]:
    """Read these versions' files; one sentence for each of which something is known now. One that fails holds up no other."""
    done = []
    for each in unread:
        try:
            found = platform.registry.measure(system_actor(each.workspace, "registry"), each.model, each.number)
        except BailiwickError as error:  # it may have been renamed or purged since it was listed
            log.warning("%s version %d: %s", each.model, each.number, error)
            continue
        if found.content_state != ContentState.PENDING:
            done.append(f"{each.model} version {each.number}: its files are {found.content_state}")
    return done


class Measurer:
    """Reads a few versions at a time on a thread of its own: files can be large, and windows and rollouts do not wait."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._after: Unread | None = None
        self._thread: threading.Thread | None = None
        self._done: list[str] = []

    def step(self) -> list[str]:
        """What was finished since the last step; begins the next few where none are being read."""
        if self._thread is not None and self._thread.is_alive():
            return []
        done, self._done = self._done, []
        unread = self._platform.registry.unread(after=self._after, limit=AT_ONCE)
        self._after = unread[-1] if len(unread) == AT_ONCE else None
        if unread:
            self._thread = threading.Thread(target=self._measure, args=(unread,), name="measuring", daemon=True)
            self._thread.start()
        return done

    def _measure(self, unread: Sequence[Unread]) -> None:
        try:
            self._done = measure(self._platform, unread)
        except Exception:  # a thread's edge: what was not read is read with a later step
            log.exception("measuring failed")
