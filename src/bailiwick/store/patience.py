"""Whether to wait for other writers. Who must not be held up asks not to, and comes again by a way that may be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

from bailiwick.core.errors import Unavailable

_patient: ContextVar[bool] = ContextVar("patient", default=True)


class Busy(Unavailable):
    """Another writer is at work, and waiting for it was not wanted. Nothing was changed."""


def is_patient() -> bool:
    """Whether what runs here waits for others; it does unless it said otherwise."""
    return _patient.get()


@contextmanager
def without_waiting() -> Iterator[None]:
    """In this block, what would have to wait for another writer raises Busy instead. The disk is still waited for."""
    token = _patient.set(False)
    try:
        yield
    finally:
        _patient.reset(token)


@contextmanager
def taking_turns(lock: Lock) -> Iterator[None]:
    """Hold the lock. Raises Busy where it is held by somebody else and waiting is not wanted."""
    if not lock.acquire(blocking=is_patient()):
        raise Busy("Another write is under way in this process.")
    try:
        yield
    finally:
        lock.release()
