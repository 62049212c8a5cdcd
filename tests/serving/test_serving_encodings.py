"""Any encoding of the same rows gives the same tensors, and any split of them the same rows, whatever the protocol."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.serving.grpc.form import Message
from bailiwick.serving.http.form import Taken
from bailiwick.serving.http.mlflow import SCORING
from bailiwick.serving.http.oip import OPEN_INFERENCE
from bailiwick.serving.http.plain import PLAIN_ROWS
from bailiwick.serving.messages.classes import message
from bailiwick.serving.messages.requests import read_infer
from bailiwick.serving.protocol import Refused
from bailiwick.serving.router import CompiledEndpoint
from bailiwick.serving.tensors import NUMPY_TYPES
from bailiwick.serving.wire import read_tensor, recorded_request, write_tensor
from tests_support.echoes import route_echo
from tests_support.serving import Serving


class Takes(Protocol):
    """What of a form is tried here."""

    def take(self, compiled: CompiledEndpoint, headers: dict[bytes, bytes], body: bytes, began: int) -> Taken: ...


class Messages:
    """Messages of gRPC, each of which is its own form."""

    def take(self, compiled: CompiledEndpoint, headers: dict[bytes, bytes], body: bytes, began: int) -> Taken:
        return Message(read_infer(body)).take(compiled, headers, body, began)


MESSAGES = Messages()
Columns = dict[str, np.ndarray]
"""Rows by input; the datatype of an input is its name in capitals."""
Encoded = tuple[Takes, dict[bytes, bytes], bytes]

KINDS = sorted(NUMPY_TYPES)
TYPED = {
    "BOOL": "bool_contents",
    "UINT64": "uint64_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
}
SHAPES: dict[str, list[int]] = {"flat": [], "single": [1], "wide": [2, 2]}
BINARY = b"inference-header-content-length"


# -- the same rows in every form ---------------------------------------------------------------------------------------


def tensor(name: str, values: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": name.upper(), "shape": list(values.shape), **more}


def as_json(columns: Columns, *, nested: bool) -> Encoded:
    inputs = [tensor(name, each, data=(each if nested else each.ravel()).tolist()) for name, each in columns.items()]
    return OPEN_INFERENCE, {}, msgspec.json.encode({"inputs": inputs})


def as_bytes(columns: Columns) -> Encoded:
    parts = [write_tensor(each, name.upper()) for name, each in columns.items()]
    inputs = [
        tensor(name, each, parameters={"binary_data_size": len(part)})
        for (name, each), part in zip(columns.items(), parts, strict=True)
    ]
    head = msgspec.json.encode({"inputs": inputs})
    return OPEN_INFERENCE, {BINARY: b"%d" % len(head)}, b"".join((head, *parts))


def as_message(columns: Columns, *, raw: bool) -> Encoded:
    made = message("inference.ModelInferRequest")(model_name="late")
    for name, values in columns.items():
        sent = made.inputs.add(name=name, datatype=name.upper(), shape=values.shape)
        if raw:
            made.raw_input_contents.append(write_tensor(values, name.upper()))
        else:
            flat = values.ravel().tolist()
            texts = [value.encode() for value in flat] if name == "bytes" else flat
            getattr(sent.contents, TYPED[name.upper()]).extend(texts)
    return MESSAGES, {}, made.SerializeToString()


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    """As people write them: an input of one value stands without a list around it."""
    count = len(next(iter(columns.values())))
    listed = {name: (each.ravel() if each.size == count else each).tolist() for name, each in columns.items()}
    return [{name: values[row] for name, values in listed.items()} for row in range(count)]


def as_rows(columns: Columns) -> Encoded:
    return PLAIN_ROWS, {}, msgspec.json.encode(rows_of(columns))


def as_scored(columns: Columns, *, form: str) -> Encoded:
    rows = rows_of(columns)
    body: Any = rows
    if form == "dataframe_split":
        body = {"columns": list(columns), "data": [list(row.values()) for row in rows]}
    elif form == "inputs":
        body = {name: values.tolist() for name, values in columns.items()}
    return SCORING, {}, msgspec.json.encode({form: body})


def as_csv(columns: Columns) -> Encoded:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns))
    writer.writeheader()
    writer.writerows(rows_of(columns))
    return SCORING, {b"content-type": b"text/csv"}, text.getvalue().encode()


def as_parquet(columns: Columns) -> Encoded:
    rows = rows_of(columns)
    table = pa.table({name: pa.array([row[name] for row in rows], arrow_type(name, rows)) for name in columns})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return SCORING, {b"content-type": b"application/vnd.apache.parquet"}, sink.getvalue()


def arrow_type(name: str, rows: list[dict[str, Any]]) -> pa.DataType:
    kind = pa.string() if name == "bytes" else pa.from_numpy_dtype(NUMPY_TYPES[name.upper()])
    depth, value = 0, rows[0][name]
    while isinstance(value, list):
        depth, value = depth + 1, value[0]
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


EVERYWHERE: dict[str, Callable[[Columns], Encoded]] = {
    "flat JSON": lambda columns: as_json(columns, nested=False),
    "nested JSON": lambda columns: as_json(columns, nested=True),
    "bytes": as_bytes,
    "raw contents": lambda columns: as_message(columns, raw=True),
    "plain rows": as_rows,
    "dataframe_split": lambda columns: as_scored(columns, form="dataframe_split"),
    "dataframe_records": lambda columns: as_scored(columns, form="dataframe_records"),
    "instances": lambda columns: as_scored(columns, form="instances"),
    "inputs": lambda columns: as_scored(columns, form="inputs"),
    "Parquet": as_parquet,
}


def forms(columns: Columns) -> Iterator[tuple[str, Encoded]]:
    """Every encoding that can carry these columns, by name."""
    for name, encode in EVERYWHERE.items():
        yield name, encode(columns)
    typed = {name: each for name, each in columns.items() if name.upper() in TYPED}
    if len(typed) == len(columns):
        yield "typed contents", as_message(columns, raw=False)
    if all(each.size == len(each) for each in columns.values()):
        yield "CSV", as_csv(columns)


# -- what comes of them --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Serving]:
    """A model of all datatypes for each shape of a row."""
    found = {}
    for shape, tail in SHAPES.items():
        found[shape] = Serving(tmp_path_factory.mktemp(shape))
        route_echo(found[shape], *((kind.lower(), kind, tail) for kind in KINDS))
    return found


def compiled_of(serving: Serving) -> CompiledEndpoint:
    return serving.handler.routes.endpoints["late"]


def bound(serving: Serving, encoded: Encoded) -> dict[str, np.ndarray]:
    form, headers, body = encoded
    return form.take(compiled_of(serving), headers, body, 0).batch.arrays


def elements(kind: str) -> st.SearchStrategy[Any]:
    """Values that JSON has too: no NaN, no infinity."""
    if kind == "BOOL":
        return st.booleans()
    if kind == "BYTES":
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.just("a\0b\r\n,\"'")
    if kind == "BF16":
        bits = st.integers(0, 0xFFFF).filter(lambda bits: bits & 0x7F80 != 0x7F80)
        return bits.map(lambda bits: read_tensor(bits.to_bytes(2, "little"), "BF16", [1], name="x").item())
    dtype: np.dtype[Any] = np.dtype(NUMPY_TYPES[kind])
    if dtype.kind == "f":
        return st.floats(width=dtype.itemsize * 8, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
    about = np.iinfo(dtype)
    return st.integers(int(about.min), int(about.max))


@st.composite
def tables(draw: st.DrawFn, shape: str, *, everything: bool = True) -> Columns:
    """Some rows of all inputs of a model, or of those that have typed contents in messages."""
    count = draw(st.integers(1, 2 if shape == "wide" else 4))
    found: Columns = {}
    for kind in KINDS if everything else TYPED:
        size = [count, *SHAPES[shape]]
        width = int(np.prod(size))
        values = draw(st.lists(elements(kind), min_size=width, max_size=width))
        found[kind.lower()] = np.array([*values, None], dtype=object)[:-1].astype(NUMPY_TYPES[kind]).reshape(size)
    return found


@pytest.mark.parametrize("shape", sorted(SHAPES))
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=25)
@given(data=st.data())
def test_any_encoding_gives_the_same_tensors(models: dict[str, Serving], shape: str, data: st.DataObject) -> None:
    serving = models[shape]
    columns = data.draw(st.booleans().flatmap(lambda everything: tables(shape, everything=everything)))
    expected = {
        block.name: np.array([columns[spec.name].ravel() for spec in block.specs])
        for block in compiled_of(serving).binder.blocks
        if all(spec.name in columns for spec in block.specs)
    }
    for name, encoded in forms(columns):
        arrays = bound(serving, encoded)
        for block, values in expected.items():
            got = arrays[block].ravel()
            assert got.dtype == values.dtype, name
            if got.dtype == object:
                assert got.tolist() == values.ravel().tolist(), name
            else:
                assert got.tobytes() == values.ravel().tobytes(), name  # bit by bit: -0.0 is not 0.0


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=25)
@given(data=st.data())
def test_what_is_on_record_is_what_was_asked(models: dict[str, Serving], data: st.DataObject) -> None:
    serving = models["single"]
    compiled = compiled_of(serving)
    columns = data.draw(tables("single"))
    expected = bound(serving, as_bytes(columns))
    for name, (form, headers, body) in forms(columns):
        taken = form.take(compiled, headers, body, 0)
        if form is MESSAGES:
            continue  # a message goes on record as it is, which `take` reads above
        again = compiled.binder.bind(recorded_request(taken.body)).arrays
        assert all(again[block].tolist() == values.tolist() for block, values in expected.items()), name


@pytest.mark.parametrize("encoding", [*EVERYWHERE, "CSV"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)
@given(data=st.data())
def test_any_split_of_the_rows_gives_the_same_rows(
    models: dict[str, Serving], encoding: str, data: st.DataObject
) -> None:
    serving = models["single"]
    columns = data.draw(tables("single"))
    count = len(columns["fp32"])
    cut = data.draw(st.integers(0, count))
    parts = [{name: values[start:end] for name, values in columns.items()} for start, end in ((0, cut), (cut, count))]
    answered: list[Any] = []
    for part in (columns, *parts):
        encoded = dict(forms(part)).get(encoding) if len(part["fp32"]) else None
        answered.append(bound(serving, encoded) if encoded else None)
    whole, *halves = answered
    for block, values in whole.items():
        joined = np.concatenate([half[block] for half in halves if half is not None])
        assert joined.tolist() == values.tolist()


@pytest.mark.parametrize("encoding", [*EVERYWHERE, "CSV", "typed contents"])
def test_no_rows_are_refused_in_every_encoding(models: dict[str, Serving], encoding: str) -> None:
    serving = models["single"]
    made: Encoded
    columns: Columns
    if encoding == "typed contents":
        columns = {kind.lower(): np.empty((0, 1), NUMPY_TYPES[kind]) for kind in KINDS if kind in TYPED}
        made = as_message(columns, raw=False)
    elif encoding == "Parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table({kind.lower(): pa.array([], pa.float32()) for kind in KINDS}), sink)
        made = (SCORING, {b"content-type": b"application/vnd.apache.parquet"}, sink.getvalue())
    else:
        columns = {kind.lower(): np.empty((0, 1), NUMPY_TYPES[kind]) for kind in KINDS}
        made = {**EVERYWHERE, "CSV": as_csv}[encoding](columns)
    with pytest.raises(Refused) as refused:
        bound(serving, made)
    assert refused.value.status == 400


def test_texts_that_are_not_utf_8_are_refused_in_every_encoding(tmp_path: Path) -> None:
    serving = Serving(tmp_path)
    route_echo(serving, ("bytes", "BYTES", [1]))
    bad = b"\xff\xfe"
    head = msgspec.json.encode(
        {"inputs": [{"name": "bytes", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": 6}}]}
    )
    raw = message("inference.ModelInferRequest")(raw_input_contents=[b"\2\0\0\0" + bad])
    raw.inputs.add(name="bytes", datatype="BYTES", shape=[1, 1])
    typed = message("inference.ModelInferRequest")()
    typed.inputs.add(name="bytes", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(bad)
    sent: list[Encoded] = [
        (OPEN_INFERENCE, {}, b'{"inputs":[{"name":"bytes","datatype":"BYTES","shape":[1],"data":["' + bad + b'"]}]}'),
        (OPEN_INFERENCE, {BINARY: b"%d" % len(head)}, head + b"\2\0\0\0" + bad),
        (OPEN_INFERENCE, {BINARY: b"0"}, bad),
        (MESSAGES, {}, raw.SerializeToString()),
        (MESSAGES, {}, typed.SerializeToString()),
        (PLAIN_ROWS, {}, b'{"bytes":"' + bad + b'"}'),
        (SCORING, {}, b'{"inputs":{"bytes":["' + bad + b'"]}}'),
        (SCORING, {b"content-type": b"text/csv"}, b"bytes\n" + bad + b"\n"),
    ]
    for encoded in sent:
        with pytest.raises(Refused) as refused:
            bound(serving, encoded)
        assert refused.value.status == 400
