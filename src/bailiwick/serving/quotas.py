"""What each client may still ask for: token buckets that all workers of a machine share.

A client's connections are spread over workers, so a worker that counted alone would give it as many quotas as there are
workers. The buckets are a table of fixed size in a file that all map. It needs no care: what is lost is a full bucket.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from bailiwick.endpoints.model import Quota

WAYS = 8
"""Buckets that a client may have its place among; where all are taken, that of whoever was silent longest is taken over."""

SETS = 2048
_SECOND_NS = 1_000_000_000
_BUCKET = struct.Struct("<QdQ")  # who, tokens, when they were so many
_SET = struct.Struct("<" + "QdQ" * WAYS)
_BYTES = SETS * _SET.size


class Quotas:
    """Without a folder they are this process's own. Belongs to the thread that answers."""

    def __init__(self, folder: Path | None = None) -> None:
        self._file = -1
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / "quotas", os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(self._file, _BYTES)
        self._table = mmap.mmap(self._file, _BYTES)

    def close(self) -> None:
        """Let go of the file."""
        self._table.close()
        if self._file >= 0:
            os.close(self._file)

    def take(self, endpoint: str, quota: Quota, client: bytes, now: int) -> float:
        """Take one token. 0 when there was one, else the seconds until there is.

        `now` is in `perf_counter_ns`, which on Linux all processes of a machine share, and which begins anew with it.
        """
        digest = blake2b(endpoint.encode() + b"\0" + client, digest_size=8).digest()
        who = int.from_bytes(digest, "little") or 1
        start = who % SETS * _SET.size
        with self._locked():
            held = _SET.unpack_from(self._table, start)
            place, tokens, since = _place(held, who, now)
            if place < 0:
                place, tokens, since = _longest_silent(held), float(quota.burst), now
            tokens = min(quota.burst, tokens + (now - since) / _SECOND_NS * quota.per_second)
            short = max(0.0, 1 - tokens)
            left = tokens if short else tokens - 1
            _BUCKET.pack_into(self._table, start + place * _BUCKET.size, who, left, now)
        return short / quota.per_second

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The kernel lets go of the lock of whoever dies with it."""
        if self._file < 0:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _place(held: tuple[float, ...], who: int, now: int) -> tuple[int, float, int]:
    """Where the client's bucket is, and what it held when; -1 where it has none, or one from before the machine started."""
    for place in range(WAYS):
        if held[place * 3] == who:
            since = int(held[place * 3 + 2])
            return (place, held[place * 3 + 1], since) if since <= now + _SECOND_NS else (-1, 0.0, 0)
    return -1, 0.0, 0


def _longest_silent(held: tuple[float, ...]) -> int:
    return min(range(WAYS), key=lambda place: held[place * 3 + 2] if held[place * 3] else -1)
