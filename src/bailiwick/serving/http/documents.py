"""Requests of models of which nothing says what columns they take: documents of MLflow's scoring protocol, as text.

What is in a document is looked at where the model runs (`pyfunc/worker/documents.py`); here only which form it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from bailiwick.core.deferred import deferred
from bailiwick.serving.documents import table_document
from bailiwick.serving.http.tables import MOST_CELLS, MOST_PLAIN_BYTES
from bailiwick.serving.protocol import InferRequest, Refused, RequestTensor
from bailiwick.serving.router import CompiledEndpoint

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa, pq = deferred("pyarrow"), deferred("pyarrow.parquet")

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
WHOLE = ("messages", "prompt", "input")
"""Keys of what is for a language model: a document with one of them and none of the forms is taken as it is."""

_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def request_of(
    compiled: CompiledEndpoint, documents: Sequence[str], rows: Sequence[Mapping[str, Any]] = ()
) -> InferRequest:
    """An infer request of documents. With `rows`, one for each, the unit and event time of the endpoint are those of the rows."""
    (spec,) = compiled.arms[0].runtime.signature.inputs
    tensors = [RequestTensor(spec.name, spec.datatype, [len(documents)], list(documents))]
    for name in {compiled.endpoint.key, compiled.endpoint.time} - {""}:
        known = compiled.binder.spec_of(name)
        if rows and known is not None and all(name in row for row in rows):
            tensors.append(RequestTensor(name, known.datatype, [len(rows)], [row[name] for row in rows]))
    return InferRequest(tensors)


def from_json(compiled: CompiledEndpoint, body: bytes) -> tuple[InferRequest, dict[str, Any], bool]:
    """(request, its params, whether it is for a language model) of a body of the scoring protocol. Raises Refused."""
    parts = _parts(body)
    given = [name for name in FORMS if name in parts]
    if not given and any(name in parts for name in WHOLE):
        declared = compiled.binder.params.specs if compiled.binder.params is not None else {}
        params = {name: _value(parts.pop(name)) for name in list(parts) if name in declared}
        return request_of(compiled, [_written(parts)]), params, True
    if len(given) != 1:
        keys = ", ".join(map(repr, list(parts)[:10]))[:300] or "none"
        raise Refused(
            400,
            f"The input must be a JSON dictionary with exactly one of the input fields {list(FORMS)}. It has the keys {keys}.",
        )
    params = _value(parts.get("params", msgspec.Raw(b"null"))) or {}
    if not isinstance(params, dict):
        raise Refused(400, "params must be an object.")
    document = {name: parts[name] for name in (given[0], "dtypes") if name in parts}
    return request_of(compiled, [_written(document)]), params, False


def from_csv(compiled: CompiledEndpoint, body: bytes) -> InferRequest:
    """A table as text, which pandas reads where the model runs."""
    try:
        return request_of(compiled, [json.dumps({"csv": body.decode("utf-8-sig")})])
    except UnicodeDecodeError as error:
        raise Refused(400, f"The body is not CSV: {error}.") from None


def from_parquet(compiled: CompiledEndpoint, body: bytes) -> InferRequest:
    """A table with the types of its columns. Raises Refused: 413 for one that is too large, 400 for one that is none."""
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        about = file.metadata
        size = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
        cells = about.num_rows * max(1, about.num_columns)
        if cells > MOST_CELLS or size > MOST_PLAIN_BYTES:
            raise Refused(
                413,
                f"The table has {cells} values in {size} bytes; a request has at most {MOST_CELLS} in {MOST_PLAIN_BYTES}.",
            )
        return request_of(compiled, [table_document(file.read())])
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Refused(400, f"The body is not Parquet: {str(error)[:300]}.") from None


def from_rows(compiled: CompiledEndpoint, rows: Sequence[Any]) -> InferRequest:
    """A document for each row: an object is a row of a table, anything else one of an array."""
    documents = [
        json.dumps({"dataframe_records" if isinstance(row, dict) else "inputs": [row]}, allow_nan=False) for row in rows
    ]
    return request_of(compiled, documents, rows if all(isinstance(row, dict) for row in rows) else ())


def _parts(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_parts(body)
    except msgspec.ValidationError:
        raise Refused(
            400, f"The input must be a JSON dictionary with exactly one of the input fields {list(FORMS)}."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as first:
        try:  # Python's clients write NaN, which is not JSON
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(
                400, f"Invalid input. Ensure that input is a valid JSON formatted string. Error: {first}."
            ) from None
        if not isinstance(found, dict):
            raise Refused(400, f"The input must be a JSON dictionary with exactly one of {list(FORMS)}.") from None
        return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}


def _written(parts: Mapping[str, msgspec.Raw]) -> str:
    try:
        return "{" + ",".join(f"{json.dumps(name)}:{str(bytes(raw), 'utf-8')}" for name, raw in parts.items()) + "}"
    except UnicodeDecodeError:
        raise Refused(400, "Invalid input. The body is not UTF-8.") from None


def _value(raw: msgspec.Raw) -> Any:
    try:
        return json.loads(bytes(raw))
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"Invalid input. A parameter cannot be read: {error}.") from None
