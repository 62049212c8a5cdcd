"""Story: files that clients sent past the server are read once, so that their digests are known."""

from __future__ import annotations

import logging
import threading

from bailiwick.core.actor import Actor
from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.platform import Platform

log = logging.getLogger("bailiwick.digesting")


class DigestReader:
    """Reads in a thread of its own: a file may take minutes, and nothing else may wait for it."""

    def __init__(self, platform: Platform, actor: Actor) -> None:
        self._platform = platform
        self._actor = actor
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Begin to read what is waiting, unless that is under way."""
        if self._thread is not None and self._thread.is_alive():
            return
        if self._platform.artifacts.has_unread(self._actor.workspace):
            self._thread = threading.Thread(target=self._read, name="digest reader", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Until what was begun is over."""
        if self._thread is not None:
            self._thread.join()

    def _read(self) -> None:
        try:
            count = self._platform.artifacts.read_unread(self._actor)
        except BailiwickError as error:  # the next look begins again
            log.warning("digests are not known yet: %s", error)
        else:
            log.info("read %d artifacts for their digests", count)
