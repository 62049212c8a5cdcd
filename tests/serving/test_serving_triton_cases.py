"""What Triton's own tests of its HTTP endpoint ask of a server (`qa/L0_http/http_test.py`), asked of ours."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from tests_support.echoes import route_echo
from tests_support.serving import Serving

Json = dict[str, Any]

INFER = "/v2/models/late/infer"


def ask(serving: Serving, body: bytes | Json, **headers: str) -> tuple[int, dict[str, str], bytes]:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    answer = serving.handler.handle("POST", INFER, sent, data)
    return answer.status, {name.decode(): value.decode() for name, value in answer.headers}, answer.body


def refusal(serving: Serving, body: bytes | Json, **headers: str) -> str:
    status, _, answer = ask(serving, body, **headers)
    assert status == 400
    assert serving.call("GET", "/v2/health/live")[0] == 200
    decoded = msgspec.json.decode(answer)
    assert list(decoded) == ["error"]
    return str(decoded["error"])


def tensor(datatype: str, shape: list[int], data: Any) -> Json:
    return {"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]}


@pytest.mark.parametrize("tail", [[], [1], [4]])
@pytest.mark.parametrize("count", [8, 32])
def test_raw_bytes_are_as_many_rows_as_they_fill(serving: Serving, tail: list[int], count: int) -> None:
    route_echo(serving, ("x", "FP32", tail))
    sent = np.arange(count, dtype=np.float32).tobytes()
    status, headers, body = ask(serving, sent, inference_header_content_length="0")
    length = int(headers["inference-header-content-length"])
    assert (status, body[length:]) == (200, sent)
    width = tail[0] if tail else 1
    assert msgspec.json.decode(body[:length])["outputs"][0]["shape"] == [count // width, *tail]


def test_raw_bytes_that_fill_no_row_are_refused(serving: Serving) -> None:
    route_echo(serving, ("x", "FP16", [2, 2]))
    assert ask(serving, bytes(16), inference_header_content_length="0")[0] == 200
    assert "has 12 bytes; FP16 of shape [1, 2, 2]" in refusal(serving, bytes(12), inference_header_content_length="0")
    assert "has 0 bytes" in refusal(serving, b"", inference_header_content_length="0")


def test_a_raw_text_is_for_one_value_and_raw_bytes_are_for_one_input(serving: Serving) -> None:
    route_echo(serving, ("x", "BYTES", [1]))
    status, headers, body = ask(serving, b"427", inference_header_content_length="0")
    assert (status, body[int(headers["inference-header-content-length"]) :]) == (200, b"\x03\0\0\x00427")
    route_echo(serving, ("x", "BYTES", [8]), version=2)
    assert "input x has 8 in each row" in refusal(serving, b"427", inference_header_content_length="0")
    route_echo(serving, *((name, "FP32", [8]) for name in "xyz"), version=3)
    assert "late has 3" in refusal(serving, bytes(96), inference_header_content_length="0")


@pytest.mark.parametrize("stated", ["99999999999", "-1", "3", "0x2", "1e3", "9" * 400])
def test_a_header_length_out_of_range_is_refused(serving: Serving, stated: str) -> None:
    route_echo(serving, ("x", "FP32", [1]))
    assert refusal(serving, {"inputs": []}, inference_header_content_length=stated)


@pytest.mark.parametrize(
    "shape", [[2**4, 2**60 + 2], [2**2, 2**60 + 2], [2**62, 4], [2**31, 2**31], [2, -5], [-1, -1], [0, 8]]
)
def test_sizes_that_overflow_or_are_negative_are_refused(serving: Serving, shape: list[int]) -> None:
    route_echo(serving, ("x", "FP32", [8]))
    assert "Input x has shape" in refusal(serving, tensor("FP32", shape, [1.0]))
    route_echo(serving, ("x", "FP32", [1]), version=2)
    assert refusal(serving, tensor("FP32", [shape[0] * abs(shape[1]), 1], [1.0]))
    head = msgspec.json.encode(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": 4}}]}
    )
    assert refusal(serving, head + bytes(4), inference_header_content_length=str(len(head)))


@pytest.mark.parametrize(("datatype", "data"), [("BYTES", "hello"), ("INT64", 123)])
def test_nesting_is_answered_or_refused_at_any_depth(serving: Serving, datatype: str, data: Any) -> None:
    route_echo(serving, ("x", datatype, [1]))
    value = msgspec.json.encode(data)
    for depth, statuses in ((1, {200}), (50, {200}), (120, {200, 400}), (250_000, {400})):
        nested = b"[" * depth + value + b"]" * depth
        body = b'{"inputs":[{"name":"x","datatype":"%b","shape":[1,1],"data":%b}]}' % (datatype.encode(), nested)
        assert ask(serving, body)[0] in statuses
    deep = b'{"ready":' + b"[" * 250_000 + b"true" + b"]" * 250_000 + b"}"
    assert serving.call("POST", "/v2/repository/index", deep)[0] == 400
    assert serving.call("GET", "/v2/health/live")[0] == 200


def test_an_output_that_is_asked_for_twice_is_refused(serving: Serving) -> None:
    route_echo(serving, ("x", "FP32", [8]))
    asked = tensor("FP32", [1, 8], [list(range(8))]) | {"outputs": [{"name": "out_x"}] * 2}
    assert refusal(serving, asked) == "Output 'out_x' is asked for twice."


@pytest.mark.parametrize("datatype", ["FP8", "fp32", "", "STRING", "INT", "F" * 300])
def test_a_datatype_that_there_is_not_is_refused(serving: Serving, datatype: str) -> None:
    route_echo(serving, ("x", "FP32", [1]))
    assert datatype[:20] in refusal(serving, tensor(datatype, [1, 1], [1.0]))
    head = msgspec.json.encode(
        {"inputs": [{"name": "x", "datatype": datatype, "shape": [1, 1], "parameters": {"binary_data_size": 4}}]}
    )
    assert refusal(serving, head + bytes(4), inference_header_content_length=str(len(head)))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/systemsharedmemory/unregister"),
        ("GET", "/v2/cudasharedmemory/status"),
        ("POST", "/v2/logging"),
        ("GET", "/v2/models/late/trace/setting"),
    ],
)
def test_extensions_that_are_not_offered_are_404(serving: Serving, method: str, path: str) -> None:
    route_echo(serving, ("x", "FP32", [1]))
    status, body = serving.call(method, path, b"{}")
    assert (status, list(body)) == (404, ["error"])


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", INFER, "POST"),
        ("POST", "/v2", "GET, HEAD"),
        ("DELETE", "/v2/models/late", "GET, HEAD"),
        ("PUT", "/predict/late", "POST"),
        ("GET", "/endpoints/late/invocations", "POST"),
        ("POST", "/ping", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(serving: Serving, method: str, path: str, allowed: str) -> None:
    route_echo(serving, ("x", "FP32", [1]))
    answer = serving.handler.handle(method, path, {}, b"{}")
    assert (answer.status, dict(answer.headers)[b"allow"].decode()) == (405, allowed)


def test_a_server_may_be_called_as_the_one_that_it_replaces(serving: Serving) -> None:
    assert serving.call("GET", "/v2")[1]["name"] == "bailiwick"
    serving.handler.server_name = "triton"
    assert serving.call("GET", "/v2")[1]["name"] == "triton"
