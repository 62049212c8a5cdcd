"""One measurement at a time on a machine: two would measure each other."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def measuring_alone(home: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Nobody else with this home measures while the block lasts; `waiting` is called once where somebody does now.

    The lock goes with the process, however it ends.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".measuring").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
