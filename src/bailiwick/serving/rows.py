"""From spooled frames to rows of the prediction log, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.log import (
    PARAMS,
    WITHHELD,
    hashed_column,
    input_column,
    outcome_schema,
    output_column,
    prediction_schema,
    refusal_schema,
)
from bailiwick.endpoints.recording import EVERYTHING, Pseudonyms
from bailiwick.pyfunc.params import ParamSpec, resolved
from bailiwick.serving.frames import NO_FAILURE, Definition, Outcomes, Prediction, Refusal
from bailiwick.serving.matrix import columns_of
from bailiwick.serving.protocol import flat_nullable, parse_outcomes
from bailiwick.serving.recorded import read_recorded
from bailiwick.serving.tensors import NUMPY_TYPES, TensorSpec

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = deferred("pyarrow")

FAILED_DEPENDENCY = 424
"""Status of rows that were not answered because another variant failed on rows of the same request."""

_OK = 200


@cache
def _arrow_types() -> dict[str, pa.DataType]:
    """By OIP datatype; Delta has no unsigned and no half-precision types."""
    return {
        "BOOL": pa.bool_(),
        "UINT8": pa.int16(),
        "UINT16": pa.int32(),
        "UINT32": pa.int64(),
        "UINT64": pa.decimal128(20, 0),
        "INT8": pa.int8(),
        "INT16": pa.int16(),
        "INT32": pa.int32(),
        "INT64": pa.int64(),
        "FP16": pa.float32(),
        "FP32": pa.float32(),
        "FP64": pa.float64(),
        "BF16": pa.float32(),
        "BYTES": pa.string(),
    }


class _Requests:
    """Requests answered under one definition: lists by request, lists by row, and bytes that become arrays at once."""

    def __init__(self, definition: Definition, pseudonyms: Pseudonyms | None) -> None:
        self._definition = definition
        self._pseudonyms = pseudonyms
        endpoint = definition.endpoint
        self._treatments = [endpoint.recording.treatment(spec.name) for spec in definition.inputs]
        self._hides_unit = bool(endpoint.key) and endpoint.recording.treatment(endpoint.key) != "keep"
        self._withheld: list[bool] = []
        self._counts: list[int] = []
        self._request_ids: list[str] = []
        self._received: list[int] = []
        self._latency: list[int] = []
        self._statuses: list[int] = []
        self._failed: list[int] = []
        self._errors: list[str | None] = []
        self._prediction_ids: list[str] = []
        self._units: list[str | None] = []
        self._times: list[int] = []
        self._variants: list[bytes] = []
        self._inputs: list[list[Any]] = [[] for _ in definition.inputs]
        self._outputs: list[list[bytes]] = [[] for _ in definition.outputs]
        self._params: list[str | None] = []

    def add(self, read: Prediction) -> None:
        rows, endpoint = read.rows, self._definition.endpoint
        request = read_recorded(read.body)
        inputs = columns_of(request.inputs, self._definition.inputs)
        sent = {tensor.name: tensor.data for tensor in inputs}
        ids: list[str] = [f"{read.request_id}:{row}" for row in range(rows)]
        units, times = sent.get(endpoint.key), sent.get(endpoint.time)
        self._withheld.append(read.withheld)
        self._counts.append(rows)
        self._request_ids.append(read.request_id)
        self._received.append(read.received)
        self._latency.append(read.latency_us)
        self._statuses.append(read.status)
        self._failed.append(read.failed)
        self._errors.append(read.error or None)
        self._prediction_ids += ids
        self._units += ids if units is None else self._shown_units(flat_nullable(units))
        self._times += [read.received] * rows if times is None else flat_nullable(times)
        self._variants.append(read.variants)
        if self._definition.params:
            self._params += self._run_with(read, request.parameters or {})
        for spec, values in zip(self._definition.inputs, self._inputs, strict=True):
            data = None if read.withheld else sent.get(spec.name)
            values.extend([None] * (rows * spec.width) if data is None else flat_nullable(data))
        for spec, chunks, chunk in zip(
            self._definition.outputs, self._outputs, read.outputs or repeat(None), strict=False
        ):
            chunks.append(_unanswered(spec, rows) if chunk is None else chunk)

    def table(self) -> pa.Table:
        request = np.repeat(np.arange(len(self._counts)), self._counts)
        variants = np.frombuffer(b"".join(self._variants), np.uint8)
        status = np.array(self._statuses, np.int16)[request]
        failed = np.array(self._failed, np.uint8)[request]
        blamed = np.where((failed != NO_FAILURE) & (variants != failed), np.int16(FAILED_DEPENDENCY), status)
        table = self._identity(request, variants, blamed)
        for spec, values, treatment in zip(self._definition.inputs, self._inputs, self._treatments, strict=True):
            if treatment == "keep":
                table = table.append_column(input_column(spec.name), _input_array(values, spec))
            elif treatment == "hash" and self._pseudonyms is not None:
                hashed = [self._pseudonyms.of(spec.name, value) for value in values]
                table = table.append_column(hashed_column(spec.name), _shaped(pa.array(hashed, pa.string()), spec))
        if self._definition.params:
            table = table.append_column(PARAMS, pa.array(self._params, pa.string()))
        if self._definition.endpoint.recording.withholds:
            table = table.append_column(WITHHELD, self._hidden(request))
        for spec, chunks in zip(self._definition.outputs, self._outputs, strict=True):
            table = table.append_column(output_column(spec.name), _output_array(chunks, status == _OK, spec))
        return table

    def _run_with(self, read: Prediction, given: Mapping[str, Any]) -> list[str | None]:
        """Of each row, the params of its variant, without those that the policy hides."""
        if read.withheld:
            return [None] * read.rows
        recording = self._definition.endpoint.recording
        told: dict[int, str] = {}
        for variant in set(read.variants):
            specs = [each for each in self._definition.params[variant] if recording.treatment(each.name) == "keep"]
            told[variant] = msgspec.json.encode(_resolved(specs, given)).decode()
        return [told[variant] for variant in read.variants]

    def _shown_units(self, units: list[Any]) -> list[str | None]:
        if not self._hides_unit:
            return units
        key = self._definition.endpoint.key
        return [None if self._pseudonyms is None else self._pseudonyms.of(key, unit) for unit in units]

    def _hidden(self, request: np.ndarray) -> pa.Array:
        """Of each row, which inputs are not in it as they were sent."""
        named = [
            spec.name for spec, how in zip(self._definition.inputs, self._treatments, strict=True) if how != "keep"
        ]
        recording = self._definition.endpoint.recording
        params = dict.fromkeys(spec.name for specs in self._definition.params for spec in specs)
        named += [name for name in params if recording.treatment(name) != "keep"]
        some = "\n".join(named) or None
        told = pa.array([EVERYTHING if withheld else some for withheld in self._withheld], pa.string())
        return told.take(pa.array(request))

    def _identity(self, request: np.ndarray, variants: np.ndarray, status: np.ndarray) -> pa.Table:
        """The columns of `prediction_schema`, in its order."""
        endpoint, total, by_request = self._definition.endpoint, len(request), pa.array(request)
        by_variant = pa.array(variants)
        arrays = [
            pa.array(self._prediction_ids, pa.string()),
            pa.array(self._request_ids, pa.string()).take(by_request),
            pa.array(_within(self._counts)),
            pa.repeat(endpoint.name, total),
            pa.repeat(pa.scalar(endpoint.epoch, pa.int32()), total),
            pa.array([variant.name for variant in endpoint.variants]).take(by_variant),
            pa.array([variant.model for variant in endpoint.variants]).take(by_variant),
            pa.array([variant.version for variant in endpoint.variants], pa.int32()).take(by_variant),
            pa.array(self._units, pa.string()),
            pa.array(self._times, pa.int64()),
            pa.array(self._received, pa.int64()).take(by_request),
            pa.array(self._latency, pa.int32()).take(by_request),
            pa.array(status),
            pa.array(self._errors, pa.string()).take(by_request),
        ]
        return pa.table(arrays, schema=prediction_schema())


class PredictionRows:
    """Predictions of one endpoint on their way to one commit."""

    def __init__(self, pseudonyms: Pseudonyms | None = None) -> None:
        """Values that the policy has hashed are left out where there is nothing to hash them with."""
        self.count = 0
        self._pseudonyms = pseudonyms
        self._parts: dict[int, _Requests] = {}

    def add(self, read: Prediction, definition: Definition) -> None:
        """Take one request's rows. Raises Refused where the body is not what the worker accepted."""
        part = self._parts.get(definition.reference)
        if part is None:
            part = self._parts[definition.reference] = _Requests(definition, self._pseudonyms)
        part.add(read)
        self.count += read.rows

    def table(self) -> pa.Table:
        """All rows; a column that versions give different types is kept apart as `<column>_<type>`."""
        types: dict[str, pa.DataType] = {}
        tables = []
        for part in self._parts.values():
            table = part.table()
            names = [
                item.name if types.setdefault(item.name, item.type) == item.type else f"{item.name}_{item.type}"
                for item in table.schema
            ]
            tables.append(table.rename_columns(names))
        return pa.concat_tables(tables, promote_options="default")


