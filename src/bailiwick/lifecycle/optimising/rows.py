"""The labelled rows as a model is fed with them: columns of single values, and of lists where an input is wide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.features.columns import doubles, tensor
from bailiwick.lifecycle.assessing import Labelled
from bailiwick.serving.runtime import OnnxRuntime
from bailiwick.serving.tensors import TensorSpec

MAX_ROWS = 200_000
MOST_BYTES = 1 << 30
LEAST_ROWS = 400
_ROWS_AT_ONCE = 4_096
_SEED = 7

Columns = dict[str, NDArray[Any]]


def read_rows(labelled: Labelled, specs: Sequence[TensorSpec]) -> pa.Table:
    """At most so many rows, and bytes, held in an order that is not that of the source.

    Raises InvalidInput for a column that is missing, an input that no column can be, and too few rows.
    """
    needed = [labelled.label, *(spec.name for spec in specs)]
    for name in needed:
        if name not in labelled.rows.columns:
            raise InvalidInput.choice("Column of the labelled rows", name, labelled.rows.columns)
    batches, count, size = [], 0, 0
    for batch in labelled.rows.read(list(dict.fromkeys(needed))):
        batches.append(batch)
        count, size = count + batch.num_rows, size + batch.nbytes
        if count >= MAX_ROWS or size > MOST_BYTES:
            break
    if count < LEAST_ROWS:
        raise InvalidInput(
            f"Optimising needs at least {LEAST_ROWS} labelled rows; there are {count}.",
            hint="With fewer, no form could be shown to be no worse.",
        )
    order = np.random.default_rng(_SEED).permutation(min(count, MAX_ROWS))
    return pa.Table.from_batches(batches).take(order)


def columns_of(rows: pa.Table, specs: Sequence[TensorSpec]) -> Columns:
    """By input, in the shape and type that the graph takes. Raises InvalidInput naming the column that cannot be."""
    return {spec.name: _column(rows.column(spec.name), spec) for spec in specs}


def fed(runtime: OnnxRuntime, columns: Mapping[str, NDArray[Any]], rows: int) -> Columns:
    """The first rows as the runtime is fed; repeated where there are fewer."""
    count = len(next(iter(columns.values())))
    return _blocks(runtime, columns, np.arange(rows) % count)


def answers(runtime: OnnxRuntime, columns: Mapping[str, NDArray[Any]]) -> Columns:
    """Every output for all rows, by name. Raises ModelFailed."""
    count = len(next(iter(columns.values())))
    parts = [
        runtime.run(_blocks(runtime, columns, np.arange(start, min(start + _ROWS_AT_ONCE, count))))
        for start in range(0, count, _ROWS_AT_ONCE)
    ]
    names = [spec.name for spec in runtime.signature.outputs]
    return {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(names)}


def batches_of(columns: Columns, size: int) -> Iterator[Columns]:
    """Portions of so many rows."""
    count = len(next(iter(columns.values())))
    for start in range(0, count, size):
        yield {name: values[start : start + size] for name, values in columns.items()}


def _blocks(runtime: OnnxRuntime, columns: Mapping[str, NDArray[Any]], chosen: NDArray[np.int64]) -> Columns:
    return {
        block.name: np.concatenate([columns[spec.name][chosen] for spec in block.specs], axis=1)
        if len(block.specs) > 1
        else columns[block.specs[0].name][chosen]
        for block in runtime.blocks
    }


def _column(column: pa.ChunkedArray, spec: TensorSpec) -> NDArray[Any]:
    try:
        return _wide(column, spec) if spec.width != 1 else _single(column, spec)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(f"Column {spec.name!r} is {column.type}, and the model takes {spec.datatype}.") from error


def _single(column: pa.ChunkedArray, spec: TensorSpec) -> NDArray[Any]:
    if spec.datatype in {"BYTES", "FP32"}:
        return tensor(column, spec.datatype).reshape(-1, *spec.tail)
    wide = doubles(column)
    if not spec.datatype.startswith("FP") and np.isnan(wide).any():
        raise InvalidInput(f"Input {spec.name!r} is {spec.datatype}, and a row has no value there.")
    return wide.astype(spec.dtype).reshape(-1, *spec.tail)


def _wide(column: pa.ChunkedArray, spec: TensorSpec) -> NDArray[Any]:
    """A list of as many values as the input has, in each row."""
    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    values = column.combine_chunks()
    if not lists or column.null_count or values.flatten().null_count or spec.datatype == "BYTES":
        raise InvalidInput(
            f"Input {spec.name!r} is {list(spec.shape)}; its column must be lists of {spec.width} numbers, not {kind}."
        )
    flat = values.flatten().to_numpy(zero_copy_only=False)
    lengths = values.value_lengths().to_numpy(zero_copy_only=False) if not pa.types.is_fixed_size_list(kind) else None
    if len(flat) != len(values) * spec.width or (lengths is not None and (lengths != spec.width).any()):
        raise InvalidInput(f"Input {spec.name!r} takes {spec.width} values a row, and a row has others.")
    found: NDArray[Any] = flat.astype(spec.dtype).reshape(len(values), *spec.tail)
    return found
