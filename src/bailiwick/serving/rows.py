"""From spooled frames to rows of the prediction log, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from bailiwick.endpoints.log import OUTCOME_SCHEMA, PREDICTION_SCHEMA, input_column, output_column
from bailiwick.serving.frames import NO_FAILURE, Definition, Outcomes, Prediction
from bailiwick.serving.protocol import flat_nullable, parse_infer, parse_outcomes
from bailiwick.serving.tensors import NUMPY_TYPES, TensorSpec

FAILED_DEPENDENCY = 424
"""Status of rows that were not answered because another variant failed on rows of the same request."""

# Delta has no unsigned and no half-precision types.
_ARROW_TYPES = {
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
    "BYTES": pa.string(),
}


@dataclass(slots=True)
class _Requests:
    """Requests answered under one definition; lists grow by request, `values` by row."""

    definition: Definition
    counts: list[int] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    latency: list[int] = field(default_factory=list)
    errors: list[str | None] = field(default_factory=list)
    prediction_ids: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    statuses: list[np.ndarray] = field(default_factory=list)
    variants: list[np.ndarray] = field(default_factory=list)
    inputs: dict[str, list[Any]] = field(default_factory=dict)
    outputs: list[list[np.ndarray]] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)

    def add(self, read: Prediction) -> None:
        rows = len(read.variants)
        endpoint = self.definition.endpoint
        sent = {tensor.name: tensor.data for tensor in parse_infer(read.body).inputs}
        ids = [f"{read.request_id}:{row}" for row in range(rows)]
        units, times = sent.get(endpoint.key), sent.get(endpoint.time)
        self.counts.append(rows)
        self.request_ids.append(read.request_id)
        self.received.append(read.received)
        self.latency.append(read.latency_us)
        self.errors.append(read.error or None)
        self.prediction_ids.extend(ids)
        self.units.extend(flat_nullable(units) if units else ids)
        self.times.extend(flat_nullable(times) if times else [read.received] * rows)
        self.statuses.append(_statuses(read))
        self.variants.append(read.variants)
        self._add_tensors(read, sent, rows)

    def _add_tensors(self, read: Prediction, sent: dict[str, list[Any] | None], rows: int) -> None:
        for spec in self.definition.inputs:
            data = sent.get(spec.name)
            values = flat_nullable(data) if data else [None] * (rows * spec.width)
            self.inputs.setdefault(spec.name, []).extend(values)
        self.answered.append(bool(read.outputs))
        self.outputs.append(
            list(read.outputs) or [np.zeros((rows, *spec.tail), spec.dtype) for spec in self.definition.outputs]
        )

    def table(self) -> pa.Table:
        endpoint = self.definition.endpoint
        total = len(self.prediction_ids)
        request = np.repeat(np.arange(len(self.counts)), self.counts)
        variant = np.concatenate(self.variants)
        columns = {
            "prediction_id": self.prediction_ids,
            "request_id": pa.array(self.request_ids).take(pa.array(request)),
            "row": np.concatenate([np.arange(count, dtype=np.int32) for count in self.counts]),
            "endpoint": pa.repeat(endpoint.name, total),
            "epoch": np.full(total, endpoint.epoch, np.int32),
            "variant": pa.array([chosen.name for chosen in endpoint.variants]).take(pa.array(variant)),
            "model": pa.array([chosen.model for chosen in endpoint.variants]).take(pa.array(variant)),
            "version": np.array([chosen.version for chosen in endpoint.variants], np.int32)[variant],
            "unit": self.units,
            "time": self.times,
            "received": np.array(self.received, np.int64)[request],
            "latency_us": np.array(self.latency, np.int32)[request],
            "status": np.concatenate(self.statuses),
            "error": pa.array(self.errors, pa.string()).take(pa.array(request)),
        }
        table = pa.table(
            [
                pa.array(columns[item.name], item.type)
                if not isinstance(columns[item.name], pa.Array)
                else columns[item.name]
                for item in PREDICTION_SCHEMA
            ],
            schema=PREDICTION_SCHEMA,
        )
        for spec in self.definition.inputs:
            table = table.append_column(input_column(spec.name), _input_array(self.inputs[spec.name], spec))
        answered = np.repeat(self.answered, self.counts)
        for place, spec in enumerate(self.definition.outputs):
            values = np.concatenate([outputs[place] for outputs in self.outputs])
            table = table.append_column(output_column(spec.name), _output_array(values, answered, spec))
        return table


class PredictionRows:
    """Predictions of one endpoint on their way to one commit."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: dict[int, _Requests] = {}

    def add(self, read: Prediction, definition: Definition) -> None:
        """Take one request's rows. Raises Refused where the body is not what the worker accepted."""
        part = self._parts.setdefault(definition.reference, _Requests(definition))
        part.add(read)
        self.count += len(read.variants)

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
        return pa.table([pa.array(values) for values in arrays], schema=OUTCOME_SCHEMA)


def _statuses(read: Prediction) -> np.ndarray:
    statuses = np.full(len(read.variants), read.status, np.int16)
    if read.failed != NO_FAILURE:
        statuses[read.variants != read.failed] = FAILED_DEPENDENCY
    return statuses


def _input_array(values: Sequence[Any], spec: TensorSpec) -> pa.Array:
    kind = _ARROW_TYPES[spec.datatype]
    if pa.types.is_floating(kind):
        # Through NumPy, which rounds as serving does where Arrow refuses; null is the only NaN that JSON can say.
        flat = pa.array(np.array(values, dtype=NUMPY_TYPES[spec.datatype]), from_pandas=True).cast(kind)
    else:
        flat = pa.array(values, kind)
    return _shaped(flat, spec)


def _output_array(values: np.ndarray, answered: np.ndarray, spec: TensorSpec) -> pa.Array:
    mask = np.repeat(~answered, spec.width)
    flat = pa.array(values.ravel(), mask=mask)
    return _shaped(flat.cast(_ARROW_TYPES[spec.datatype]), spec)


def _shaped(flat: pa.Array, spec: TensorSpec) -> pa.Array:
    if spec.width == 1:
        return flat
    return pa.ListArray.from_arrays(pa.array(range(0, len(flat) + 1, spec.width), pa.int32()), flat)
