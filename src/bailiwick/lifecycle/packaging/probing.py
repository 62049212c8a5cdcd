"""The rows that a model and its package are compared on: its logged example, rows around it, and difficult ones.

They are arrays as serving feeds them, so that a null is what the model sees for one: no number, or the empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bailiwick.core.errors import BailiwickError, CheckFailed
from bailiwick.pyfunc.mlmodel import DTYPES, Column
from bailiwick.pyfunc.process import AnsweredUnevenly
from bailiwick.training.agreement import LEAST_ROWS
from bailiwick.training.probes import make_probes

AROUND = 256
MAX_STRAINED = 256
"""Values a row, beyond which rows are made whole."""
MOST_WIDE = 1 << 22
MOST_VALUES = 1 << 23
"""In all rows of a model that takes many."""
_LEAST_WIDE = 4
_BLOCK = 128
_TEXTS = 64
_HUGE = 3e38
_SEED = 20

Arrays = dict[str, NDArray[Any]]
Answers = list[tuple[str, NDArray[Any]]]
Ask = Callable[[Arrays], Answers]


@dataclass(frozen=True, slots=True)
class Probes:
    """`rows` to compare on: the first `real` come from the example, those from `made` on are made up to be difficult."""

    rows: Arrays
    real: int
    made: int

    @property
    def count(self) -> int:
        """How many."""
        return len(next(iter(self.rows.values())))


class Undescribed(CheckFailed):
    """A signature that says too little of the model, or too much. `answered` where the model itself has answered."""

    def __init__(self, message: str, *, hint: str = "", answered: bool) -> None:
        super().__init__(message, hint=hint)
        self.answered = answered


def probes_of(
    columns: Sequence[Column],
    example: Sequence[Mapping[str, Any]],
    *,
    thresholds: Mapping[str, NDArray[np.float32]],
    texts: Sequence[str],
) -> Probes:
    """The same for the same model. A column of whole numbers gets no values that it cannot hold.

    Of a model that takes many values a row few rows are made, and none that are difficult. Raises Undescribed
    beyond `MOST_WIDE`.
    """
    random = np.random.default_rng(_SEED)
    wide = sum(column.width for column in columns)
    if wide > MOST_WIDE:
        raise Undescribed(
            f"The model takes {wide:,} values a row; at most {MOST_WIDE:,} can be tried here.", answered=True
        )
    real = [row for row in example if all(_fits(row.get(column.name), column) for column in columns)]
    if wide > MAX_STRAINED:
        real = real[: max(_LEAST_WIDE, MOST_VALUES // wide)]
        count = max(len(real), min(AROUND, max(_LEAST_WIDE, MOST_VALUES // wide)))
        return Probes({each.name: _wide(each, real, count, texts, random) for each in columns}, len(real), count)
    cells = [(column, place) for column in columns for place in range(column.width)]
    around = {
        _cell(column, place): _around(column, [_value(row, column, place) for row in real], thresholds, texts, random)
        for column, place in cells
    }
    base = pa.table(
        {
            name: pa.array(values, pa.string() if isinstance(values[0], str) else pa.float64())
            for name, values in around.items()
        }
    )
    kinds = {_cell(column, place): "BYTES" if column.datatype == "BYTES" else "FP32" for column, place in cells}
    strained = make_probes(base, kinds, thresholds=thresholds, least=LEAST_ROWS, seed=_SEED)
    joined = pa.concat_tables([base, strained])
    values = {name: joined.column(name).to_pylist() for name in kinds}
    kept = [row for row in range(joined.num_rows) if _all_fit(values, cells, row)]
    rows = {column.name: _array(values, column, kept) for column in columns}
    return Probes(rows, len(real), sum(row < base.num_rows for row in kept))


def answers(ask: Ask, rows: Arrays) -> tuple[Answers, NDArray[np.bool_]]:
    """What a model answers, and which rows it refuses: of a batch that fails, each half is asked again.

    The answers are those of the rows that were not refused, in order. Raises Undescribed where it refuses all, and where
    each row alone gets a value and several together do not.
    """
    count = len(next(iter(rows.values())))
    refused = np.zeros(count, bool)
    parts: list[Answers] = []
    first: list[BailiwickError] = []
    uneven: set[int] = set()  # how many rows it was asked together when it did not answer each

    def fill(indices: NDArray[np.int64]) -> None:
        try:
            parts.append(ask({name: values[indices] for name, values in rows.items()}))
        except BailiwickError as error:
            if error.code != "model_failed":
                raise
            first.append(error)
            uneven.update([len(indices)] if isinstance(error, AnsweredUnevenly) else [])
            if len(indices) == 1:
                refused[indices] = True
                return
            middle = len(indices) // 2
            fill(indices[:middle])
            fill(indices[middle:])

    for start in range(0, count, _BLOCK):
        fill(np.arange(start, min(start + _BLOCK, count)))
    if not parts:
        raise Undescribed(
            f"The model answers none of {count} rows of its own signature: {first[0].message}",
            hint=first[0].hint,
            answered=bool(uneven),
        )
    if uneven and 1 not in uneven:
        raise Undescribed("The model answers rows that it is asked together not one by one.", answered=True)
    return _joined(parts), refused


def taken(rows: Arrays, wanted: NDArray[np.bool_]) -> Arrays:
    """The rows where `wanted`."""
    return {name: values[wanted] for name, values in rows.items()}


def missing(rows: Arrays, name: str) -> NDArray[np.bool_]:
    """Rows in which a float input has a value that is no number."""
    values = rows[name]
    if values.dtype.kind != "f":
        return np.zeros(len(values), bool)
    return np.asarray(np.isnan(values.reshape(len(values), -1)).any(axis=1), np.bool_)


def beyond(rows: Arrays) -> NDArray[np.bool_]:
    """Rows with a float so large that JSON, or float32, cannot say it."""
    found = np.zeros(len(next(iter(rows.values()))), bool)
    for values in rows.values():
        if values.dtype.kind == "f":
            found |= (np.abs(values.reshape(len(values), -1)) > _HUGE).any(axis=1)
    return found


def _joined(parts: Sequence[Answers]) -> Answers:
    names = [name for name, _ in parts[0]]
    for part in parts:
        if [name for name, _ in part] != names:
            raise Undescribed("The model gives outputs of other names for other rows.", answered=True)
    joined = []
    for place, name in enumerate(names):
        arrays = [part[place][1] for part in parts]
        if len({each.shape[1:] for each in arrays}) > 1:
            raise Undescribed(f"The model's output {name!r} has another shape for other rows.", answered=True)
        joined.append((name, np.concatenate(arrays)))
    return joined


def _wide(
    column: Column, real: Sequence[Mapping[str, Any]], count: int, texts: Sequence[str], random: np.random.Generator
) -> NDArray[Any]:
    """As `_around`, of all values of a column at once, within what it can hold."""
    if column.datatype == "BYTES" and column.width == 1:
        cell = _around(column, [_value(row, column, 0) for row in real], {}, texts, random)
        return _array({_cell(column, 0): cell}, column, range(count))
    seen = [np.asarray(row[column.name], object).ravel() for row in real]
    shape, more = (count, *column.shape[1:]), count - len(seen)
    if column.datatype == "BYTES":
        known = {str(value) for each in seen for value in each if value is not None}
        pool = np.array(sorted({*list(known)[:_TEXTS], *texts[:_TEXTS]}) or ["a", "b", "c"], object)
        made = pool[random.integers(len(pool), size=(more, column.width))]
        given = [["" if value is None else value for value in each] for each in seen]
        return np.array([*given, *made], object).reshape(shape)
    held = np.array(seen, np.float64).reshape(-1, column.width)
    points = held[np.isfinite(held)]
    real_numbers = column.datatype.startswith("FP")
    low, high = (points.min(), points.max()) if points.size else (-2.0, 2.0) if real_numbers else (0.0, 10.0)
    spread = max(high - low, abs(high) * 0.1, 1.0) * 0.25
    values = np.concatenate([held, random.uniform(low - spread, high + spread, (more, column.width))])
    if column.datatype == "BOOL":
        values[len(held) :] = random.integers(0, 2, (more, column.width))
    elif not real_numbers:
        limits = np.iinfo(DTYPES[column.datatype])
        values = np.clip(np.round(values), max(limits.min, -(2**53)), min(limits.max, 2**53))
    with np.errstate(over="ignore"):
        return values.astype(DTYPES[column.datatype]).reshape(shape)


def _around(
    column: Column,
    seen: Sequence[Any],
    thresholds: Mapping[str, NDArray[np.float32]],
    texts: Sequence[str],
    random: np.random.Generator,
) -> list[Any]:
    """The example's values, then as many as make AROUND rows, of their kind and near them."""
    known = [value for value in seen if value is not None]
    more = max(0, AROUND - len(seen))
    if column.kind == "datetime":
        days = random.integers(0, 3650, more)
        return [*seen, *(str(np.datetime64("2020-01-01") + int(day)) for day in days)]
    if column.datatype == "BYTES":
        pool = sorted({*map(str, known), *texts[:_TEXTS]}) or ["a", "b", "c"]
        return [*seen, *(pool[index] for index in random.integers(len(pool), size=more))]
    if column.datatype == "BOOL":
        return [
            *(None if value is None else float(value) for value in seen),
            *random.integers(0, 2, more).astype(float),
        ]
    points = np.array([*map(float, known), *thresholds.get(column.name, ())], np.float64)
    points = points[np.isfinite(points)]
    if not len(points):
        points = np.array([0.0, 10.0] if column.datatype not in {"FP16", "FP32", "FP64"} else [-2.0, 2.0])
    low, high = points.min(), points.max()
    spread = max(high - low, abs(high) * 0.1, 1.0) * 0.25
    made = random.uniform(low - spread, high + spread, more)
    if column.datatype not in {"FP16", "FP32", "FP64"}:
        made = np.round(made)
    return [*(None if value is None else float(value) for value in seen), *made.tolist()]


