"""The Open Inference Protocol beyond its core: bytes for tensors, compressed bodies, config, statistics, the index."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from bailiwick.endpoints.log import PredictionLog
from bailiwick.endpoints.model import Variant
from bailiwick.serving.control import ControlClient
from bailiwick.serving.follower import RouteFollower
from bailiwick.serving.handler import LATER
from bailiwick.serving.http.coding import chosen_coding
from bailiwick.serving.shelf import Shelf
from bailiwick.serving.shipper import Shipper
from bailiwick.serving.tensors import NUMPY_TYPES
from bailiwick.serving.wire import read_tensor, write_tensor
from bailiwick.store.delta import DeltaTables
from tests_support.echoes import echo_package, route_echo
from tests_support.serving import Serving

Json = dict[str, Any]


def ask(
    serving: Serving, head: Json | bytes, tensors: bytes = b"", /, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body)."""
    data = head if isinstance(head, bytes) else msgspec.json.encode(head)
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    if tensors or "inference_header_content_length" in headers:
        sent.setdefault(b"inference-header-content-length", b"%d" % len(data))
    answer = serving.handler.handle("POST", "/v2/models/late/infer", sent, data + tensors)
    return answer.status, {name.decode(): value.decode() for name, value in answer.headers}, answer.body


def error(body: bytes) -> str:
    decoded = msgspec.json.decode(body)
    assert list(decoded) == ["error"]
    return str(decoded["error"])


def parted(headers: dict[str, str], body: bytes) -> tuple[Json, bytes]:
    length = int(headers["inference-header-content-length"])
    assert headers["content-length"] == str(len(body))
    assert headers["content-type"] == "application/octet-stream"
    return msgspec.json.decode(body[:length]), body[length:]


VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65_535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-(2**15), 2**15 - 1],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [0.5, -65504.0],
    "FP32": [1.5, -2.25],
    "FP64": [1e300, 0.1],
    "BF16": [1.5, -3.140625],
    "BYTES": ["", "ü\0x"],
}


@pytest.mark.parametrize("datatype", sorted(NUMPY_TYPES))
def test_every_datatype_goes_in_and_out_as_json_and_as_bytes(new_serving: Any, datatype: str, tmp_path: Path) -> None:
    serving: Serving = new_serving()
    route_echo(serving, ("x", datatype, [1]))
    values = VALUES[datatype]
    array: np.ndarray = np.array(values, dtype=NUMPY_TYPES[datatype]).reshape(2, 1)
    raw = write_tensor(array, datatype)
    for as_bytes_in in (False, True):
        for as_bytes_out in (False, True):
            tensor: Json = {"name": "x", "datatype": datatype, "shape": [2, 1]}
            tensor |= {"parameters": {"binary_data_size": len(raw)}} if as_bytes_in else {"data": values}
            sent: Json = {"inputs": [tensor]}
            if as_bytes_out:
                sent["parameters"] = {"binary_data_output": True}
            status, headers, body = ask(serving, sent, raw if as_bytes_in else b"")
            assert status == 200, body
            if as_bytes_out:
                answer, rest = parted(headers, body)
                (output,) = answer["outputs"]
                assert output["parameters"] == {"binary_data_size": len(raw)}
                assert rest == raw
            else:
                (output,) = msgspec.json.decode(body)["outputs"]
                assert output["data"] == values
            assert (output["name"], output["datatype"], output["shape"]) == ("out_x", datatype, [2, 1])
    log = PredictionLog(DeltaTables(str(tmp_path / "tables")), "default")
    serving.spool.close()
    assert Shipper(serving.home / "spool", log).ship() == 8
    logged = log.predictions("late")
    kept = [int(value) if datatype == "UINT64" else value for value in logged["in_x"].to_pylist()]
    assert kept == values * 4
    assert logged["out_out_x"].to_pylist() == logged["in_x"].to_pylist()
    serving.spool.__init__(serving.home / "spool2", limit_bytes=1 << 20)  # type: ignore[misc]


