"""A binary request whose JSON was seen before is read as the first of its kind was."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.pyfunc.params import ParamSpec
from bailiwick.serving import heads
from bailiwick.serving.binder import Batch, Binder
from bailiwick.serving.heads import Heads
from bailiwick.serving.params import DeclaredParams
from bailiwick.serving.protocol import InferRequest, Refused
from bailiwick.serving.tensors import TensorSpec
from bailiwick.serving.wire import read_request, write_tensor

SPECS = (
    TensorSpec("a", "FP32", (-1, 1)),
    TensorSpec("b", "FP32", (-1, 1), nullable=False),
    TensorSpec("c", "INT64", (-1, 1)),
    TensorSpec("d", "FP64", (-1, 2, 3)),
    TensorSpec("e", "FP32", (-1, 1)),
    TensorSpec("f", "BOOL", (-1, 1)),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "FP32": st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf]),
    "FP64": st.floats(),
    "INT64": st.integers(-(1 << 63), (1 << 63) - 1),
    "BOOL": st.booleans(),
}


def encoded(tensors: list[tuple[TensorSpec, np.ndarray]], **more: Any) -> tuple[bytes, int]:
    parts = [write_tensor(values, spec.datatype) for spec, values in tensors]
    inputs = [
        {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": [len(values), *spec.tail],
            "parameters": {"binary_data_size": len(part)},
        }
        for (spec, values), part in zip(tensors, parts, strict=True)
    ]
    head = json.dumps({"inputs": inputs, **more}).encode()
    return head + b"".join(parts), len(head)


def told(read: Any) -> Any:
    try:
        request, batch = read()
    except Refused as refused:
        return refused.status, refused.message
    return request.outputs, request.parameters, batch.rows, batch.units, batch.times, batch.missing, _bits(batch)


def _bits(batch: Batch) -> list[Any]:
    return [(name, each.dtype, each.shape, each.tobytes()) for name, each in sorted(batch.arrays.items())]


@st.composite
def series(draw: st.DrawFn) -> list[tuple[bytes, int]]:
    """Requests of one shape and order, of which some columns may be left out, with other values each."""
    rows = draw(st.integers(1, 3))
    specs = draw(st.one_of(st.just(list(SPECS)), st.permutations(SPECS)))
    specs = specs[: draw(st.sampled_from([len(specs)] * 4 + [3]))]
    more: dict[str, Any] = draw(st.sampled_from([{}, {}, {"parameters": {"binary_data_output": True}}, {"id": "x"}]))
    made = []
    for _ in range(3):
        tensors: list[tuple[TensorSpec, np.ndarray]] = []
        for spec in specs:
            flat = draw(st.lists(VALUES[spec.datatype], min_size=rows * spec.width, max_size=rows * spec.width))
            tensors.append((spec, np.array(flat, spec.dtype).reshape(rows, *spec.tail)))
        made.append(encoded(tensors, **more))
    return made


@given(series(), st.sampled_from([SPECS, SPECS[:2], (SPECS[0], SPECS[1], SPECS[4]), (SPECS[3],)]), st.booleans())
def test_what_is_known_of_a_head_changes_nothing(
    bodies: list[tuple[bytes, int]], specs: tuple[TensorSpec, ...], timed: bool
) -> None:
    binder = Binder(specs, time="c" if timed else "")

    def plainly(body: bytes, json_bytes: int) -> tuple[InferRequest, Batch]:
        request = read_request(body, json_bytes)
        return request, binder.bind(request)

    known = Heads(binder)
    for body, json_bytes in [*bodies, *bodies]:
        assert told(lambda: known.read(body, json_bytes)) == told(lambda: plainly(body, json_bytes))  # noqa: B023


WIDE = tuple(TensorSpec(f"n{place}", "FP32", (-1, 1)) for place in range(30))


def of_rows(values: np.ndarray) -> tuple[bytes, int]:
    return encoded([(spec, values[:, place : place + 1]) for place, spec in enumerate(WIDE)])


def test_a_head_is_parsed_once_and_a_body_of_another_length_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Heads(Binder(WIDE))
    parsed: list[int] = []

    def counting(body: bytes, json_bytes: int) -> InferRequest:
        parsed.append(json_bytes)
        return read_request(body, json_bytes)

    monkeypatch.setattr(heads, "read_request", counting)
    rng = np.random.default_rng(5)
    for _ in range(4):
        values = rng.normal(size=(7, 30)).astype(np.float32)
        batch = known.read(*of_rows(values))[1]
        (array,) = batch.arrays.values()
        assert np.array_equal(array, values)
    assert len(parsed) == 1
    body, json_bytes = of_rows(values)
    with pytest.raises(Refused, match="4 bytes follow the last binary tensor"):
        known.read(body + b"1234", json_bytes)
    with pytest.raises(Refused, match="binary_data_size 28; 27 bytes are left"):
        known.read(body[:-1], json_bytes)


def test_heads_without_end_take_no_memory_without_end() -> None:
    known = Heads(Binder(WIDE))
    for rows in range(1, 200):
        known.read(*of_rows(np.zeros((rows, 30), np.float32)))
    assert 0 < len(known._known) <= 64


def test_params_that_a_head_has_are_given_each_time() -> None:
    known = Heads(Binder(WIDE[:2], params=DeclaredParams([(ParamSpec("t", "double", 1.0),)])))
    values = np.zeros((2, 1), np.float32)
    body, json_bytes = encoded([(spec, values) for spec in WIDE[:2]], parameters={"t": 0.5})
    assert [known.read(body, json_bytes)[1].params for _ in range(3)] == [b'{"t":0.5}'] * 3
    assert known._known
