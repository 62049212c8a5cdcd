"""MLflow's scoring protocol: `/invocations` with tables and tensors in JSON, CSV or Parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any

import msgspec
import orjson

from bailiwick.core.ids import new_id
from bailiwick.serving.documents import answer_of
from bailiwick.serving.execution import Execution
from bailiwick.serving.http import documents
from bailiwick.serving.http.columns import from_array, from_columns, from_records, listed_outputs
from bailiwick.serving.http.form import Header, Reply, Taken
from bailiwick.serving.http.tables import read_csv, read_parquet
from bailiwick.serving.protocol import InferRequest, Refused
from bailiwick.serving.router import CompiledEndpoint
from bailiwick.serving.wire import write_request

SCORING_VERSION = "3.18.0"
"""The MLflow whose scoring protocol this is, as `/version` tells clients."""

_TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")
_FORMATS = documents.FORMS
_REQUIRED = f"The input must be a JSON dictionary with exactly one of the input fields {list(_FORMATS)}"
_NO_FRAME = "Provided dataframe_split field is not a valid dataframe representation"
_UNSUPPORTED_MEDIA = 415
_CODES = {
    400: "BAD_REQUEST",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "BAD_REQUEST",
    408: "BAD_REQUEST",
    413: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}

_decode = msgspec.json.Decoder().decode


class Scoring:
    """The form of `POST /invocations` and `POST /endpoints/<endpoint>/invocations`."""

    def take(self, compiled: CompiledEndpoint, headers: Mapping[bytes, bytes], body: bytes, began: int) -> Taken:
        """Raises Refused: 415 for a Content-Type that is not of the protocol, 400 for anything else.

        Columns that the model does not have are ignored, as MLflow ignores them.
        """
        kind = _content_type(headers.get(b"content-type", b"application/json").decode("latin-1"))
        whole = False
        if compiled.documents:
            request, whole = _document(compiled, kind, body)
        elif kind == "text/csv":
            request = read_csv(compiled, body)
        elif kind == "application/vnd.apache.parquet":
            request = read_parquet(compiled, body)
        else:
            request = _from_json(compiled, body)
        batch = compiled.binder.bind(request)
        return Taken(compiled, batch, whole, new_id(), write_request(request), began, perf_counter_ns(), self)

    def answer(self, taken: Taken, done: Execution) -> Reply | bytes:
        """`{"predictions": …}`: a list for a model with one output, records for one with several.

        Of a model of documents, what it answered; as it is where the document was for a language model.
        """
        if taken.compiled.documents:
            said = answer_of(str(done.outputs[0][0]))
            return msgspec.json.encode(said if taken.wanted else {"predictions": said})
        outputs = listed_outputs(taken.compiled, done)
        predictions: list[Any] = outputs[0][1]
        if len(outputs) > 1:
            names = [name for name, _ in outputs]
            predictions = [
                dict(zip(names, values, strict=True)) for values in zip(*(values for _, values in outputs), strict=True)
            ]
        return orjson.dumps({"predictions": predictions})

    def refusal(self, status: int, message: str) -> Reply:
        """`{"error_code", "message", "stack_trace"}`; plain text with 415, as MLflow has it. The trace is always empty."""
        said = message.encode("utf-8", "replace")
        if status == _UNSUPPORTED_MEDIA:
            return Reply(said, _TEXT)
        code = _CODES.get(status, "INTERNAL_ERROR")
        return Reply(orjson.dumps({"error_code": code, "message": said.decode(), "stack_trace": ""}))


def _document(compiled: CompiledEndpoint, kind: str, body: bytes) -> tuple[InferRequest, bool]:
    """(request, whether it is for a language model) of a model of which nothing says what columns it takes."""
    if kind == "text/csv":
        return documents.from_csv(compiled, body), False
    if kind == "application/vnd.apache.parquet":
        return documents.from_parquet(compiled, body), False
    request, params, whole = documents.from_json(compiled, body)
    request.parameters = _params(compiled, params)
    return request, whole


def _content_type(header: str) -> str:
    kind, *parameters = [part.strip() for part in header.split(";")]
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if name.lower() != "charset":
            raise Refused(_UNSUPPORTED_MEDIA, f"Unrecognized content type parameters: {name[:50]}.")
        if value.strip('"').lower() != "utf-8":
            raise Refused(_UNSUPPORTED_MEDIA, "The scoring server only supports UTF-8")
    kinds = ("text/csv", "application/json", "application/vnd.apache.parquet")
    if kind.lower() not in kinds:
        raise Refused(
            _UNSUPPORTED_MEDIA,
            f"This predictor only supports the following content types: {', '.join(kinds)}. Got {header[:100]!r}.",
        )
    return kind.lower()


def _from_json(compiled: CompiledEndpoint, body: bytes) -> InferRequest:
    said = _parsed(body)
    form, values = _chosen(said)
    request = _of_form(compiled, form, values)
    request.parameters = _params(compiled, said.get("params") or {})
    return request


def _of_form(compiled: CompiledEndpoint, form: str, values: Any) -> InferRequest:
    if form == "dataframe_split":
        return _from_split(compiled, values)
    if isinstance(values, dict) and form == "inputs":
        return _from_named(compiled, values)
    if form == "dataframe_records" and not isinstance(values, list):
        raise Refused(400, f"Dataframe records format must be a list of records. Got {_kind(values)}.")
    if not isinstance(values, list) or not values:
        raise Refused(400, f"{form} must be a list of rows, with at least one.")
    if form == "dataframe_records" or isinstance(values[0], dict):
        return from_records(compiled, values, ignore_unknown=True)
    return from_array(compiled, values)


def _chosen(said: Any) -> tuple[str, Any]:
    """(form, what is in it)."""
    if not isinstance(said, dict):
        raise Refused(400, f"{_REQUIRED}. Received a {_kind(said)}.")
    given = [name for name in _FORMATS if name in said]
    if not given and any(name in said for name in documents.WHOLE):
        raise Refused(400, "messages, prompt and input are for language models, and this model has columns.")
    if len(given) != 1:
        keys = ", ".join(map(repr, list(said)[:10]))[:300] or "none"
        raise Refused(400, f"{_REQUIRED}. It has the keys {keys}.")
    if not isinstance(said.get("params") or {}, dict):
        raise Refused(400, "params must be an object.")
    return given[0], said[given[0]]


def _params(compiled: CompiledEndpoint, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Those that a model declares; others mean nothing to MLflow either."""
    if compiled.binder.params is None:
        return None
    specs = compiled.binder.params.specs
    found = {name: value for name, value in given.items() if name in specs}
    for name, value in found.items():
        if isinstance(value, str) and specs[name].compound:  # other protocols have no other way to say a list
            raise Refused(400, f"Invalid parameters found: {name[:100]!r} is a text, and must be {specs[name].kind}.")
    return found or None


