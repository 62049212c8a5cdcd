"""From spools to the prediction log: exactly once, whoever dies when.

Each Delta commit carries (stream, offset): everything of that endpoint up to the offset is in the table. After a
crash the stream is read again from its first segment and each table takes only what is past its own offset.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from bailiwick.core.errors import Corrupted
from bailiwick.core.ids import new_id
from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.model import is_endpoint_name
from bailiwick.endpoints.recording import Pseudonyms
from bailiwick.serving.frames import (
    SHADOW,
    Definition,
    Outcomes,
    Prediction,
    Refusal,
    first_frame_bytes,
    read_frames,
    read_payload,
)
from bailiwick.serving.protocol import Refused
from bailiwick.serving.rows import OutcomeRows, PredictionRows, RefusalRows
from bailiwick.serving.streams import is_alive, segments, streams
from bailiwick.store import faults

CHUNK_BYTES = 16 << 20
"""Spool bytes read and committed at a time: bounds memory, and Delta gets few large files instead of many small ones."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stream:
    """How far a stream has been read, and the definitions met on the way."""

    folder: Path
    position: int
    definitions: dict[int, Definition] = field(default_factory=dict)
    committed: dict[str, int] = field(default_factory=dict)  # by table


class _Rows:
    """Rows of one chunk, by the table that they go to."""

    def __init__(self, log: PredictionLog, pseudonyms: Pseudonyms | None) -> None:
        self._log = log
        self._predictions: defaultdict[str, PredictionRows] = defaultdict(lambda: PredictionRows(pseudonyms))
        self._shadows: defaultdict[str, PredictionRows] = defaultdict(lambda: PredictionRows(pseudonyms))
        self._outcomes: defaultdict[str, OutcomeRows] = defaultdict(OutcomeRows)
        self._refusals: defaultdict[str, RefusalRows] = defaultdict(RefusalRows)

    @property
    def count(self) -> int:
        """Rows taken so far."""
        parts = (self._predictions, self._shadows, self._outcomes, self._refusals)
        return sum(rows.count for part in parts for rows in part.values())

    def table_of(self, read: Prediction | Outcomes | Refusal, definition: Definition | None) -> str:
        """Name of the table that a frame belongs to."""
        if isinstance(read, Prediction):
            name = _of(definition)
            return self._log.shadows_table(name) if _is_shadow(definition) else self._log.predictions_table(name)
        return self._log.outcomes_table(read.endpoint) if isinstance(read, Outcomes) else self._refused(read.endpoint)

    def add(self, read: Prediction | Outcomes | Refusal, definition: Definition | None) -> None:
        """Raises Refused where the body is not what the worker accepted."""
        if isinstance(read, Prediction) and definition is not None:
            rows = self._shadows if _is_shadow(definition) else self._predictions
            rows[_of(definition)].add(read, definition)
        elif isinstance(read, Outcomes):
            self._outcomes[read.endpoint].add(read)
        elif isinstance(read, Refusal):
            self._refusals[read.endpoint].add(read)

    def appends(self, transaction: tuple[str, int]) -> Iterator[tuple[str, Callable[[], None]]]:
        """Of each table its name, and what commits its rows."""
        log = self._log
        for name, predictions in self._predictions.items():
            if predictions.count:
                yield (
                    log.predictions_table(name),
                    partial(log.append_predictions, name, predictions.table(), transaction=transaction),
                )
        for name, shadows in self._shadows.items():
            if shadows.count:
                yield (
                    log.shadows_table(name),
                    partial(log.append_shadows, name, shadows.table(), transaction=transaction),
                )
        for name, outcomes in self._outcomes.items():
            yield (
                log.outcomes_table(name),
                partial(log.append_outcomes, name, outcomes.table(), transaction=transaction),
            )
        for name, refusals in self._refusals.items():
            yield (
                self._refused(name),
                partial(log.append_refusals, name, refusals.table(), transaction=transaction),
            )

    def _refused(self, endpoint: str) -> str:
        return self._log.refusals_table(endpoint)


def _of(definition: Definition | None) -> str:
    return definition.endpoint.name if definition is not None else ""


def _is_shadow(definition: Definition | None) -> bool:
    return definition is not None and definition.role == SHADOW


