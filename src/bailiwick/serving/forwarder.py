"""From the spools of a machine that has no work process to the control plane, which has one.

Segments are sent in order and deleted once all of them is there; what is sent twice is taken once. A control plane that
is away holds nothing up but the deleting: a full spool makes the worker answer 503, as it would beside a slow shipper.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bailiwick.core.errors import BailiwickError, Conflict, NotAllowed
from bailiwick.serving.control import ControlClient
from bailiwick.serving.streams import is_alive, segments, streams

PART_BYTES = 700_000
PAUSE_SECONDS = 0.5
LAST_DELAY_SECONDS = 10.0
FAREWELL_SECONDS = 10.0
"""How long a worker that ends goes on sending what it has recorded."""

_log = logging.getLogger(__name__)


class Forwarder:
    """A background thread; of several workers on a home, one forwards for all. It ends where the home is control's own."""

    def __init__(self, spool_root: Path, control: ControlClient) -> None:
        self._root = spool_root
        self._control = control
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="prediction-forwarder", daemon=True)
        self._sent: dict[Path, int] = {}
        self._needless = False

    def start(self) -> None:
        """Forward from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Send what is left, also of the worker's own stream, which must be closed; at most 10 s."""
        self._stopping.set()
        self._thread.join(FAREWELL_SECONDS)
        deadline = time.monotonic() + FAREWELL_SECONDS
        while not self._needless and time.monotonic() < deadline and any(streams(self._root)):
            try:
                self.forward(until=deadline)
                if any(is_alive(folder) for folder in streams(self._root)):
                    return  # other workers are left to do it
            except BailiwickError as error:
                _log.warning("predictions of this worker are sent when the next one starts: %s", error)
                return

    def forward(self, until: float = float("inf")) -> int:
        """Send everything spooled so far; returns bytes sent. Raises what the control plane raises."""
        if not self._root.is_dir():
            return 0
        with _only_one(self._root) as claimed:
            if not claimed:
                return 0
            # The living first: where the home is control's own, theirs is refused, and nothing dead is touched.
            folders = sorted(streams(self._root), key=lambda folder: not is_alive(folder))
            return sum(self._forward_stream(folder, until) for folder in folders)

    def _follow(self) -> None:
        delay = PAUSE_SECONDS
        while not self._stopping.wait(delay * random.uniform(0.7, 1.0)):  # noqa: S311 - jitter
            try:
                self.forward()
                delay = PAUSE_SECONDS
            except Conflict:
                self._needless = True
                _log.info("predictions are shipped from this home; nothing needs to be forwarded")
                return
            except NotAllowed as error:
                _log.error("predictions cannot be forwarded: %s", error)
                delay = LAST_DELAY_SECONDS
            except (BailiwickError, OSError) as error:
                _log.warning("predictions are not forwarded for now: %s", error)
                delay = min(delay * 2, LAST_DELAY_SECONDS)

    def _forward_stream(self, folder: Path, until: float) -> int:
        dead = not is_alive(folder)  # asked first: what a live worker writes after this is sent next time
        held, sent = segments(folder), 0
        for place, (start, path) in enumerate(held):
            whole = dead or place + 1 < len(held)
            sent += self._forward_segment(folder.name, start, path, until)
            if time.monotonic() > until:
                return sent
            if whole:
                path.unlink(missing_ok=True)
                self._sent.pop(path, None)
        if dead:
            self._control.finish_spool(folder.name)
            shutil.rmtree(folder, ignore_errors=True)
        return sent

    def _forward_segment(self, stream: str, start: int, path: Path, until: float) -> int:
        """Until all of it is there. The control plane says what it has, which after a restart may be nothing."""
        sent, begins = 0, self._sent.get(path, 0)
        with path.open("rb") as file:
            while time.monotonic() < until:
                file.seek(begins)
                data = file.read(PART_BYTES)
                if not data:
                    break
                there = self._control.send_spool(stream, start, begins=begins, data=data)
                sent += max(0, there - begins)
                begins = self._sent[path] = there
        return sent


@contextmanager
def _only_one(root: Path) -> Iterator[bool]:
    """Whether this is the one forwarder of a machine for now."""
    descriptor = os.open(root / ".forwarder", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
