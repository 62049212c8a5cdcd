"""Tensors as bytes: any encoding gives the same tensor, and no bytes give anything but a tensor or a 400."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bailiwick.serving.protocol import InferRequest, Refused, RequestTensor
from bailiwick.serving.tensors import NUMPY_TYPES
from bailiwick.serving.wire import read_request, read_tensor, recorded_request, write_request, write_tensor

NUMBERS = sorted(set(NUMPY_TYPES) - {"BYTES", "BF16"})


@pytest.mark.parametrize("datatype", NUMBERS)
@given(data=st.data())
def test_numbers_come_back_bit_by_bit(datatype: str, data: st.DataObject) -> None:
    values: Any = data.draw(arrays.arrays(NUMPY_TYPES[datatype], arrays.array_shapes(max_dims=3, max_side=4)))
    sent = write_tensor(values, datatype)
    read = read_tensor(memoryview(b"\x01" + sent)[1:], datatype, values.shape, name="x")  # not aligned
    assert read.dtype == values.dtype
    assert read.tobytes() == values.tobytes()


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=6))
def test_texts_come_back(texts: list[str]) -> None:
    values = np.array([*texts, None], dtype=object)[:-1]
    assert read_tensor(write_tensor(values, "BYTES"), "BYTES", [len(texts)], name="x").tolist() == texts


@given(bits=st.lists(st.integers(0, 0xFFFF), min_size=1))
def test_every_bfloat16_comes_back(bits: list[int]) -> None:
    sent = np.array(bits, "<u2").tobytes()
    values = read_tensor(sent, "BF16", [len(bits)], name="x")
    back = np.frombuffer(write_tensor(values, "BF16"), "<u2")
    same = (back == bits) | np.isnan(values)
    assert same.all()
    assert (
        np.isnan(read_tensor(write_tensor(values, "BF16"), "BF16", [len(bits)], name="x")).tolist()
        == np.isnan(values).tolist()
    )


@given(values=arrays.arrays(np.float32, 20, elements=st.floats(width=32, allow_nan=False)))
def test_a_bfloat16_is_the_nearest_one(values: np.ndarray) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert write_tensor(values, "BF16") == values.astype(ml_dtypes.bfloat16).tobytes()


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "message"),
    [
        (b"\0" * 7, "FP32", [2], "has 7 bytes; FP32 of shape [2] needs 8"),
        (b"", "FP32", [-1], "sizes are not negative"),
        (b"", "FP32", [1 << 62, 1 << 62], "needs more"),
        (b"\0", "FP8", [1], "datatype 'FP8'"),
        (b"\0\1\7", "BOOL", [3], "byte 2 is 7"),
        (b"\1\0\0", "BYTES", [1], "too few for 1 elements"),
        (b"\5\0\0\0abc", "BYTES", [1], "ends inside of element 0"),
        (b"\xff\xff\xff\xffabc", "BYTES", [1], "ends inside of element 0"),
        (b"\1\0\0\0abc\0", "BYTES", [2], "ends inside of element 1"),
        (b"\1\0\0\0ab", "BYTES", [1], "1 bytes after its last element"),
        (b"\1\0\0\0\xff", "BYTES", [1], "element 0 is not text"),
        (b"", "BYTES", [1 << 62], "too few"),
    ],
)
def test_bytes_that_are_no_tensor_are_refused(data: bytes, datatype: str, shape: list[int], message: str) -> None:
    with pytest.raises(Refused, match="Input x") as refused:
        read_tensor(data, datatype, shape, name="x")
    assert refused.value.status == 400
    assert message in refused.value.message


@given(data=st.binary(max_size=40), datatype=st.sampled_from(sorted(NUMPY_TYPES)), size=st.integers(0, 5))
def test_arbitrary_bytes_are_a_tensor_or_refused(data: bytes, datatype: str, size: int) -> None:
    try:
        values = read_tensor(data, datatype, [size], name="x")
    except Refused:
        pass
    else:
        assert values.shape == (size,)
        if datatype != "BF16":
            assert write_tensor(values, datatype) == data


def test_a_recorded_request_reads_as_it_was_sent() -> None:
    column: Any = np.array([1.5, np.nan], np.float32)
    tensors = [
        RequestTensor("x", "FP32", [2, 1], column),
        RequestTensor("carrier", "BYTES", [2, 1], [None, "UA"]),
        RequestTensor("far", "INT64", [2], np.array([1, -(2**62)])),  # type: ignore[arg-type]
    ]
    read = recorded_request(write_request(InferRequest(tensors)))
    assert [(each.name, each.datatype, list(each.shape)) for each in read.inputs] == [
        ("x", "FP32", [2, 1]),
        ("carrier", "BYTES", [2, 1]),
        ("far", "INT64", [2]),
    ]
    assert np.array_equal(read.inputs[0].data, column, equal_nan=True)  # type: ignore[arg-type]
    assert read.inputs[1].data == [None, "UA"]
    assert np.asarray(read.inputs[2].data).tolist() == [1, -(2**62)]
    plain = write_request(InferRequest(tensors[1:2]))
    assert plain.startswith(b"{")
    assert recorded_request(plain).inputs[0].data == [None, "UA"]
    with pytest.raises(Refused, match="cut short"):
        recorded_request(b"\0\1\7")


HEAD = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":%b}%b}]}'


@pytest.mark.parametrize(
    ("head", "tail", "message"),
    [
        (HEAD % (b"4", b""), b"\0" * 5, "1 bytes follow the last binary tensor"),
        (HEAD % (b"4", b""), b"\0" * 3, "has binary_data_size 4; 3 bytes are left"),
        (HEAD % (b"-1", b""), b"", "has binary_data_size -1"),
        (HEAD % (b"4", b',"data":[1]'), b"\0" * 4, "both data and binary_data_size"),
        (HEAD % (b'"4"', b""), b"\0" * 4, "not an infer request"),
        (HEAD % (b"4.5", b""), b"\0" * 4, "not an infer request"),
        (b"{", b"", "not an infer request"),
    ],
)
def test_lengths_that_do_not_add_up_are_refused(head: bytes, tail: bytes, message: str) -> None:
    with pytest.raises(Refused) as refused:
        read_request(head + tail, len(head))
    assert refused.value.status == 400
    assert message in refused.value.message