def _parsed(body: bytes) -> Any:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as first:
        try:  # Python's clients write NaN, which is not JSON
            return json.loads(body, parse_constant=lambda said: None if said == "NaN" else float(said))
        except (ValueError, RecursionError):
            raise Refused(
                400, f"Invalid input. Ensure that input is a valid JSON formatted string. Error: {first}."
            ) from None


def _kind(value: object) -> str:
    """What MLflow calls it."""
    return {dict: "dictionary", list: "list", str: "string", type(None): "null", bool: "boolean"}.get(
        type(value), "number"
    )


def _from_split(compiled: CompiledEndpoint, values: Any) -> InferRequest:
    if not isinstance(values, dict):
        raise Refused(400, f"Dataframe split format must be a dictionary. Got {_kind(values)}.")
    unknown = ", ".join(sorted(values.keys() - {"columns", "data", "index"}))[:100]
    if unknown or not isinstance(values.get("data"), list):
        wrong = f"it also has {unknown}" if unknown else "data must be a list of rows"
        raise Refused(400, f"{_NO_FRAME} of data, and optionally columns and index: {wrong}.")
    names, data, index = values.get("columns"), values["data"], values.get("index")
    if index is not None and (not isinstance(index, list) or len(index) != len(data)):
        raise Refused(400, f"{_NO_FRAME}: index must have one value for each of {len(data)} rows.")
    if names is None:
        return from_array(compiled, data)
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise Refused(400, f"{_NO_FRAME}: columns must be a list of names.")
    if len(set(names)) != len(names):
        raise Refused(400, f"{_NO_FRAME}: columns has a name twice.")
    for row, record in enumerate(data):
        if not isinstance(record, list) or len(record) != len(names):
            raise Refused(400, f"{_NO_FRAME}: row {row} has not one value for each of {len(names)} columns.")
    if not data:
        raise Refused(400, "There are no rows in the request.")
    columns = {str(name): [record[place] for record in data] for place, name in enumerate(names)}
    return from_columns(compiled, columns, len(data), ignore_unknown=True)


def _from_named(compiled: CompiledEndpoint, values: dict[str, Any]) -> InferRequest:
    columns = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise Refused(400, "inputs must have the same number of rows in each column, and at least one.")
    return from_columns(compiled, columns, lengths.pop(), ignore_unknown=True)


SCORING = Scoring()
