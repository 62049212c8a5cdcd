"""Which rows teach, which choose, which judge: divided as the project file says, recorded with the snapshot.

Rows are read in a stream. What is held for all of them is a byte for the part that each belongs to and, by time, its moment
and its place in order: 25 bytes a row at the most, whatever the rows hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.data.arrow_types import is_time
from bailiwick.data.model import Snapshot
from bailiwick.data.service import DataService
from bailiwick.data.splits import Split, assign
from bailiwick.lifecycle.inspection import require_usable
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.engine_rows import EngineRows, divided_there
from bailiwick.lifecycle.training.shares import (
    BATCH_BYTES,
    HOLDOUT,
    PARTS,
    TRAIN,
    VALID,
    by_share,
    check_sizes,
    split_name,
)
from bailiwick.pipelines.model import StepContext
from bailiwick.pipelines.notation import Holdout
from bailiwick.pipelines.project import Project
from bailiwick.pipelines.sections import Split as Declared

Moments = npt.NDArray[np.int64]


class DividedRows:
    """A snapshot's rows by part: `train` teaches, `valid` chooses parameters, `holdout` judges.

    The final model is fitted on `train` and `valid` together, which are the known rows; `holdout` is seen by nothing but the
    evaluation. By time, known rows are in order of time; otherwise `train` comes first. Rows of one place keep their order.
    """

    def __init__(
        self, data: DataService, snapshot: Snapshot, split: Split, parts: npt.NDArray[np.int8], moments: Moments | None
    ) -> None:
        self._data = data
        self._snapshot = snapshot
        self._parts = parts
        self._moments = moments
        self.split = split
        counts = np.bincount(parts, minlength=len(PARTS)).tolist()
        self.counts: Mapping[str, int] = dict(zip(PARTS, counts, strict=True))

    @property
    def known_rows(self) -> int:
        """Rows of `train` and `valid`."""
        return self.counts[TRAIN] + self.counts[VALID]

    def known(self, columns: Sequence[str]) -> Iterator[tuple[pa.Table, npt.NDArray[np.int64]]]:
        """The known rows in the snapshot's order, with the place of each among all known rows."""
        places = self._places()
        first = 0
        for rows in self._stream(columns, holdout=False):
            yield rows, places[first : first + rows.num_rows]
            first += rows.num_rows

    def close(self) -> None:
        """Nothing is held open."""

    def holdout(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows that judge, in the snapshot's order."""
        yield from self._stream(columns, holdout=True)

    def all(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """All rows, in batches of some megabytes: whatever is made of texts costs several times their size."""
        for batch in self._data.batches(self._snapshot.workspace, self._snapshot.id, columns):
            most = max(1, batch.num_rows * BATCH_BYTES // max(1, batch.nbytes))
            for first in range(0, batch.num_rows, most):
                yield pa.Table.from_batches([batch.slice(first, most)])

    def _stream(self, columns: Sequence[str], *, holdout: bool) -> Iterator[pa.Table]:
        first = 0
        for rows in self.all(columns):
            wanted = (self._parts[first : first + rows.num_rows] == PARTS.index(HOLDOUT)) == holdout
            first += rows.num_rows
            if wanted.all():
                yield rows
            elif wanted.any():
                yield rows.filter(pa.array(wanted))

    def _places(self) -> npt.NDArray[np.int64]:
        known = self._parts != PARTS.index(HOLDOUT)
        keys = self._parts[known] if self._moments is None else self._moments[known]
        places = np.empty(len(keys), np.int64)
        if np.all(keys[:-1] <= keys[1:]):
            places[:] = np.arange(len(keys))
        else:
            places[np.argsort(keys, kind="stable")] = np.arange(len(keys))
        return places


def divided(platform: Platform, project: Project, context: StepContext) -> DividedRows | EngineRows:
    """The snapshot of this run, divided as the project says; the division is put on record with the snapshot. To be closed.

    Raises CheckFailed when a part has under 200 rows and while an alarm about the snapshot stands, InvalidInput for a column that rows cannot be divided by.
    """
    snapshot = platform.data.snapshot(context.actor.workspace, str(context.inputs["ingest"]["snapshot"]))
    require_usable(platform, context.actor.workspace, snapshot, project=project)
    if snapshot.engine:
        return divided_there(platform, project, context.actor, snapshot)
    declared = project.data.split or Declared()
    moments = _moments(platform.data, snapshot, project.data.time) if declared.by == "time" else None
    name = split_name(project)
    try:
        split = platform.data.split_of(snapshot.workspace, snapshot.id, name)
    except NotFound:
        split = _by_time(moments, project) if moments is not None else by_share(declared, project)
        platform.data.split_snapshot(context.actor, snapshot.id, name, split)
    rows = DividedRows(platform.data, snapshot, split, _assigned(platform.data, snapshot, split, moments), moments)
    check_sizes(rows.counts)
    return rows


def _by_time(moments: Moments, project: Project) -> Split:
    """Cut at two moments, so that rows of one moment never fall on both sides: shares that end exactly there."""
    declared = project.data.split or Declared()
    ordered = np.sort(moments)
    first, second = _cuts(ordered, project.evaluate.holdout, declared.valid)
    counts = {TRAIN: first, VALID: second - first, HOLDOUT: len(ordered) - second}
    check_sizes(counts)
    shares = tuple((name, count / len(ordered)) for name, count in counts.items())
    return Split("time", shares, project.data.time)


def _cuts(ordered: Moments, holdout: Holdout, valid: float) -> tuple[int, int]:
    if holdout.length_ms:
        second = int(np.searchsorted(ordered, ordered[-1] - holdout.length_ms + 1, side="left")) if len(ordered) else 0
    else:
        second = _at_moment(ordered, round(len(ordered) * (1 - holdout.fraction)))
    return _at_moment(ordered, round(second * (1 - valid))), second


def _at_moment(ordered: Moments, cut: int) -> int:
    """The first row of the moment at `cut`, so that rows of one moment stay together."""
    return int(np.searchsorted(ordered, ordered[cut], side="left")) if cut < len(ordered) else cut


def _moments(data: DataService, snapshot: Snapshot, column: str) -> Moments:
    """UTC milliseconds of every row, in the snapshot's order."""
    moments = np.empty(snapshot.rows, np.int64)
    first = 0
    for batch in data.batches(snapshot.workspace, snapshot.id, [column]):
        times = batch.column(0)
        if times.null_count:
            raise InvalidInput(f"Event time {column!r} is missing in some rows, which are then neither old nor new.")
        if is_time(times.type):
            times = times.cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64())
        moments[first : first + len(times)] = times.to_numpy(zero_copy_only=False)
        first += len(times)
    return moments


def _assigned(data: DataService, snapshot: Snapshot, split: Split, moments: Moments | None) -> npt.NDArray[np.int8]:
    """The part of every row, in the snapshot's order."""
    if moments is not None:
        return assign(split, pa.table({split.column: moments})).astype(np.int8)
    parts = np.empty(snapshot.rows, np.int8)
    first = 0
    read = [split.column] if split.column else [snapshot.columns[0][0]]
    for batch in data.batches(snapshot.workspace, snapshot.id, read):
        numbers = assign(split, pa.Table.from_batches([batch]), first_row=first)
        parts[first : first + len(numbers)] = numbers
        first += len(numbers)
    return parts