@pytest.fixture
def two(serving: Serving) -> Serving:
    route_echo(serving, ("a", "FP32", [1]), ("b", "FP32", [1]))
    return serving


def test_outputs_choose_their_own_form(two: Serving) -> None:
    inputs = [{"name": name, "datatype": "FP32", "shape": [1], "data": [1.5]} for name in "ab"]
    sent: Json = {
        "inputs": inputs,
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "out_b", "parameters": {"binary_data": False}}, {"name": "out_a"}],
    }
    status, headers, body = ask(two, sent)
    assert status == 200
    answer, rest = parted(headers, body)
    assert [output["name"] for output in answer["outputs"]] == ["out_b", "out_a"]
    assert answer["outputs"][0]["data"] == [1.5]
    assert rest == struct.pack("<f", 1.5)


def test_some_inputs_as_bytes_and_some_as_json(two: Serving) -> None:
    inputs: list[Json] = [
        {"name": "a", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
        {"name": "b", "datatype": "FP32", "shape": [2], "data": [None, 4]},
    ]
    status, _, body = ask(two, {"inputs": inputs}, struct.pack("<2f", 1, 2))
    assert status == 200
    assert [output["data"] for output in msgspec.json.decode(body)["outputs"]] == [[1.0, 2.0], [None, 4.0]]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"outputs": [{"name": "out_a"}, {"name": "out_a"}]}, "asked for twice"),
        ({"outputs": [{"name": "out_a", "parameters": {"classification": 3}}]}, "classification"),
        ({"outputs": [{"name": "out_a", "parameters": {"binary_data": 1}}]}, "binary_data is true or false"),
        ({"parameters": {"binary_data_output": "yes"}}, "binary_data_output is true or false"),
        ({"parameters": []}, "not an infer request"),
        ({"outputs": [{"name": "other"}]}, "'other' is not known"),
    ],
)
def test_what_cannot_be_given_is_refused(two: Serving, more: Json, message: str) -> None:
    inputs = [{"name": name, "datatype": "FP32", "shape": [1], "data": [1.5]} for name in "ab"]
    status, _, body = ask(two, {"inputs": inputs} | more)
    assert status == 400
    assert message in error(body)


@pytest.mark.parametrize("stated", ["9" * 5000, "-1", "x", "1e3", "999999", "", "99999999999999999999999", "+5"])
def test_a_header_length_that_cannot_be_is_400(two: Serving, stated: str) -> None:
    status, _, body = ask(two, b"{}", inference_header_content_length=stated)
    assert status == 400
    assert "Inference-Header-Content-Length" in error(body)


def test_a_raw_request_is_one_row_of_the_only_input(serving: Serving) -> None:
    route_echo(serving, ("x", "FP32", [3]))
    raw = struct.pack("<3f", 1, 2, 3)
    status, headers, body = ask(serving, raw, inference_header_content_length="0")
    assert status == 200
    answer, rest = parted(headers, body)
    assert (answer["outputs"][0]["shape"], rest) == ([1, 3], raw)
    status, _, body = ask(serving, raw[:-1], inference_header_content_length="0")
    assert (status, "has 11 bytes" in error(body)) == (400, True)


def test_a_raw_text_needs_no_length(serving: Serving) -> None:
    route_echo(serving, ("x", "BYTES", [1]))
    status, headers, body = ask(serving, "grüß".encode(), inference_header_content_length="0")
    assert status == 200
    assert read_tensor(parted(headers, body)[1], "BYTES", [1], name="x").tolist() == ["grüß"]