class RefusalRows:
    """Requests that one endpoint refused, on their way to one commit."""

    def __init__(self) -> None:
        self._read: list[Refusal] = []

    @property
    def count(self) -> int:
        """Requests taken so far."""
        return len(self._read)

    def add(self, read: Refusal) -> None:
        """Take one request."""
        self._read.append(read)

    def table(self) -> pa.Table:
        """All rows."""
        names = ("request_id", "endpoint", "received", "status", "body_bytes", "error")
        return pa.table([[getattr(read, name) for read in self._read] for name in names], schema=refusal_schema())


class OutcomeRows:
    """Outcomes of one endpoint on their way to one commit."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._values: list[float] = []
        self._times: list[int] = []
        self._received: list[int] = []

    @property
    def count(self) -> int:
        """Outcomes taken so far."""
        return len(self._ids)

    def add(self, read: Outcomes) -> None:
        """Take one batch. Raises Refused where the body is not what the worker accepted."""
        request = parse_outcomes(read.body)
        many = len(request.prediction_id)
        self._ids.extend(request.prediction_id)
        self._values.extend(request.outcome)
        self._times.extend(request.time or [read.received] * many)
        self._received.extend([read.received] * many)

    def table(self) -> pa.Table:
        """All rows."""
        arrays = [self._ids, np.array(self._values, np.float64), self._times, self._received]
        return pa.table([pa.array(values) for values in arrays], schema=outcome_schema())


def _resolved(specs: Sequence[ParamSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return resolved(specs, given)
    except InvalidInput:  # a version of no traffic, which could not be run with them: on record is why
        return {spec.name: given[spec.name] for spec in specs if spec.name in given}


def _within(counts: Sequence[int]) -> np.ndarray:
    """0, 1, … count - 1 for each count, one after another."""
    sizes = np.array(counts)
    starts = np.cumsum(sizes) - sizes
    within: np.ndarray = np.arange(sizes.sum()) - np.repeat(starts, sizes)
    return within.astype(np.int32)


def _input_array(values: Sequence[Any], spec: TensorSpec) -> pa.Array:
    kind = _arrow_types()[spec.datatype]
    if pa.types.is_floating(kind):
        # Through NumPy, which rounds as serving does where Arrow refuses; null is the only NaN that JSON can say.
        flat = pa.array(np.array(values, dtype=NUMPY_TYPES[spec.datatype]), from_pandas=True).cast(kind)
    elif pa.types.is_decimal(kind):  # takes no 5.0, which is a whole number in JSON
        flat = pa.array([int(value) if type(value) is float else value for value in values], kind)
    else:
        flat = pa.array(values, kind)
    return _shaped(flat, spec)


def _unanswered(spec: TensorSpec, rows: int) -> bytes:
    """Filler for rows without outputs; what is read from it is masked."""
    if spec.datatype == "BYTES":
        return msgspec.json.encode([""] * (rows * spec.width))
    return bytes(rows * spec.width * np.dtype(spec.dtype).itemsize)


def _output_array(chunks: Sequence[bytes], answered: np.ndarray, spec: TensorSpec) -> pa.Array:
    values: Any
    if spec.datatype == "BYTES":
        values = np.array([text for chunk in chunks for text in msgspec.json.decode(chunk)], dtype=object)
    else:
        values = np.frombuffer(b"".join(chunks), spec.dtype)
    flat = pa.array(values, mask=np.repeat(~answered, spec.width))
    return _shaped(flat.cast(_arrow_types()[spec.datatype]), spec)


def _shaped(flat: pa.Array, spec: TensorSpec) -> pa.Array:
    if spec.width == 1:
        return flat
    return pa.ListArray.from_arrays(pa.array(range(0, len(flat) + 1, spec.width), pa.int32()), flat)
