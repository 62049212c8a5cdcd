"""From tables and arrays, as other protocols send them, to infer requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from bailiwick.serving.execution import Execution
from bailiwick.serving.protocol import InferRequest, Refused, RequestTensor
from bailiwick.serving.router import CompiledEndpoint
from bailiwick.serving.tensors import TensorSpec


def spread(compiled: CompiledEndpoint, names: Collection[str]) -> TensorSpec | None:
    """The model's only input, where these can only be the columns of it: as many as a row of it has, by other names."""
    specs = compiled.binder.specs
    if len(specs) != 1 or len(specs[0].tail) != 1 or specs[0].width < 2 or specs[0].name in names:
        return None
    others = sum(compiled.binder.spec_of(name) is None for name in names)
    return specs[0] if others == specs[0].width else None


def from_columns(
    compiled: CompiledEndpoint, columns: Mapping[str, Any], rows: int, *, ignore_unknown: bool = False
) -> InferRequest:
    """A tensor for each column, typed as the model takes it. Raises Refused for a column that it does not have.

    With `ignore_unknown`, columns may also be those of a model's only matrix, in their order.
    """
    tensors = []
    matrix = spread(compiled, columns) if ignore_unknown else None
    if matrix is not None:
        others = [values for name, values in columns.items() if compiled.binder.spec_of(name) is None]
        nested = list(map(list, zip(*others, strict=True)))
        tensors.append(RequestTensor(matrix.name, matrix.datatype, [rows, *matrix.tail], nested))
    for name, values in columns.items():
        spec = compiled.binder.spec_of(name)
        if spec is not None:
            tensors.append(RequestTensor(spec.name, spec.datatype, [rows, *spec.tail], values))
        elif not ignore_unknown:
            raise Refused(400, f"Column {name[:100]!r} is not known here; there are: {names_of(compiled)}.")
    if not tensors:
        raise Refused(400, f"There is no column of the model in the request; there are: {names_of(compiled)}.")
    return InferRequest(tensors)


def from_records(compiled: CompiledEndpoint, records: Sequence[Any], *, ignore_unknown: bool = False) -> InferRequest:
    """Rows as objects, each with the same keys. Raises Refused, naming row and column."""
    if not records:
        raise Refused(400, "There are no rows in the request.")
    first = records[0]
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise Refused(400, f"Row {row} is not an object.")
        if record.keys() != first.keys():
            name = str(min(record.keys() ^ first.keys(), key=str))
            lacking = row if name in first else 0
            raise Refused(
                400, f"Row {lacking} lacks {name[:100]!r}, which other rows have; null says that it is missing."
            )
    columns = {name: [record[name] for record in records] for name in first}
    return from_columns(compiled, columns, len(records), ignore_unknown=ignore_unknown)


def from_array(compiled: CompiledEndpoint, values: Any) -> InferRequest:
    """Rows without names: the model's one tensor, or a matrix of its columns where those are of one datatype."""
    if not isinstance(values, list):
        raise Refused(400, "Rows are a list.")
    specs = compiled.binder.specs
    if len(specs) == 1:
        spec = specs[0]
        return InferRequest([RequestTensor(spec.name, spec.datatype, [len(values), *spec.tail], values)])
    if len({(spec.datatype, spec.tail) for spec in specs}) != 1 or specs[0].tail != (1,):
        raise Refused(400, f"The columns of this model are of several kinds, so name them: {names_of(compiled)}.")
    return InferRequest([RequestTensor("", specs[0].datatype, [len(values), len(specs)], values)])


def names_of(compiled: CompiledEndpoint) -> str:
    """The model's inputs, for a message."""
    return ", ".join(spec.name for spec in compiled.binder.specs)[:1000]


def listed_outputs(compiled: CompiledEndpoint, done: Execution) -> list[tuple[str, list[Any]]]:
    """(name, a value for each row) of each output, ready for JSON: NaN and infinities are None."""
    return [(spec.name, _listed(values)) for spec, values in zip(compiled.outputs, done.outputs, strict=True)]


def _listed(values: Any) -> list[Any]:
    if values.dtype == object:
        found: list[Any] = values.tolist()
        return found
    # Through JSON and back a float32 is its shortest decimal, where `tolist` widens it to the digits of a float64.
    decoded: list[Any] = orjson.loads(orjson.dumps(_contiguous(values), option=orjson.OPT_SERIALIZE_NUMPY))
    return decoded


def _contiguous(values: Any) -> Any:
    return values if values.flags.c_contiguous else values.copy(order="C")
