"""What may look at every answer of a worker: the access log and traces. Nobody looks unless asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Seen(NamedTuple):
    """One answered inference request. `endpoint`, `variant` and `id` are "" and `version` 0 where it was refused before they were known."""

    status: int
    ended_ns: int  # since 1970
    latency_us: int
    headers: Mapping[bytes, bytes]
    endpoint: str = ""
    variant: str = ""
    version: int = 0
    id: str = ""
    rows: int = 0
    error: str = ""


class Witness(Protocol):
    """Called on the thread that answers, after the answer is made: must neither wait nor raise."""

    def see(self, seen: Seen) -> None:
        """Take note."""
        ...

    def tick(self) -> None:
        """Called once a second."""
        ...

    def close(self) -> None:
        """Nothing is answered any more: write what is still held."""
        ...


class Witnesses:
    """Several as one."""

    def __init__(self, each: Sequence[Witness]) -> None:
        self._each = tuple(each)

    def __bool__(self) -> bool:
        return bool(self._each)

    def see(self, seen: Seen) -> None:
        """Tell all."""
        for witness in self._each:
            witness.see(seen)

    def tick(self) -> None:
        """Tell all."""
        for witness in self._each:
            witness.tick()

    def close(self) -> None:
        """Close all."""
        for witness in self._each:
            witness.close()


def trace_of(headers: Mapping[bytes, bytes]) -> tuple[str, str, bool] | None:
    """The caller's trace, span and whether it is sampled, of a W3C `traceparent` (Trace Context, section 3.2); None without a valid one."""
    parts = headers.get(b"traceparent", b"").decode("latin-1").split("-")
    if len(parts) < 4 or (parts[0] == "00" and len(parts) != 4):
        return None
    version, trace, span, flags = parts[:4]
    if any(len(part) != size or not _is_hex(part) for part, size in zip(parts, (2, 32, 16, 2), strict=False)):
        return None
    if version == "ff" or not int(trace, 16) or not int(span, 16):
        return None
    return trace, span, bool(int(flags, 16) & 1)


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdef" for character in text)
