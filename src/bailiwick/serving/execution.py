"""Running a bound batch: each row by the variant that its unit is assigned to, outputs back in the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from bailiwick.endpoints.assignment import choose_many
from bailiwick.serving.binder import Batch, Binder
from bailiwick.serving.frames import MIXED, NO_FAILURE
from bailiwick.serving.router import Arm, CompiledEndpoint
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
        return _whole(compiled.binder, only, 0, batch)
    units = batch.units or [f"{request_id}:{row}" for row in range(batch.rows)]
    chosen = choose_many(compiled.endpoint, units)
    first = int(chosen[0])
    if batch.rows == 1 or (chosen == first).all():
        return _whole(compiled.binder, compiled.arms[first], first, batch)
    return _split(compiled, batch, chosen)


def _whole(binder: Binder, arm: Arm, index: int, batch: Batch) -> Execution:
    arrays = _inputs(binder, arm, batch)
    try:
        return Execution(index, b"", arm.runtime.run(arrays))
    except ModelFailed as error:
        return Execution(index, b"", (), index, str(error))


def _split(compiled: CompiledEndpoint, batch: Batch, chosen: np.ndarray) -> Execution:
    parts: list[tuple[np.ndarray, Sequence[np.ndarray]]] = []
    for index in np.unique(chosen):
        arm, rows = compiled.arms[index], np.flatnonzero(chosen == index)
        arrays = {name: values[rows] for name, values in _inputs(compiled.binder, arm, batch).items()}
        try:
            parts.append((rows, arm.runtime.run(arrays)))
        except ModelFailed as error:
            return Execution(MIXED, chosen.tobytes(), (), int(index), str(error))
    return Execution(
        MIXED, chosen.tobytes(), [_merged(parts, place, batch.rows) for place in range(len(compiled.outputs))]
    )


def _merged(parts: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]], place: int, rows: int) -> np.ndarray:
    sample = parts[0][1][place]
    merged = np.empty((rows, *sample.shape[1:]), dtype=sample.dtype)
    for indices, outputs in parts:
        merged[indices] = outputs[place]
    return merged


def _inputs(binder: Binder, arm: Arm, batch: Batch) -> dict[str, np.ndarray]:
    arrays = batch.arrays
    if len(arrays) == len(arm.input_names) and len(arrays) == len(binder.specs):
        return arrays
    if not arm.input_names <= arrays.keys():
        raise binder.missing(arm.input_names, batch)
    return {name: arrays[name] for name in arm.input_names}
