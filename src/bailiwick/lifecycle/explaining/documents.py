"""Past predictions of models of documents, as rows of columns: where a document is one row of a table, or of an array.

Nothing says what columns the model takes, so they are those of the document that is explained; the rows to compare with are
those of other documents on record that have the same. Perturbed rows are asked in the form that the document had.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.past import PastPrediction
from bailiwick.serving.documents import answer_of_row
from bailiwick.serving.failures import ModelFailed
from bailiwick.serving.packing import Block, blocks_of
from bailiwick.serving.params import TakesParams
from bailiwick.serving.runtime import Runtime
from bailiwick.serving.tensors import Signature, TensorSpec

MOST_COLUMNS = 4_096
_AT_ONCE = 256
_SCALARS = (bool, int, float, str, type(None))

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """What a document holds: rows by column, and how it says them (`split`, `records`, `named`, `listed`, `nested`)."""

    form: str
    manner: str
    rows: tuple[Row, ...]
    dtypes: Mapping[str, str]

    def document(self, row: Row) -> str:
        """Another row, said in the same manner."""
        said: Any = {"columns": list(row), "data": [list(row.values())]}
        if self.manner in {"records", "listed"}:
            said = [row]
        elif self.manner == "named":
            said = {name: [value] for name, value in row.items()}
        elif self.manner == "nested":
            said = [list(row.values())]
        return json.dumps({self.form: said, **({"dtypes": dict(self.dtypes)} if self.dtypes else {})})


@dataclass(frozen=True, slots=True)
class Case:
    """A past document that can be explained: `found` has its columns as inputs and the numbers of its answer as outputs."""

    found: PastPrediction
    signature: Signature
    table: Table
    column: str

    def unfold(self, documents: pa.Table) -> pa.Table:
        """The rows of recorded documents that have the same columns, of the same kinds."""
        names = [spec.name for spec in self.signature.inputs]
        texts = {spec.name for spec in self.signature.inputs if spec.datatype == "BYTES"}
        held: dict[str, list[Any]] = {name: [] for name in names}
        for text in documents[self.column].to_pylist():
            table = read_table(text or "")
            for row in table.rows if table is not None else ():
                if row.keys() == held.keys() and all(_of_kind(row[name], text=name in texts) for name in names):
                    for name in names:
                        held[name].append(row[name])
        kinds = {name: pa.string() if name in texts else pa.float64() for name in names}
        numbers = {name: values if name in texts else list(map(_number, values)) for name, values in held.items()}
        return pa.table({name: pa.array(values, kinds[name]) for name, values in numbers.items()})


def case_of(found: PastPrediction, signature: Signature) -> Case:
    """Raises InvalidInput where the document is no single row of plain values, or its answer has no number."""
    column = signature.inputs[0].name
    if "*" in found.withheld or column in found.withheld:
        raise InvalidInput(
            f"Prediction {found.id} cannot be explained: its endpoint's policy did not keep {column}.",
            hint="bailiwick endpoints recording says what is kept.",
        )
    table = read_table(str(found.value(column) or ""))
    if table is None or len(table.rows) != 1 or not table.rows[0]:
        rows = "no table" if table is None else f"{len(table.rows)} rows"
        raise InvalidInput(
            f"Prediction {found.id} cannot be explained: its document holds {rows}, and one row of plain values is needed.",
            hint="Ask for one row at a time, as /predict does; or log the model with `signature=`.",
        )
    row = table.rows[0]
    answered = numbers_of(str(found.outputs.get(signature.outputs[0].name, "")))
    if not answered:
        raise InvalidInput("The model answered with no number, and only numbers can be explained.")
    inputs = tuple(
        TensorSpec(name, "BYTES" if isinstance(value, str) else "FP64", (-1, 1)) for name, value in row.items()
    )
    outputs = tuple(TensorSpec(name, "FP64", (-1, *np.shape(value))) for name, value in answered.items())
    told = replace(found, inputs=dict(row), outputs=dict(answered))
    return Case(told, Signature(inputs, outputs, signature.params), table, column)


class ByColumns:
    """A runtime of documents behind the face of one of columns."""

    apart = True
    platform = "python"

    def __init__(self, runtime: Runtime, case: Case) -> None:
        self.signature = case.signature
        self.blocks: tuple[Block, ...] = blocks_of(case.signature.inputs)
        self._runtime = runtime
        self._case = case

    def run(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """A document for each row. Raises ModelFailed, also for answers of another shape."""
        return self.run_with(feed, {})

    def run_with(self, feed: Mapping[str, np.ndarray], params: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """The same with params."""
        documents = [self._case.table.document(row) for row in self._rows(feed)]
        answered = [
            numbers_of(text)
            for start in range(0, len(documents), _AT_ONCE)
            for text in self._asked(documents[start : start + _AT_ONCE], params)
        ]
        return [_output(spec, answered) for spec in self.signature.outputs]

    def warm_up(self) -> None:
        """As it is."""

    def close(self) -> None:
        """It is another's."""

    def _asked(self, documents: Sequence[str], params: Mapping[str, Any]) -> list[str]:
        feed = {self._case.column: np.array(documents, dtype=object)}
        if params and isinstance(self._runtime, TakesParams):
            return list(self._runtime.run_with(feed, params)[0])
        return list(self._runtime.run(feed)[0])

    def _rows(self, feed: Mapping[str, np.ndarray]) -> list[Row]:
        by_name = {
            spec.name: feed[block.name].reshape(len(feed[block.name]), -1)[:, place]
            for block in self.blocks
            for place, spec in enumerate(block.specs)
        }
        original = self._case.table.rows[0]
        columns = {name: [_as(value, original[name]) for value in by_name[name].tolist()] for name in original}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def read_table(text: str) -> Table | None:
    """The rows of a document; None where it holds something else."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    dtypes = said.get("dtypes") or {}
    for form in ("dataframe_split", "dataframe_records", "instances", "inputs", "csv"):
        if form in said:
            found = _rows(form, said[form])
            if found is None or any(not isinstance(value, _SCALARS) for row in found[1] for value in row.values()):
                return None
            manner, rows = found
            return Table("dataframe_split" if form == "csv" else form, manner, tuple(rows), dtypes)
    return None


def numbers_of(text: str) -> dict[str, Any]:
    """Numbers of an answer to one row by name; a list of numbers is one of several values."""
    found = answer_of_row(text)
    named = found if isinstance(found, dict) else {"response": found}
    return {str(name): value for name, value in named.items() if _is_numeric(value)}


def _rows(form: str, said: Any) -> tuple[str, list[Row]] | None:
    if form in {"csv", "dataframe_split"}:
        return _of_csv(said) if form == "csv" else _of_split(said)
    if isinstance(said, dict) and said and all(isinstance(values, list) for values in said.values()):
        return "named", [dict(zip(said, row, strict=False)) for row in zip(*said.values(), strict=False)]
    if not isinstance(said, list) or not said:
        return None
    if all(isinstance(row, dict) for row in said):
        return ("records" if form == "dataframe_records" else "listed"), [dict(row) for row in said]
    if all(isinstance(row, list) and len(row) <= MOST_COLUMNS for row in said):
        return "nested", [{str(place): value for place, value in enumerate(row)} for row in said]
    return None


def _of_split(said: Any) -> tuple[str, list[Row]] | None:
    names, data = (said.get("columns"), said.get("data")) if isinstance(said, dict) else (None, None)
    if not isinstance(names, list) or not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        return None
    return "split", [dict(zip(map(str, names), row, strict=False)) for row in data]


def _of_csv(said: Any) -> tuple[str, list[Row]] | None:
    if not isinstance(said, str):
        return None
    rows = csv.DictReader(io.StringIO(said))
    return "split", [{str(name): _cell(value) for name, value in row.items()} for row in rows]


def _cell(text: Any) -> Any:
    if not isinstance(text, str) or text == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _of_kind(value: Any, *, text: bool) -> bool:
    return value is None or isinstance(value, str) == text


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _as(value: Any, original: Any) -> Any:
    """A value of a column, of the kind that the document had there."""
    if isinstance(original, str) or isinstance(value, str):
        return value
    if value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(original, bool):
        return value >= 0.5
    return int(value) if isinstance(original, int) and float(value).is_integer() else value


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, bool | int | float) for each in value)
    return isinstance(value, bool | int | float)


def _output(spec: TensorSpec, answered: Sequence[Mapping[str, Any]]) -> np.ndarray:
    try:
        return np.array([answer[spec.name] for answer in answered], np.float64).reshape(len(answered), *spec.tail)
    except (KeyError, ValueError):
        raise ModelFailed(f"The model gave no {spec.name} of the same shape for a row beside this one.") from None
