"""Requests from their bytes: by hand or by protobuf, raw or typed, the same tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.serving.messages import requests
from bailiwick.serving.messages.classes import message
from bailiwick.serving.messages.requests import read_infer
from bailiwick.serving.protocol import Refused
from bailiwick.serving.tensors import NUMPY_TYPES
from bailiwick.serving.wire import write_tensor

CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def new_request(**fields: Any) -> Any:
    return message("inference.ModelInferRequest")(**fields)


def typed(name: str, datatype: str, shape: list[int], values: list[Any], field: str = "") -> Any:
    sent = [value.encode() if isinstance(value, str) else value for value in values]
    contents = message("inference.InferTensorContents")(**{field or CONTENTS[datatype]: sent})
    return message("inference.ModelInferRequest").InferInputTensor(
        name=name, datatype=datatype, shape=shape, contents=contents
    )


def untyped(name: str, datatype: str, shape: list[int]) -> Any:
    return message("inference.ModelInferRequest").InferInputTensor(name=name, datatype=datatype, shape=shape)


def as_list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else np.asarray(data).tolist()


def numbers(datatype: str) -> st.SearchStrategy[Any]:
    kind: np.dtype[Any] = np.dtype(NUMPY_TYPES[datatype])
    if datatype == "BOOL":
        return st.booleans()
    if datatype == "BYTES":
        return st.text(max_size=40)
    if kind.kind == "f":
        return st.floats(width=32 if kind.itemsize == 4 else 64, allow_nan=False)
    bits = 8 * kind.itemsize
    least = 0 if kind.kind == "u" else -(1 << bits - 1)
    return st.integers(least, least + (1 << bits) - 1)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, str, list[int], list[Any]]:
    datatype = draw(st.sampled_from(sorted(CONTENTS)))
    shape = draw(st.sampled_from([[1], [1, 1], [3], [2, 2], [200, 1]]))
    count = int(np.prod(shape))
    values = draw(st.lists(numbers(datatype), min_size=count, max_size=count))
    return draw(st.text(max_size=10)), datatype, shape, values


@settings(deadline=None)
@given(st.lists(tensors(), min_size=1, max_size=4), st.booleans(), st.text(max_size=8))
def test_raw_and_typed_contents_give_the_same_tensors_by_hand_and_by_protobuf(
    sent: list[tuple[str, str, list[int], list[Any]]], raw: bool, given_id: str
) -> None:
    made = new_request(model_name="m", model_version="3", id=given_id)
    for name, datatype, shape, values in sent:
        if raw:
            made.inputs.append(untyped(name, datatype, shape))
            kind = NUMPY_TYPES[datatype]
            made.raw_input_contents.append(write_tensor(np.array(values, dtype=kind), datatype))
        else:
            made.inputs.append(typed(name, datatype, shape, values))
    data = made.SerializeToString()
    assert requests._split(data) is not None
    for found in (read_infer(data), requests._read_slowly(data), read_infer(data)):
        assert (found.model, found.version, found.request.id) == ("m", "3", given_id or None)
        got = [(each.name, each.datatype, each.shape, as_list(each.data)) for each in found.request.inputs]
        assert got == [(name, datatype, shape, values) for name, datatype, shape, values in sent]


@pytest.mark.parametrize(("datatype", "kind"), [("FP16", np.float16), ("BF16", np.float32)])
def test_half_precision_comes_raw_only(datatype: str, kind: type) -> None:
    made = new_request(model_name="m", inputs=[untyped("x", datatype, [2, 1])])
    made.raw_input_contents.append(write_tensor(np.array([1.5, -2.0], kind), datatype))
    assert as_list(read_infer(made.SerializeToString()).request.inputs[0].data) == [1.5, -2.0]
    plain = new_request(model_name="m", inputs=[typed("x", datatype, [2, 1], [1.5, -2.0], "fp32_contents")])
    with pytest.raises(Refused, match="no typed contents: send raw_input_contents"):
        read_infer(plain.SerializeToString())


def test_nan_comes_as_an_array_which_is_checked_for_it() -> None:
    for made in (
        new_request(inputs=[typed("x", "FP32", [1], [float("nan")])]),
        new_request(inputs=[untyped("x", "FP32", [1])], raw_input_contents=[np.array([np.nan], np.float32).tobytes()]),
    ):
        data = read_infer(made.SerializeToString()).request.inputs[0].data
        assert isinstance(data, np.ndarray)


def test_large_raw_contents_are_not_copied() -> None:
    values = np.arange(1000, dtype=np.float32)
    data = new_request(
        inputs=[untyped("x", "FP32", [1000, 1])], raw_input_contents=[values.tobytes()]
    ).SerializeToString()
    read = np.asarray(read_infer(data).request.inputs[0].data)
    assert read.tolist() == values.tolist()
    assert not read.flags.owndata
    assert not read.flags.writeable


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (new_request(inputs=[untyped("x", "FP32", [1])], raw_input_contents=[b"123"]), "has 3 bytes; FP32"),
        (new_request(inputs=[untyped("x", "FP32", [1])], raw_input_contents=[b"1234", b"5"]), "2 raw_input_contents"),
        (new_request(inputs=[typed("x", "FP32", [1], [1])], raw_input_contents=[b"1234"]), "where others have raw"),
        (new_request(inputs=[typed("x", "FP32", [1], [1], "fp64_contents")]), "belong into fp32_contents, not fp64"),
        (new_request(inputs=[typed("x", "BYTES", [1], [b"\xff"])]), "element 0 is not text in UTF-8"),
        (new_request(inputs=[typed("x", "BYTES", [2], [b"a", b"\xff"])]), "element 1 is not text in UTF-8"),
        (
            new_request(inputs=[untyped("x", "BYTES", [1])], raw_input_contents=[b"\1\0\0\0\xff"]),
            "element 0 is not text",
        ),
        (new_request(inputs=[untyped("x", "BYTES", [2])], raw_input_contents=[b"\1\0\0\0a"]), "bytes, too few"),
        (new_request(inputs=[untyped("x", "TEXT", [1])]), "datatype 'TEXT', which has no typed contents"),
        (new_request(inputs=[untyped("x", "FP32", [-1])], raw_input_contents=[b"1234"]), "sizes are not negative"),
    ],
)
def test_what_does_not_fit_is_named(made: Any, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        read_infer(made.SerializeToString())
    assert refused.value.status == 400


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_are_refused(data: bytes) -> None:
    status = 400
    try:
        read_infer(data)
    except Refused as refused:
        status = refused.status
    assert status == 400


@settings(deadline=None)
@given(st.data())
def test_a_damaged_request_is_a_request_or_is_refused(data: st.DataObject) -> None:
    whole = new_request(
        model_name="m",
        id="1",
        inputs=[untyped("x", "FP32", [2, 1]), untyped("carrier", "BYTES", [1])],
        raw_input_contents=[b"12345678", b"\2\0\0\0AA"],
    ).SerializeToString()
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:place] + bytes((data.draw(st.integers(0, 255)),)) + whole[place + 1 :]
    cut = damaged[: data.draw(st.integers(0, len(damaged)))]
    try:
        fast = read_infer(cut)
    except Refused:
        with pytest.raises(Refused):
            requests._read_slowly(cut)
    else:
        slow = requests._read_slowly(cut)
        assert (fast.model, fast.request.id, len(fast.request.inputs)) == (
            slow.model,
            slow.request.id,
            len(slow.request.inputs),
        )


def test_fields_in_another_order_and_unknown_fields_are_taken() -> None:
    plain = new_request(model_name="m", inputs=[typed("x", "FP32", [1], [2.5])]).SerializeToString()
    unknown = b"\xfa\x01\x03abc"  # field 31
    head = message("inference.ModelInferRequest").InferInputTensor(name="x", datatype="FP32", shape=[1])
    contents = message("inference.InferTensorContents")(fp32_contents=[2.5]).SerializeToString()
    turned = b"\x2a" + bytes((len(contents),)) + contents + head.SerializeToString()
    reordered = b"\x2a" + bytes((len(turned),)) + turned + b"\x0a\x01m"
    for data in (plain, plain + unknown, reordered):
        found = read_infer(data)
        assert (found.model, as_list(found.request.inputs[0].data)) == ("m", [2.5])


def test_wishes_about_outputs_are_read() -> None:
    made = new_request(model_name="m")
    made.outputs.add(name="probability")
    found = read_infer(made.SerializeToString())
    assert [wanted.name for wanted in found.request.outputs or []] == ["probability"]
    assert not found.typed
    made.parameters["binary_data_output"].bool_param = False
    assert read_infer(made.SerializeToString()).typed
    made.parameters["binary_data_output"].bool_param = True
    made.outputs[0].parameters["binary_data"].bool_param = False
    assert read_infer(made.SerializeToString()).typed