class Shipper:
    """One at a time on a machine: a second one does nothing while the first works."""

    def __init__(self, spool_root: Path, log: PredictionLog, pseudonyms: Pseudonyms | None = None) -> None:
        self._root = spool_root
        self._log = log
        self._pseudonyms = pseudonyms
        self._name = new_id().encode()
        self._streams: dict[str, _Stream] = {}

    def ship(self) -> int:
        """Move everything spooled so far into the log; returns rows of predictions, shadows and outcomes moved. Raises Unavailable."""
        if not self._root.is_dir():
            return 0
        with _only_one(self._root) as claim:
            if claim is None:
                return 0
            if os.pread(claim, len(self._name), 0) != self._name:
                self._streams.clear()  # another one has shipped since: what is remembered here may be old
                os.pwrite(claim, self._name, 0)
            folders = list(streams(self._root))
            self._streams = {name: held for name, held in self._streams.items() if held.folder in folders}
            return sum(self._ship_stream(folder) for folder in folders)

    def _ship_stream(self, folder: Path) -> int:
        dead = not is_alive(folder)  # asked first: what a live worker writes after this is read next time
        held = segments(folder)
        stream = self._streams.get(folder.name)
        if stream is None:
            stream = self._streams[folder.name] = _Stream(folder, held[0][0] if held else 0)
        shipped = 0
        for (start, path), following in zip(held, [*(start for start, _ in held[1:]), None], strict=False):
            shipped += self._ship_segment(stream, start, path)
            if following is not None or dead:
                self._finish_segment(stream, start, path)
            if following is not None:
                stream.position = following
        if dead:
            faults.reach("serving.shipper.stream")
            shutil.rmtree(folder)
            del self._streams[folder.name]
        return shipped

    def _ship_segment(self, stream: _Stream, start: int, path: Path) -> int:
        shipped = 0
        while data := _read(path, stream.position - start):
            moved, end = self._ship_chunk(stream, data)
            if not end:
                break
            shipped += moved
            stream.position += end
        return shipped

    def _finish_segment(self, stream: _Stream, start: int, path: Path) -> None:
        """Delete a segment that is in the log to its last whole frame; one that is damaged is set aside instead."""
        rest = _read(path, stream.position - start)
        if len(rest) >= first_frame_bytes(rest) and rest.strip(b"\0"):
            aside = self._root / f".damaged-{stream.folder.name}-{path.name}"
            _log.error("%s cannot be read from byte %d on; it is kept as %s", path, stream.position - start, aside)
            path.rename(aside)
            return
        faults.reach("serving.shipper.deleting")
        path.unlink()

    def _ship_chunk(self, stream: _Stream, data: bytes) -> tuple[int, int]:
        """(rows moved, bytes of whole frames) of `data`, which begins at the stream's position."""
        rows = _Rows(self._log, self._pseudonyms)
        end = 0
        for end, payload in read_frames(data):
            self._collect(stream, stream.position + end, payload, rows)
        transaction = (stream.folder.name, stream.position + end)
        for name, append in rows.appends(transaction):
            faults.reach("serving.shipper.appending")
            append()
            stream.committed[name] = transaction[1]
            faults.reach("serving.shipper.committed")
        return rows.count, end

    def _collect(self, stream: _Stream, end: int, payload: memoryview, rows: _Rows) -> None:
        try:
            read = read_payload(payload, stream.definitions)
            if isinstance(read, Definition):
                return
            definition = stream.definitions[read.reference] if isinstance(read, Prediction) else None
            _require_name(_of(definition) if isinstance(read, Prediction) else read.endpoint)
            if end > self._committed(stream, rows.table_of(read, definition)):
                rows.add(read, definition)
        except (Corrupted, Refused, ValueError, struct.error, msgspec.MsgspecError) as error:
            # A frame with a good checksum that cannot be read was written by another version of this program.
            _log.error("frame ending at %d of stream %s is left out: %s", end, stream.folder.name, error)

    def _committed(self, stream: _Stream, table: str) -> int:
        known = stream.committed.get(table)
        if known is None:
            known = self._log.shipped(table, stream.folder.name) or 0
            stream.committed[table] = known
        return known


def _require_name(endpoint: str) -> None:
    """Spools come from other machines too, and a name becomes a part of a table's path."""
    if not is_endpoint_name(endpoint):
        raise Corrupted(f"A spool frame is for {endpoint[:100]!r}, which cannot be an endpoint.")


def _read(path: Path, position: int) -> bytes:
    """A chunk from `position` on: at least one whole frame, where there is one."""
    with path.open("rb") as file:
        file.seek(position)
        data = file.read(CHUNK_BYTES)
        needed = first_frame_bytes(data)
        return data if needed <= len(data) else data + file.read(needed - len(data))


@contextmanager
def _only_one(root: Path) -> Iterator[int | None]:
    """The file that the one shipper of a machine holds, or None while another holds it."""
    descriptor = os.open(root / ".shipper", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield None
    else:
        yield descriptor
    finally:
        os.close(descriptor)
