"""The access log: one JSON line for each inference request, written once a turn of many and never waited for."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import orjson

from bailiwick.core.errors import Unavailable
from bailiwick.serving.witness import Seen, trace_of

HELD_LINES = 256
STANDARD_OUTPUT = "-"

_log = logging.getLogger(__name__)


class AccessLog:
    """Lines of one worker. Several workers may write one file: each write is one append of whole lines.

    A file that is moved away (logrotate) is opened anew within a second. Where the disk refuses, lines are dropped and
    counted; predictions are recorded elsewhere, and with more care.
    """

    def __init__(self, path: str, worker: int) -> None:
        self._path = None if path == STANDARD_OUTPUT else Path(path)
        self._worker = worker
        self._held: list[bytes] = []
        self._file = self._open()
        self.dropped = 0

    def see(self, seen: Seen) -> None:
        """Hold a line; write when there are many."""
        self._held.append(_line(seen, self._worker))
        if len(self._held) >= HELD_LINES:
            self._write()

    def tick(self) -> None:
        """Write what is held, into the file that has the name now."""
        if self._path is not None and not _is_open_at(self._file, self._path):
            self._write()
            os.close(self._file)
            self._file = self._open()
        self._write()

    def close(self) -> None:
        """Write what is held."""
        self._write()
        if self._path is not None:
            os.close(self._file)

    def _open(self) -> int:
        if self._path is None:
            return 1
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise Unavailable(f"The access log {self._path} cannot be opened: {error.strerror}.") from error

    def _write(self) -> None:
        if not self._held:
            return
        lines, self._held = b"".join(self._held), []
        try:
            written = os.write(self._file, lines)
        except OSError as error:
            _log.warning("lines of the access log were dropped: %s", error)
            written = 0
        if written < len(lines):
            self.dropped += lines.count(b"\n", written)


def _is_open_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _line(seen: Seen, worker: int) -> bytes:
    moment = datetime.fromtimestamp((seen.ended_ns - seen.latency_us * 1000) / 1e9, UTC)
    line: dict[str, object] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "worker": worker,
        "endpoint": seen.endpoint,
        "variant": seen.variant,
        "version": seen.version,
        "id": seen.id,
        "rows": seen.rows,
        "status": seen.status,
        "latency_us": seen.latency_us,
    }
    if seen.error:
        line["error"] = seen.error[:500].encode("utf-8", "replace").decode()
    agent = seen.headers.get(b"user-agent")
    if agent:
        line["agent"] = agent[:200].decode("latin-1")
    trace = trace_of(seen.headers)
    if trace:
        line["trace"] = trace[0]
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
