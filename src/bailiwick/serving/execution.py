"""Running a bound batch: each row by the variant that its unit is assigned to, outputs back in the order of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from bailiwick.endpoints.assignment import choose, choose_many
from bailiwick.serving.binder import Batch
from bailiwick.serving.frames import MIXED, NO_FAILURE
from bailiwick.serving.params import TakesParams, params_of
from bailiwick.serving.protocol import Refused
from bailiwick.serving.router import Arm, Columns, CompiledEndpoint
from bailiwick.serving.runtime import ModelFailed

_FAULT = 500


class Execution(Struct, gc=False):
    """What became of a batch: `arm` when one variant took every row, else `variants` has one index byte a row.

    `error` is empty unless the variant `failed` raised; then there are no outputs, and `status` says whose fault it is.
    `why` says what went wrong before, where another has answered in its place.
    """

    variant: int
    variants: bytes
    outputs: Sequence[np.ndarray]
    failed: int = NO_FAILURE
    error: str = ""
    status: int = 500
    why: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether the variant failed, and not what it was asked."""
        return bool(self.error) and self.status >= _FAULT


def assigned(compiled: CompiledEndpoint, batch: Batch, request_id: str) -> np.ndarray:
    """The index of the variant of each row."""
    if compiled.only is not None:
        return np.zeros(batch.rows, np.uint8)
    units = batch.units or [f"{request_id}:{row}" for row in range(batch.rows)]
    return choose_many(compiled.endpoint, units)


def refusal(chosen: np.ndarray, failed: int, error: str, *, status: int) -> Execution:
    """What is kept of rows that were not run, or not to their end, because of the variant `failed`."""
    first = int(chosen[0])
    if (chosen == first).all():
        return Execution(first, b"", (), failed, error, status)
    return Execution(MIXED, chosen.tobytes(), (), failed, error, status)


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


def execute_together(
    compiled: CompiledEndpoint, batches: Sequence[Batch], request_ids: Sequence[str]
) -> list[Execution]:
    """What `execute` gives for each, out of one run; batches must lack no input, and be given the same params.

    Nothing when the run fails: each is then to be run alone, so that what is wrong with one is told to that one only.
    """
    merged = _joined(batches)
    done = _together(compiled, merged, batches, request_ids)
    if not done.error and all(len(values) == merged.rows for values in done.outputs):
        return _parted(done, batches)
    return []


def _joined(batches: Sequence[Batch]) -> Batch:
    arrays = {name: np.concatenate([batch.arrays[name] for batch in batches]) for name in batches[0].arrays}
    return Batch(sum(batch.rows for batch in batches), arrays, None, None, batches[0].missing, batches[0].params)


def _together(
    compiled: CompiledEndpoint, merged: Batch, batches: Sequence[Batch], request_ids: Sequence[str]
) -> Execution:
    if compiled.only is not None:
        return _whole(compiled.only, 0, merged)
    units: list[str] = []
    for batch, request_id in zip(batches, request_ids, strict=True):
        units += batch.units or [f"{request_id}:{row}" for row in range(batch.rows)]
    chosen = choose_many(compiled.endpoint, units)
    first = int(chosen[0])
    if (chosen == first).all():
        return _whole(compiled.arms[first], first, merged)
    return _split(compiled, merged, chosen)


def _parted(done: Execution, batches: Sequence[Batch]) -> list[Execution]:
    """Views of the joint outputs, one for each batch, in order."""
    parted, start = [], 0
    for batch in batches:
        end = start + batch.rows
        outputs = [values[start:end] for values in done.outputs]
        variant, variants = done.variant, b""
        if variant == MIXED:
            variants = done.variants[start:end]
            if variants.count(variants[0]) == len(variants):
                variant, variants = variants[0], b""
        parted.append(Execution(variant, variants, outputs))
        start = end
    return parted


def _whole(arm: Arm, index: int, batch: Batch) -> Execution:
    try:
        return Execution(index, b"", _ran(arm, _feed(arm, batch), batch.params))
    except ModelFailed as error:
        return Execution(index, b"", (), index, str(error), error.status)


def _split(compiled: CompiledEndpoint, batch: Batch, chosen: np.ndarray) -> Execution:
    parts: list[tuple[np.ndarray, Sequence[np.ndarray]]] = []
    for index in np.unique(chosen):
        arm, rows = compiled.arms[index], np.flatnonzero(chosen == index)
        feed = {name: values[rows] for name, values in _feed(arm, batch).items()}
        try:
            parts.append((rows, _ran(arm, feed, batch.params)))
        except ModelFailed as error:
            return Execution(MIXED, chosen.tobytes(), (), int(index), str(error), error.status)
    merged = [_merged(parts, place, batch.rows) for place in range(len(compiled.outputs))]
    return Execution(MIXED, chosen.tobytes(), merged)


def _ran(arm: Arm, feed: Mapping[str, np.ndarray], params: bytes) -> Sequence[np.ndarray]:
    runtime = arm.runtime
    if params and isinstance(runtime, TakesParams):
        return runtime.run_with(feed, params_of(runtime.signature.params, params))
    return runtime.run(feed)


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