def test_a_raw_request_to_several_inputs_is_refused(two: Serving) -> None:
    status, _, body = ask(two, b"1234", inference_header_content_length="0")
    assert (status, "with one input; late has 2" in error(body)) == (400, True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(tail=st.binary(max_size=24), stated=st.integers(0, 200), size=st.integers(-2, 20), shape=st.integers(-1, 4))
def test_lengths_in_any_disorder_are_answered_rightly_or_refused(
    two: Serving, tail: bytes, stated: int, size: int, shape: int
) -> None:
    tensor = {"datatype": "FP32", "shape": [shape], "parameters": {"binary_data_size": size}}
    head = msgspec.json.encode({"inputs": [{"name": "a"} | tensor, {"name": "b"} | tensor]})
    length = len(head) if stated > 150 else stated
    status, _, body = ask(two, head, tail, inference_header_content_length=str(length))
    assert status in {200, 400}
    if status == 200:
        first, second = msgspec.json.decode(body)["outputs"]
        values = np.frombuffer(tail, "<f4").tolist()
        assert len(values) == 2 * shape
        said = [None if value != value or abs(value) == float("inf") else value for value in values]
        assert [*first["data"], *second["data"]] == said


def test_nan_as_bytes_is_refused_where_null_is(serving: Serving) -> None:
    data = onnx.load_model_from_string(echo_package(("x", "FP32", [1])))
    props = {item.key: item.value for item in data.metadata_props}
    signature = msgspec.json.decode(props["bailiwick.signature"])
    signature["inputs"][0]["nullable"] = False
    del data.metadata_props[:]
    helper.set_model_props(data, props | {"bailiwick.signature": msgspec.json.encode(signature).decode()})
    serving.route(Variant("v1", "late", 1, serving.store(data.SerializeToString()), 10_000), key="", time="")
    head = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}]}
    status, _, body = ask(serving, head, struct.pack("<2f", 1, float("nan")))
    assert (status, error(body)) == (400, "Input x takes no missing values; value 1 is NaN.")
    assert ask(serving, head, struct.pack("<2f", 1, 2))[0] == 200


@pytest.mark.parametrize(
    ("datatype", "value", "message"),
    [
        ("UINT8", 256, "out of the range of UINT8"),
        ("UINT8", -1, "out of the range of UINT8"),
        ("INT64", 2**63, "out of the range of INT64"),
        ("UINT64", 2**64, "UINT64"),
        ("INT32", 1.5, "value 0 is 1.5"),
        ("INT64", 1e17, "value 0 is 1"),
        ("INT32", True, "value 0 is true"),
        ("BOOL", 1, "value 0 is 1"),
        ("FP16", 65520, "out of the range of FP16"),
        ("BF16", 3.4e38, "out of the range of BF16"),
        ("FP32", 3.5e38, "out of the range of FP32"),
        ("FP64", "1", 'value 0 is "1"'),
    ],
)
def test_values_that_a_datatype_cannot_hold_are_refused(
    serving: Serving, datatype: str, value: object, message: str
) -> None:
    route_echo(serving, ("x", datatype, [1]))
    status, _, body = ask(serving, {"inputs": [{"name": "x", "datatype": datatype, "shape": [1], "data": [value]}]})
    assert status == 400
    assert message in error(body)


@pytest.mark.parametrize("datatype", ["INT8", "INT64", "UINT64"])
def test_a_whole_number_may_be_written_with_a_point(serving: Serving, tmp_path: Path, datatype: str) -> None:
    route_echo(serving, ("x", datatype, [1]))
    sent = b'{"inputs":[{"name":"x","datatype":"%b","shape":[2],"data":[5.0,7]}]}' % datatype.encode()
    status, _, body = ask(serving, sent)
    assert status == 200
    assert msgspec.json.decode(body)["outputs"][0]["data"] == [5, 7]
    log = PredictionLog(DeltaTables(str(tmp_path / "tables")), "default")
    Shipper(serving.home / "spool", log).ship()
    assert [int(value) for value in log.predictions("late")["in_x"].to_pylist()] == [5, 7]


