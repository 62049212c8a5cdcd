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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bailiwick.core.errors import Corrupted
from bailiwick.core.ids import new_id
from bailiwick.endpoints.log import PredictionLog
from bailiwick.serving.frames import Definition, Outcomes, Prediction, first_frame_bytes, read_frames, read_payload
from bailiwick.serving.protocol import Refused
from bailiwick.serving.rows import OutcomeRows, PredictionRows
from bailiwick.serving.spool import is_alive, segments, streams
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


class Shipper:
    """One at a time on a machine: a second one does nothing while the first works."""

    def __init__(self, spool_root: Path, log: PredictionLog) -> None:
        self._root = spool_root
        self._log = log
        self._name = new_id().encode()
        self._streams: dict[str, _Stream] = {}

    def ship(self) -> int:
        """Move everything spooled so far into the log; returns rows of predictions and outcomes moved. Raises Unavailable."""
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
        predictions: defaultdict[str, PredictionRows] = defaultdict(PredictionRows)
        outcomes: defaultdict[str, OutcomeRows] = defaultdict(OutcomeRows)
        end = 0
        for end, payload in read_frames(data):
            self._collect(stream, stream.position + end, payload, predictions, outcomes)
        moved = 0
        transaction = (stream.folder.name, stream.position + end)
        for endpoint, rows in predictions.items():
            faults.reach("serving.shipper.appending")
            self._log.append_predictions(endpoint, rows.table(), transaction=transaction)
            stream.committed[self._log.predictions_table(endpoint)] = transaction[1]
            faults.reach("serving.shipper.committed")
            moved += rows.count
        for endpoint, found in outcomes.items():
            self._log.append_outcomes(endpoint, found.table(), transaction=transaction)
            stream.committed[self._log.outcomes_table(endpoint)] = transaction[1]
            faults.reach("serving.shipper.committed")
            moved += found.count
        return moved, end

    def _collect(
        self,
        stream: _Stream,
        end: int,
        payload: memoryview,
        predictions: defaultdict[str, PredictionRows],
        outcomes: defaultdict[str, OutcomeRows],
    ) -> None:
        try:
            read = read_payload(payload, stream.definitions)
            if isinstance(read, Prediction):
                definition = stream.definitions[read.reference]
                if end > self._committed(stream, self._log.predictions_table(definition.endpoint.name)):
                    predictions[definition.endpoint.name].add(read, definition)
            elif isinstance(read, Outcomes) and end > self._committed(stream, self._log.outcomes_table(read.endpoint)):
                outcomes[read.endpoint].add(read)
        except (Corrupted, Refused, ValueError, struct.error) as error:
            # A frame with a good checksum that cannot be read was written by another version of this program.
            _log.error("frame ending at %d of stream %s is left out: %s", end, stream.folder.name, error)

    def _committed(self, stream: _Stream, table: str) -> int:
        known = stream.committed.get(table)
        if known is None:
            known = self._log.shipped(table, stream.folder.name) or 0
            stream.committed[table] = known
        return known


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
