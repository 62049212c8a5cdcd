"""Running a bound batch: each row by the variant that its unit is assigned to, outputs back in the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from bailiwick.endpoints.assignment import choose, choose_many
from bailiwick.serving.binder import Batch
from bailiwick.serving.frames import MIXED, NO_FAILURE
from bailiwick.serving.protocol import Refused
from bailiwick.serving.router import Arm, Columns, CompiledEndpoint
from bailiwick.serving.runtime import ModelFailed


class Execution(Struct, gc=False):
    """What became of a batch: `arm` when one variant took every row, else `variants` has one index byte a row.

    `error` is empty unless the variant `failed` raised; then there are no outputs.
    """

    variant: int
    variants: bytes
    outputs: Sequence[np.ndarray]
    failed: int = NO_FAILURE
    error: str = ""


def execute(compiled: CompiledEndpoint, batch: Batch, request_id: str) -> Execution:
    """Run every row. Raises Refused when the request lacks an input that a row's variant needs."""
    only = compiled.only
    if only is not None:
        return _whole(only, 0, batch)
    units = batch.units or [f"{request_id}:{row}" for row in range(batch.rows)]
    if batch.rows == 1:
        first = choose(compiled.endpoint, units[0])
        return _whole(compiled.arms[first], first, batch)
    chosen = choose_many(compiled.endpoint, units)
    first = int(chosen[0])
    if (chosen == first).all():
        return _whole(compiled.arms[first], first, batch)
    return _split(compiled, batch, chosen)


def _whole(arm: Arm, index: int, batch: Batch) -> Execution:
    try:
        return Execution(index, b"", arm.runtime.run(_feed(arm, batch)))
    except ModelFailed as error:
        return Execution(index, b"", (), index, str(error))


def _split(compiled: CompiledEndpoint, batch: Batch, chosen: np.ndarray) -> Execution:
    parts: list[tuple[np.ndarray, Sequence[np.ndarray]]] = []
    for index in np.unique(chosen):
        arm, rows = compiled.arms[index], np.flatnonzero(chosen == index)
        feed = {name: values[rows] for name, values in _feed(arm, batch).items()}
        try:
            parts.append((rows, arm.runtime.run(feed)))
        except ModelFailed as error:
            return Execution(MIXED, chosen.tobytes(), (), int(index), str(error))
    merged = [_merged(parts, place, batch.rows) for place in range(len(compiled.outputs))]
    return Execution(MIXED, chosen.tobytes(), merged)


def _merged(parts: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]], place: int, rows: int) -> np.ndarray:
    sample = parts[0][1][place]
    merged = np.empty((rows, *sample.shape[1:]), dtype=sample.dtype)
    for indices, outputs in parts:
        merged[indices] = outputs[place]
    return merged


def _feed(arm: Arm, batch: Batch) -> dict[str, np.ndarray]:
    if batch.missing and not batch.missing.isdisjoint(arm.input_names):
        lacking = ", ".join(sorted(batch.missing & arm.input_names))
        raise Refused(400, f"The request lacks input {lacking}.")
    if arm.columns is None:
        return batch.arrays
    return {columns.name: _taken(columns, batch) for columns in arm.columns}


def _taken(columns: Columns, batch: Batch) -> np.ndarray:
    """An arm's block out of the endpoint's wider ones."""
    parts = [batch.arrays[name] if place is None else batch.arrays[name][:, place] for name, place in columns.places]
    if len(parts) > 1:
        return np.stack([part.reshape(batch.rows) for part in parts], axis=1)
    return np.ascontiguousarray(parts[0]).reshape(batch.rows, *columns.row_shape)