# -- one matrix for many columns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_bytes", [True, False])
def test_a_matrix_stands_for_columns_of_one_datatype(two: Serving, tmp_path: Path, as_bytes: bool) -> None:
    tensor: Json = {"name": "input-0", "datatype": "FP32", "shape": [2, 2]}
    raw = struct.pack("<4f", 1, 2, 3, 4)
    more: Json = {"parameters": {"binary_data_size": 16}} if as_bytes else {"data": [[1, 2], [3, 4]]}
    status, _, body = ask(two, {"inputs": [tensor | more]}, raw if as_bytes else b"")
    assert status == 200, body
    assert [output["data"] for output in msgspec.json.decode(body)["outputs"]] == [[1.0, 3.0], [2.0, 4.0]]
    log = PredictionLog(DeltaTables(str(tmp_path / "tables")), "default")
    Shipper(two.home / "spool", log).ship()
    logged = log.predictions("late")
    assert (logged["in_a"].to_pylist(), logged["in_b"].to_pylist()) == ([1.0, 3.0], [2.0, 4.0])


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4]}, "'m' is not known here"),
        ({"datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}, "'m' is not known here"),
        ({"datatype": "FP32", "shape": [4], "data": [1, 2, 3, 4]}, "'m' is not known here"),
        ({"datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3]}, "has 3 values; shape [2, 2] needs 4"),
        ({"datatype": "FP32", "shape": [2, 2], "data": [[1, 2, 3], [4]]}, "uneven lengths"),
        ({"datatype": "FP32", "shape": [2, 2], "data": [[1, 2, 3, 4]]}, "nested as [1, 4]"),
        ({"datatype": "FP32", "shape": [0, 2], "data": []}, "at least one row"),
        ({"datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, "x"]}, "Input b is FP32; value 1 is"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(two: Serving, tensor: Json, message: str) -> None:
    status, _, body = ask(two, {"inputs": [{"name": "m"} | tensor]})
    assert status == 400
    assert message in error(body)


def test_columns_of_two_datatypes_have_no_matrix(serving: Serving) -> None:
    route_echo(serving, ("a", "FP32", [1]), ("b", "INT64", [1]))
    status, _, body = ask(serving, {"inputs": [{"name": "m", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]})
    assert (status, "'m' is not known here" in error(body)) == (400, True)


def test_nested_data_must_lie_as_the_shape_says(serving: Serving) -> None:
    route_echo(serving, ("x", "FP32", [2, 3]))
    good = [[[1, 2, 3], [4, 5, 6]]]
    for data, fits in ((good, True), (good[0], True), ([[1, 2], [3, 4], [5, 6]], False), ([[1, 2, 3, 4, 5, 6]], False)):
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2, 3], "data": data}
        assert ask(serving, {"inputs": [tensor]})[0] == (200 if fits else 400), data


# -- compressed bodies -----------------------------------------------------------------------------------------------------


def bare(data: bytes) -> bytes:
    press = zlib.compressobj(wbits=-15)
    return press.compress(data) + press.flush()


PACKED: dict[str, Any] = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Deflate": bare}


@pytest.mark.parametrize("coding", list(PACKED))
def test_bodies_may_be_compressed(two: Serving, coding: str) -> None:
    inputs = [{"name": name, "datatype": "FP32", "shape": [1], "data": [1.5]} for name in "ab"]
    packed = PACKED[coding](msgspec.json.encode({"inputs": inputs}))
    assert ask(two, packed, content_encoding=coding)[0] == 200
    status, _, body = ask(two, packed[:-3], content_encoding=coding)
    assert (status, error(body)) == (400, f"The body is not of Content-Encoding {coding.lower()}.")


def test_compressed_binary_tensors(two: Serving) -> None:
    head = msgspec.json.encode(
        {
            "inputs": [
                {"name": name, "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}} for name in "ab"
            ]
        }
    )
    packed = gzip.compress(head + bytes(8))
    stated = str(len(head))
    assert ask(two, packed, content_encoding="gzip", inference_header_content_length=stated)[0] == 200


def test_a_bomb_is_refused_before_it_is_whole(new_serving: Any) -> None:
    serving: Serving = new_serving()
    serving.handler._limit = 1 << 20
    route_echo(serving, ("x", "FP32", [1]))
    bomb = gzip.compress(b"[" * (100 << 20))
    for packed, coding in ((bomb, "gzip"), (gzip.compress(bomb), "gzip, gzip")):
        status, _, body = ask(serving, packed, content_encoding=coding)
        assert status == 413
        assert "larger than 1048576 bytes when it is decompressed" in error(body)


@pytest.mark.parametrize(("accepted", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
def test_large_answers_are_compressed_for_who_takes_that(serving: Serving, accepted: str, unpack: Any) -> None:
    route_echo(serving, ("x", "FP32", [1]))
    sent = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [900], "data": list(range(900))}]}
    _, _, plain = ask(serving, sent | {"id": "a"})
    status, headers, body = ask(serving, sent | {"id": "a"}, accept_encoding=accepted)
    assert (status, headers["content-encoding"], headers["vary"]) == (200, accepted, "accept-encoding")
    assert headers["content-length"] == str(len(body)) != str(len(plain))
    assert unpack(body) == plain
    small = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}
    assert "content-encoding" not in ask(serving, small, accept_encoding=accepted)[1]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip, deflate, br", "gzip"),
        (b"deflate", "deflate"),
        (b"gzip;q=0, deflate;q=0.1", "deflate"),
        (b"*", "gzip"),
        (b"*;q=0", None),
        (b"identity;q=1, gzip;q=0.5", None),
        (b"br", None),
        (b"gzip;q=x", None),
        (b"", None),
    ],
)
def test_the_best_coding_is_chosen(accepted: bytes, coding: str | None) -> None:
    assert chosen_coding(accepted) == coding


# -- what is served --------------------------------------------------------------------------------------------------------


def get(serving: Serving, path: str) -> tuple[int, Any]:
    return serving.call("GET", path)


def test_the_server_names_its_extensions(two: Serving) -> None:
    for path in ("/v2", "/v2/"):
        status, answer = get(two, path)
        assert (status, answer["name"]) == (200, "bailiwick")
        assert answer["extensions"] == ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]


def test_the_configuration_has_rows_without_their_number(serving: Serving) -> None:
    route_echo(serving, ("x", "BYTES", [1]), ("y", "FP16", [2, 3]), ("z", "BOOL", []))
    status, answer = get(serving, "/v2/models/late/config")
    assert (status, answer["name"], answer["platform"]) == (200, "late", "onnxruntime_onnx")
    assert answer["max_batch_size"] > 0
    found = [(item["name"], item["data_type"], item["dims"], item.get("reshape")) for item in answer["input"]]
    assert found == [
        ("x", "TYPE_STRING", [1], None),
        ("y", "TYPE_FP16", [2, 3], None),
        ("z", "TYPE_BOOL", [1], {"shape": []}),
    ]
    assert get(serving, "/v2/models/late/versions/1/config")[0] == 200
    assert get(serving, "/v2/models/late/versions/2/config")[0] == 404


def test_statistics_count_what_was_answered_and_what_failed(serving: Serving) -> None:
    serving.route(serving.variant(2, 5_000), serving.variant(1, 5_000))
    tensor = {"datatype": "FP32", "shape": [20], "data": [1.0] * 20}
    sent: Json = {
        "id": "r",
        "inputs": [
            {"name": "x"} | tensor,
            {"name": "carrier", "datatype": "BYTES", "shape": [20], "data": ["AA"] * 20},
        ],
    }
    assert serving.infer(sent)[0] == 200
    assert serving.infer(sent, "/v2/models/late/versions/1/infer")[0] == 200
    sent["inputs"][0]["data"] = [-1] * 20
    assert serving.infer(sent, "/v2/models/late/versions/2/infer")[0] == 500
    status, answer = get(serving, "/v2/models/late/stats")
    assert status == 200
    by_version = {each["version"]: each for each in answer["model_stats"]}
    assert set(by_version) == {"1", "2"}
    assert sum(each["inference_count"] for each in by_version.values()) == 40
    first, second = by_version["1"]["inference_stats"], by_version["2"]["inference_stats"]
    assert (first["success"]["count"], second["success"]["count"], second["fail"]["count"]) == (2, 1, 1)
    assert second["fail"]["ns"] > 0
    for stage in ("compute_input", "compute_infer", "compute_output"):
        assert first[stage]["count"] == 2
        assert 0 < first[stage]["ns"] < first["success"]["ns"]
    assert by_version["1"]["last_inference"] > 1_700_000_000_000
    assert get(serving, "/v2/models/late/versions/2/stats")[1]["model_stats"] == [by_version["2"]]
    assert len(get(serving, "/v2/models/stats")[1]["model_stats"]) == 2


def test_the_index_has_every_live_version(serving: Serving) -> None:
    serving.route(serving.variant(2, 5_000), serving.variant(1, 5_000))

    def index(body: object = b"") -> Any:
        status, answer = serving.call("POST", "/v2/repository/index", body)
        assert status == 200
        return answer

    assert index() == [
        {"name": "late", "version": "2", "state": "READY", "reason": ""},
        {"name": "late", "version": "1", "state": "READY", "reason": ""},
    ]
    missing = Variant("v9", "late", 9, "0" * 64, 10_000)
    serving.route(missing, name="other")
    assert index({"ready": True}) == []
    (entry,) = index({"ready": False})
    assert (entry["name"], entry["state"]) == ("other", "UNAVAILABLE")
    assert serving.call("POST", "/v2/repository/index", b"[")[0] == 400
    assert serving.call("GET", "/v2/repository/index")[0] == 405


def test_loading_and_unloading_needs_the_setting(two: Serving) -> None:
    for verb in ("load", "unload"):
        path = f"/v2/repository/models/late/{verb}"
        assert two.handler.handle("POST", path, {}, b"").status == LATER
        two.handler.repository = two.follower
        answer = two.handler.handle_later(path)
        assert (answer.status, "repository_control" in error(answer.body)) == (403, True)
    assert get(two, "/v2/repository/models/late/load")[0] == 405


def test_an_unloaded_endpoint_is_gone_until_it_is_loaded_again(serving: Serving) -> None:
    shelf = Shelf(serving.home / "serve")
    control = ControlClient("http://127.0.0.1:9")
    follower = RouteFollower(control, serving.cache, serving.handler, serving.metrics, shelf=shelf)
    serving.follower, serving.handler.repository = follower, follower
    serving.route(serving.variant(1))

    def ask_for(verb: str, name: str = "late") -> tuple[int, bytes]:
        answer = serving.handler.handle_later(f"/v2/repository/models/{name}/{verb}")
        return answer.status, answer.body

    def index() -> list[tuple[str, str]]:
        return [(each["state"], each["reason"]) for each in serving.call("POST", "/v2/repository/index")[1]]  # type: ignore[index]

    assert index() == [("READY", "")]
    for _ in range(2):
        assert ask_for("unload") == (200, b"")
        assert index() == [("UNAVAILABLE", "unloaded")]
        assert get(serving, "/v2/models/late/ready")[0] == 503
        assert serving.infer({"inputs": []})[0] == 503
        assert not follower._models.loaded
    serving.route(serving.variant(2))
    assert index() == [("UNAVAILABLE", "unloaded")]
    follower._keep(3)
    again = RouteFollower(control, serving.cache, serving.handler, serving.metrics, shelf=Shelf(serving.home / "serve"))
    kept = serving.cache.load()
    assert kept is not None
    again.install(kept)
    assert index() == [("UNAVAILABLE", "unloaded")]
    serving.handler.repository = again
    for _ in range(2):
        assert ask_for("load") == (200, b"")
        assert index() == [("READY", "")]
    assert get(serving, "/v2/models/late")[1]["versions"] == ["2"]
    status, body = ask_for("load", "other")
    assert (status, error(body)) == (404, "failed to load 'other': no such endpoint is deployed.")


def test_what_is_on_the_shelf_is_a_list_of_names_or_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for said, names in (("[", []), ("5", []), ('["a", 5]', ["a"])):
        (tmp_path / "unloaded.json").write_text(said)
        assert sorted(shelf.names()) == names