def _cell(column: Column, place: int) -> str:
    return column.name if column.width == 1 else f"{column.name}[{place}]"


def _value(row: Mapping[str, Any], column: Column, place: int) -> Any:
    value = row[column.name]
    if column.width == 1:
        return value[0] if isinstance(value, list) else value
    return np.asarray(value, dtype=object).ravel()[place]


def _fits(value: Any, column: Column) -> bool:
    """Whether a value of the example, which anyone may have written, is one of this input."""
    flat = np.asarray(value, dtype=object).ravel() if isinstance(value, list) else np.array([value], dtype=object)
    if len(flat) != column.width:
        return False
    if column.datatype == "BYTES":
        return all(each is None or isinstance(each, str) for each in flat)
    plain = all(each is None or isinstance(each, bool | int | float) for each in flat)
    return plain and all(_holds(column.datatype, None if each is None else float(each)) for each in flat)


def _all_fit(values: Mapping[str, list[Any]], cells: Sequence[tuple[Column, int]], row: int) -> bool:
    return all(
        column.datatype == "BYTES" or _holds(column.datatype, values[_cell(column, place)][row])
        for column, place in cells
    )


def _holds(datatype: str, value: float | None) -> bool:
    """Whether a number, or its absence, is a value of the datatype."""
    if datatype.startswith("FP"):
        return True
    if value is None or not np.isfinite(value) or value != round(value):
        return False
    if datatype == "BOOL":
        return value in {0.0, 1.0}
    limits = np.iinfo(DTYPES[datatype])
    return abs(value) <= 2**53 and limits.min <= value <= limits.max


def _array(values: Mapping[str, list[Any]], column: Column, kept: Sequence[int]) -> NDArray[Any]:
    cells = [values[_cell(column, place)] for place in range(column.width)]
    shape = (len(kept), *column.shape[1:])
    if column.datatype == "BYTES":
        texts = [[cell[row] if cell[row] is not None else "" for cell in cells] for row in kept]
        array: NDArray[Any] = np.array(texts, dtype=object).reshape(shape)
        return array
    numbers = np.array([[np.nan if cell[row] is None else cell[row] for cell in cells] for row in kept], np.float64)
    with np.errstate(over="ignore"):
        return numbers.astype(DTYPES[column.datatype]).reshape(shape)
