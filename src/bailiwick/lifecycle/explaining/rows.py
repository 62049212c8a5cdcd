"""Rows of raw columns as an explanation takes them: one from the log, many from a training snapshot or from the log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.data.sampling import Sample
from bailiwick.endpoints.log import input_column
from bailiwick.endpoints.past import PastPrediction
from bailiwick.features import columns as arrow
from bailiwick.lifecycle.explaining.distance import Distance, Nearest
from bailiwick.lifecycle.explaining.documents import Case
from bailiwick.lifecycle.explaining.subject import Column, Rows
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion

SAMPLED = 2_000
_ANSWERED = 200
_STREAM_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Background:
    """Where rows come from: a training snapshot, or, where the version has none, what its endpoint recorded.

    With a `case` that is documents.
    """

    source: str
    snapshot: str
    label: str
    case: Case | None = None


def row_of(found: PastPrediction, columns: Sequence[Column]) -> Rows:
    """The inputs that are on record. Raises InvalidInput where the policy has not kept them."""
    gone = sorted(
        {column.spec.name for column in columns if "*" in found.withheld or column.spec.name in found.withheld}
    )
    if gone:
        raise InvalidInput(
            f"Prediction {found.id} cannot be explained: its endpoint's policy did not keep {', '.join(gone)}.",
            hint="bailiwick endpoints recording says what is kept.",
        )
    return {column.name: _cell(column, found.value(column.spec.name)) for column in columns}


def _cell(column: Column, value: object) -> np.ndarray:
    if isinstance(value, list):
        value = value[column.place]
    if column.text:
        return np.array(["" if value is None else str(value)], dtype=object)
    return np.array([np.nan if value is None else float(str(value)) if not isinstance(value, bool) else float(value)])


def background_of(
    platform: Platform, workspace: str, version: ModelVersion, columns: Sequence[Column], case: Case | None = None
) -> Background:
    """The snapshot that the version learnt from, if it has all of the columns; else the log."""
    try:
        snapshot = platform.data.snapshot(workspace, version.snapshot) if version.snapshot else None
    except NotFound:
        snapshot = None
    held = {} if snapshot is None else dict(snapshot.columns)
    if snapshot is None or snapshot.deleted or not all(column.name in held for column in columns):
        return Background("recorded predictions of the version", "", "", case)
    return Background(f"training snapshot {snapshot.id}", snapshot.id, _label(platform, workspace, version.model, held))


def _label(platform: Platform, workspace: str, model: str, held: dict[str, str]) -> str:
    """The label's column, where a project of the model's name says which."""
    try:
        label = platform.projects.project(workspace, model).data.label.column
    except NotFound:
        return ""
    return label if label in held else ""


def sample_of(
    platform: Platform,
    workspace: str,
    background: Background,
    columns: Sequence[Column],
    found: PastPrediction,
    *,
    seed: int,
) -> Rows:
    """Up to 2,000 rows in a random order, all equally likely, in memory for as many. Raises InvalidInput without any."""
    sample: Sample | None = None
    for batch in _stream(platform, workspace, background, columns, found):
        if sample is None:
            sample = Sample(batch.schema, cells=SAMPLED * len(batch.schema))
        sample.add(batch)
    rows = None if sample is None else sample.table()
    if rows is None or not rows.num_rows:
        raise InvalidInput("There are no rows to compare with: neither a training snapshot nor recorded predictions.")
    order = np.random.default_rng(seed).permutation(rows.num_rows)[:SAMPLED]
    return rows_of_table(rows.take(pa.array(order)), columns)


def nearest_of(
    platform: Platform,
    workspace: str,
    background: Background,
    columns: Sequence[Column],
    found: PastPrediction,
    *,
    row: Rows,
    distance: Distance,
    wanted: int,
    deadline: float,
) -> Nearest:
    """The nearest of all rows of the snapshot, or of those that could be read before `deadline` (of `time.monotonic`)."""
    near = Nearest(distance, row, wanted)
    label = (background.label,) if background.label else ()
    for batch in _stream(platform, workspace, background, columns, found, more=label):
        near.look(rows_of_table(batch, columns), {name: batch[name].to_pylist() for name in label})
        if time.monotonic() > deadline:
            break
    return near


def _stream(
    platform: Platform,
    workspace: str,
    background: Background,
    columns: Sequence[Column],
    found: PastPrediction,
    more: Sequence[str] = (),
) -> Iterator[pa.Table]:
    names = list(dict.fromkeys([column.spec.name for column in columns]))
    if background.snapshot:
        wanted = list(dict.fromkeys([*names, *more]))
        for batch in platform.data.batches(workspace, background.snapshot, wanted):
            yield pa.Table.from_batches([batch])
        return
    table = platform.tables.open(platform.logs.of(workspace).predictions_table(found.endpoint)).to_pyarrow_dataset()
    case = background.case
    names = names if case is None else [case.column]
    stored = [input_column(name) for name in names]
    if not {*stored} <= {*table.schema.names}:
        return
    answered = (pc.field("status") == _ANSWERED) & (pc.field("model") == found.model)
    wanted_rows = answered & (pc.field("version") == found.version)
    scanner = table.scanner(
        columns=stored,
        filter=wanted_rows,
        batch_size=_STREAM_ROWS,
        use_threads=False,
        batch_readahead=1,
        fragment_readahead=1,
    )
    for batch in scanner.to_batches():
        if batch.num_rows:
            found_rows = pa.Table.from_batches([batch]).rename_columns(names)
            yield found_rows if case is None else case.unfold(found_rows)


def rows_of_table(table: pa.Table, columns: Sequence[Column]) -> Rows:
    """Values by column, of the inputs of a table."""
    made: Rows = {}
    wide: dict[str, np.ndarray] = {}
    for column in columns:
        name = column.spec.name
        if column.spec.width > 1:
            if name not in wide:
                flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                wide[name] = flat.reshape(table.num_rows, -1)
            values = wide[name][:, column.place]
            made[column.name] = values.astype(object if column.text else np.float64)
        elif column.text:
            made[column.name] = arrow.tensor(table[name], arrow.TEXTS).ravel()
        elif column.spec.datatype == arrow.MOMENTS:
            made[column.name] = arrow.tensor(table[name], arrow.MOMENTS).ravel().astype(np.float64)
        else:
            made[column.name] = arrow.tensor(table[name], arrow.NUMBERS).ravel().astype(np.float64)
    return made
