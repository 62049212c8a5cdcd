"""The form for people: rows as plain objects in, predictions as plain objects with ids out."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any

import msgspec
import orjson

from bailiwick.core.ids import new_id
from bailiwick.serving.documents import answer_of_row
from bailiwick.serving.execution import Execution
from bailiwick.serving.frames import FALLBACK, MIXED
from bailiwick.serving.http import documents
from bailiwick.serving.http.columns import from_records, listed_outputs
from bailiwick.serving.http.form import Reply, Taken
from bailiwick.serving.protocol import InferRequest, Refused, error_json, usable_id
from bailiwick.serving.router import CompiledEndpoint
from bailiwick.serving.wire import write_request

NUMBERED_BOOLEANS = frozenset({"FP16", "FP32", "FP64"})
"""Datatypes for whose single values rows may say true and false, 1 and 0."""

_decode = msgspec.json.Decoder().decode


class PlainRows:
    """The form of `POST /predict/<endpoint>`. `X-Request-Id` names the predictions where it can."""

    def take(self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes, began: int) -> Taken:
        """Raises Refused (400) naming row and column."""
        try:
            said: Any = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(400, f"The body is not JSON: {error}.") from None
        said, params = _parted(compiled, said)
        if not isinstance(said, dict | list):
            raise Refused(400, "The body is a row, as an object with a value for each input, or a list of rows.")
        single = isinstance(said, dict)
        rows: list[Any] = [said] if single else list(said)
        request = _read(compiled, rows)
        request.parameters = params
        batch = compiled.binder.bind(request)
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if usable_id(given) else new_id()
        return Taken(compiled, batch, single, request_id, write_request(request), began, perf_counter_ns(), self)

    def answer(self, taken: Taken, done: Execution) -> Reply | bytes:
        """One object for an object, a list for a list."""
        compiled = taken.compiled
        outputs = listed_outputs(compiled, done)
        if compiled.documents:
            outputs = [(name, [answer_of_row(text) for text in texts]) for name, texts in outputs]
        told = {"fallback": True} if compiled.definition.role == FALLBACK else {}
        predictions = []
        for row in range(taken.batch.rows):
            index = done.variant if done.variant != MIXED else done.variants[row]
            variant = compiled.arms[index].variant
            predictions.append(
                {
                    "id": f"{taken.request_id}:{row}",
                    "model": variant.model,
                    "version": variant.version,
                    "variant": variant.name,
                    **told,
                    "outputs": {name: values[row] for name, values in outputs},
                }
            )
        return _written(predictions[0] if taken.wanted else predictions)

    def refusal(self, status: int, message: str) -> Reply:  # noqa: ARG002 - the same for every status
        """`{"error": message}`."""
        return Reply(error_json(message))


def _read(compiled: CompiledEndpoint, rows: list[Any]) -> InferRequest:
    if not compiled.documents:
        request = from_records(compiled, rows)
        _number_booleans(request)
        return request
    if not rows:
        raise Refused(400, "There are no rows in the request.")
    return documents.from_rows(compiled, rows)


def _written(said: Any) -> bytes:
    try:
        return orjson.dumps(said)
    except TypeError:  # whole numbers of more than 64 bits, as a model of documents may answer with
        return msgspec.json.encode(said)


def _parted(compiled: CompiledEndpoint, said: Any) -> tuple[Any, dict[str, Any] | None]:
    """(rows, params): of the form with both, which is there where a model has params and no input of such a name."""
    declared = compiled.binder.params
    if declared is None or not isinstance(said, dict) or said.keys() != {"rows", "params"}:
        return said, None
    if any(compiled.binder.spec_of(name) for name in said):
        return said, None
    params = said["params"]
    if not isinstance(params, dict):
        raise Refused(400, "params is an object.")
    for name in params:
        if name not in declared.specs:
            known = ", ".join(declared.specs)[:1000]
            raise Refused(400, f"Parameter {name[:100]!r} is not known here; there are: {known}.")
    return said["rows"], params


def _number_booleans(request: InferRequest) -> None:
    """A model learns a column of booleans as 1 and 0, so a row may say them; a tensor of another protocol may not."""
    for tensor in request.inputs:
        values = tensor.data
        if (
            tensor.datatype in NUMBERED_BOOLEANS
            and isinstance(values, list)
            and any(type(each) is bool for each in values)
        ):
            tensor.data = [float(each) if type(each) is bool else each for each in values]


PLAIN_ROWS = PlainRows()
