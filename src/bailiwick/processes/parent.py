"""Children must not outlive a killed supervisor: each watches a pipe whose other end only the supervisor holds."""

from __future__ import annotations

import os
import signal
import threading

PARENT_PIPE = "BAILIWICK_PARENT_PIPE"


def stop_with_parent() -> None:
    """When the supervisor is gone (the pipe of `BAILIWICK_PARENT_PIPE` reads end-of-file), stop as on SIGTERM."""
    descriptor = os.environ.pop(PARENT_PIPE, "")
    if not descriptor:
        return
    threading.Thread(target=_wait_for_end, args=(int(descriptor),), name="parent-watch", daemon=True).start()


def _wait_for_end(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
