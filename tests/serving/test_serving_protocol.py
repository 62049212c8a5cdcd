"""The protocol as clients see it: what is answered, and exactly what is said about what cannot be."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.endpoints.assignment import choose
from tests_support.serving import Serving

Body = dict[str, Any]


def body(xs: list[object], carriers: list[object] | None = None, **more: object) -> Body:
    rows = len(xs)
    carriers = ["AA"] * rows if carriers is None else carriers
    return {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [rows, 1], "data": xs},
            {"name": "carrier", "datatype": "BYTES", "shape": [rows, 1], "data": carriers},
        ],
        **more,
    }


def tensor(name: str, datatype: str, data: object, shape: object) -> Body:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def data(answer: Body) -> list[float]:
    values: list[float] = answer["outputs"][0]["data"]
    return values


@pytest.fixture
def one(serving: Serving) -> Serving:
    serving.route(serving.variant(1))
    return serving


def test_one_row_is_answered_with_version_id_and_variant(one: Serving) -> None:
    assert one.infer(body([1.5], ["UA"], id="abc-1")) == (
        200,
        {
            "model_name": "late",
            "model_version": "1",
            "id": "abc-1",
            "parameters": {"variant": "v1"},
            "outputs": [{"name": "probability", "datatype": "FP32", "shape": [1], "data": [1021.5]}],
        },
    )


@pytest.mark.parametrize("given", [None, ""])
def test_a_request_without_an_id_gets_one(one: Serving, given: str | None) -> None:
    status, answer = one.infer(body([1], id=given))
    assert status == 200
    assert len(answer["id"]) == 32
    assert int(answer["id"], 16)


@pytest.mark.parametrize("given", ["has space", "ü", "a" * 65, 'semi;"colon', "\ud800"])
def test_an_id_that_cannot_name_predictions_is_given_back_beside_one_that_can(one: Serving, given: str) -> None:
    sent = json.dumps(body([1], id=given)).encode()
    if given == "\ud800":
        assert one.infer(sent)[0] == 400
        return
    status, answer = one.infer(sent)
    assert (status, answer["id"], answer["parameters"]["variant"]) == (200, given, "v1")
    assert int(answer["parameters"]["prediction_id"], 16)
    assert data(answer) == [1011.0]


@pytest.mark.parametrize(
    ("xs", "shape"),
    [([1, 2.5], [2, 1]), ([1, 2.5], [2]), ([[1], [2.5]], [2, 1]), ([[[1]], [[2.5]]], [2, 1])],
)
def test_data_may_be_flat_or_nested(one: Serving, xs: list[object], shape: list[int]) -> None:
    sent = body([0, 0], ["AA", "??"])
    sent["inputs"][0] = tensor("x", "FP32", xs, shape)
    assert data(one.infer(sent)[1]) == [1011.0, 1002.5]


def test_null_is_a_missing_value(one: Serving) -> None:
    status, answer = one.infer(body([None, 1.0], [None, "AA"]))
    assert status == 200
    assert data(answer) == [None, 1011.0]
    status, answer = one.infer(body([None], [None]))
    assert data(answer) == [None]


def test_outputs_may_be_asked_for_by_name(one: Serving) -> None:
    assert one.infer(body([1], outputs=[{"name": "probability"}]))[0] == 200
    status, answer = one.infer(body([1], outputs=[{"name": "label"}]))
    assert (status, answer["error"]) == (400, "Output 'label' is not known; the outputs are: probability.")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "not an infer request"),
        (b"{", "not an infer request"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `inputs`"),
        (b"\xff\xfe", "not an infer request"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":["\xff"]}]}', "not an infer request"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[NaN]}]}', "not an infer request"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":' + b"[" * 5000, "not an infer request"),
        ({"inputs": "x"}, "$.inputs"),
        ({"inputs": []}, "has no inputs"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "data": [1]}]}, "missing required field `shape`"),
        (
            {"inputs": [tensor("y", "FP32", [1], [1, 1])]},
            "Input 'y' is not known here; the inputs are: x, carrier, tail, at.",
        ),
        ({"inputs": [tensor("x", "FP32", [1], [1, 1])]}, "lacks input carrier"),
        ({"inputs": [tensor("x", "FP64", [1], [1, 1])]}, "Input x has datatype 'FP64'; it must be FP32."),
        ({"inputs": [tensor("x", "FP32", [1, 2], [1, 1])]}, "Input x has 2 values; shape [1, 1] needs 1."),
        ({"inputs": [tensor("x", "FP32", [1], [2, 1])]}, "Input x has 1 values; shape [2, 1] needs 2."),
        ({"inputs": [tensor("x", "FP32", [1, 2], [1, 2])]}, "Input x has shape [1, 2]; it must be [-1, 1]."),
        ({"inputs": [tensor("x", "FP32", [], [0, 1])]}, "a request has at least one row"),
        ({"inputs": [tensor("x", "FP32", [1], [-1, 1])]}, "a request has at least one row"),
        ({"inputs": [tensor("x", "FP32", [1], [])]}, "Input x has shape []"),
        ({"inputs": [tensor("x", "FP32", ["1.5"], [1, 1])]}, 'Input x is FP32; value 0 is "1.5".'),
        ({"inputs": [tensor("x", "FP32", [True], [1, 1])]}, "Input x is FP32; value 0 is true."),
        ({"inputs": [tensor("x", "FP32", [{"a": 1}], [1, 1])]}, 'Input x is FP32; value 0 is {"a":1}.'),
        ({"inputs": [tensor("x", "FP32", [[1], 2], [2, 1])]}, "mixes nested and flat data"),
        (
            {"inputs": [tensor("x", "FP32", [1e300], [1, 1]), tensor("carrier", "BYTES", ["a"], [1])]},
            "out of the range",
        ),
        ({"inputs": [tensor("x", "FP32", [1, 1e300], [2, 1])]}, "out of the range"),
        (
            {"inputs": [tensor("x", "FP32", [10**400], [1, 1]), tensor("carrier", "BYTES", ["a"], [1])]},
            "out of the range",
        ),
        ({"inputs": [tensor("x", "FP32", None, [1, 1])]}, "Input x has no data."),
        ({"inputs": [tensor("carrier", "BYTES", [1], [1, 1])]}, "Input carrier is BYTES; value 0 is 1."),
        ({"inputs": [tensor("at", "INT64", [None], [1, 1])]}, "Input at is INT64; value 0 is null."),
        ({"inputs": [tensor("at", "INT64", [1.5], [1, 1])]}, "Input at is INT64; value 0 is 1.5."),
        (body([1]) | {"inputs": [*body([1])["inputs"], tensor("at", "INT64", [2**63], [1, 1])]}, "out of the range"),
        (
            body([1]) | {"inputs": [*body([1])["inputs"], tensor("at", "INT64", [1, 2], [2, 1])]},
            "2 rows where others have 1",
        ),
        (body([1]) | {"inputs": [*body([1])["inputs"], tensor("x", "FP32", [1], [1, 1])]}, "given twice"),
    ],
)
def test_what_cannot_be_answered_is_400_and_says_why(one: Serving, sent: object, message: str) -> None:
    if isinstance(sent, dict):
        sent = str(sent).replace("'", '"').replace("True", "true").replace("None", "null").encode()
    status, answer = one.infer(sent)
    assert status == 400, answer
    assert list(answer) == ["error"]
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/", 404, "are under /v2"),
        ("GET", "/v2/nothing", 404, "nothing at"),
        ("POST", "/v2", 405, "use GET"),
        ("GET", "/v2/models/late/infer", 405, "use POST"),
        ("POST", "/v2/models/other/infer", 404, "endpoint 'other' does not exist. There are: late."),
        ("POST", "/v2/models/late/versions/7/infer", 404, "does not serve version '7'; it serves: 1."),
        ("GET", "/v2/models/late/nothing", 404, "nothing at"),
        ("POST", "/v2/models/", 404, "nothing at"),
    ],
)
def test_other_urls(one: Serving, method: str, path: str, status: int, message: str) -> None:
    got, answer = one.call(method, path, b"{}")
    assert got == status
    assert message in answer["error"]


def test_encodings_that_are_not_spoken_are_named(one: Serving) -> None:
    status, answer = one.call("POST", "/v2/models/late/infer", b"\x1f\x8b", content_encoding="br")
    assert (status, answer["error"]) == (
        415,
        "Content-Encoding 'br' is not known here; there are: gzip, deflate, identity.",
    )


def test_metadata_and_health(one: Serving) -> None:
    assert one.call("GET", "/v2/health/live")[1]["live"] is True
    assert one.call("GET", "/v2/health/ready") == (
        200,
        {"live": True, "ready": True, "revision": 1, "failures": {}, "breakers": {}},
    )
    assert one.call("GET", "/v2")[1]["name"] == "bailiwick"
    assert one.call("GET", "/v2/models/late/ready") == (200, {"name": "late", "ready": True})
    answer = one.call("GET", "/v2/models/late/versions/1")[1]
    assert answer["versions"] == ["1"]
    assert answer["inputs"][1] == {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1]}
    assert answer["properties"] == {"key": "tail", "time": "at"}


def test_before_the_first_route_table_it_is_not_ready(serving: Serving) -> None:
    assert serving.call("GET", "/v2/health/live")[0] == 200
    assert serving.call("GET", "/v2/health/ready")[0] == 503
    assert serving.infer(body([1]))[0] == 404


def test_a_model_that_fails_is_500_and_does_not_stop_the_next(one: Serving) -> None:
    status, answer = one.infer(body([-1]))
    assert status == 500
    assert "The model failed" in answer["error"]
    assert one.infer(body([1]))[0] == 200


def test_metrics_count_by_endpoint_status_and_variant(one: Serving) -> None:
    one.infer(body([1, 2]))
    one.infer(b"{")
    one.call("POST", "/v2/models/made-up-by-the-client/infer", b"{}")
    text = one.handler.handle("GET", "/metrics", {}, b"").body.decode()
    assert 'bailiwick_inference_requests_total{endpoint="late",status="200",worker="0"} 1.0' in text
    assert 'bailiwick_inference_requests_total{endpoint="late",status="400",worker="0"} 1.0' in text
    assert 'bailiwick_predictions_total{endpoint="late",variant="v1",worker="0"} 2.0' in text
    assert "made-up" not in text


def test_rows_go_to_the_variant_of_their_unit(serving: Serving) -> None:
    endpoint = serving.route(serving.variant(2, 4_000), serving.variant(1, 6_000))
    tails = [f"N{index}" for index in range(40)]
    sent = body([float(index) for index in range(40)])
    sent["inputs"].append(tensor("tail", "BYTES", tails, [40, 1]))
    status, answer = serving.infer(sent)
    assert status == 200
    chosen = [endpoint.variants[choose(endpoint, tail)].version for tail in tails]
    assert set(chosen) == {1, 2}
    assert data(answer) == [index + 10 + 1000 * version for index, version in enumerate(chosen)]
    assert "model_version" not in answer
    assert "parameters" not in answer


def test_without_a_key_the_unit_is_the_prediction_id(serving: Serving) -> None:
    endpoint = serving.route(serving.variant(2, 4_000), serving.variant(1, 6_000), key="", time="")
    chosen = [endpoint.variants[choose(endpoint, f"r:{row}")].version for row in range(30)]
    assert data(serving.infer(body([0.0] * 30, id="r"))[1]) == [10 + 1000 * version for version in chosen]


def test_a_version_can_be_called_by_its_own_url(serving: Serving) -> None:
    serving.route(serving.variant(2, 1), serving.variant(1, 9_999))
    answer = serving.infer(body([1.0] * 20), "/v2/models/late/versions/2/infer")[1]
    assert answer["model_version"] == "2"
    assert data(answer) == [2011.0] * 20


def test_a_variant_without_weight_gets_nothing_and_needs_no_package(serving: Serving) -> None:
    missing = msgspec.structs.replace(serving.variant(2, 0), package="0" * 64)
    serving.route(missing, serving.variant(1))
    assert data(serving.infer(body([1]))[1]) == [1011.0]


def test_an_input_that_only_the_new_version_needs_fails_only_its_rows(serving: Serving) -> None:
    serving.route(serving.variant(2, 5_000, extra=True), serving.variant(1, 5_000))
    statuses = {serving.infer(body([1], id=f"r{index}"))[0] for index in range(20)}
    assert statuses == {200, 400}
    sent = body([1.0] * 20)
    sent["inputs"].append(tensor("extra", "FP32", [0.5] * 20, [20, 1]))
    assert set(data(serving.infer(sent)[1])) == {1011.0, 2011.5}


rows = st.lists(
    st.tuples(st.floats(0, 100, width=32), st.sampled_from(["AA", "UA", "", "é\0"]), st.text(max_size=3)),
    min_size=1,
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(everything=rows, cut=st.integers(0, 25), weight=st.sampled_from([0, 1, 3_000, 10_000]))
def test_any_split_of_a_batch_gives_the_same_rows(
    serving: Serving, everything: list[tuple[float, str, str]], cut: int, weight: int
) -> None:
    serving.route(serving.variant(2, weight), serving.variant(1, 10_000 - weight))

    def ask(part: list[tuple[float, str, str]]) -> list[float]:
        if not part:
            return []
        sent = body([row[0] for row in part], [row[1] for row in part])
        sent["inputs"].append(tensor("tail", "BYTES", [row[2] for row in part], [len(part), 1]))
        status, answer = serving.infer(sent)
        assert status == 200, answer
        return data(answer)

    whole = ask(everything)
    assert ask(everything[:cut]) + ask(everything[cut:]) == whole
    assert [ask([row])[0] for row in everything[:5]] == whole[:5]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"[", "not an outcomes request"),
        ({"prediction_id": [], "outcome": []}, "no outcomes"),
        ({"prediction_id": ["a:0"], "outcome": [1, 2]}, "same length"),
        ({"prediction_id": ["a:0"], "outcome": [1], "time": []}, "same length"),
        ({"prediction_id": ["a"], "outcome": [1]}, "'a' is not a prediction id"),
        ({"prediction_id": ["a:x"], "outcome": [1]}, "not a prediction id"),
        ({"prediction_id": ["a:0"], "outcome": [None]}, "not an outcomes request"),
        ({"prediction_id": ["a:0"], "outcome": [1], "time": [2**64]}, "64 bits"),
    ],
)
def test_outcomes_that_cannot_be_taken_are_400(one: Serving, sent: object, message: str) -> None:
    status, answer = one.call("POST", "/v2/models/late/outcomes", sent)
    assert status == 400
    assert message in answer["error"]


def test_outcomes_are_accepted(one: Serving) -> None:
    sent = {"prediction_id": ["a:0", "a:1"], "outcome": [1, 0.5]}
    assert one.call("POST", "/v2/models/late/outcomes", sent) == (200, {"accepted": 2})
    assert one.call("POST", "/v2/models/late/outcomes", sent | {"time": [1, 2]}) == (200, {"accepted": 2})
    assert one.call("POST", "/v2/models/none/outcomes", sent)[0] == 404
    assert one.call("GET", "/v2/models/late/outcomes")[0] == 405
