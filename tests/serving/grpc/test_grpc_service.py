"""The methods as clients see them, without sockets: answers, exact statuses, and the same record as over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
import pytest

from bailiwick.endpoints.log import PredictionLog
from bailiwick.serving.grpc.health import Health
from bailiwick.serving.grpc.reflection import reflect
from bailiwick.serving.grpc.service import SERVICE, InferenceService
from bailiwick.serving.grpc.status import CallFailed, Code
from bailiwick.serving.http.form import Asked
from bailiwick.serving.messages.classes import message
from bailiwick.serving.shipper import Shipper
from bailiwick.store.delta import DeltaTables
from tests_support.serving import Serving


def infer_message(xs: list[float], carriers: list[str] | None = None, **fields: Any) -> Any:
    """A typed request."""
    rows = len(xs)
    made = message("inference.ModelInferRequest")(**{"model_name": "late", **fields})
    x = made.inputs.add(name="x", datatype="FP32", shape=[rows, 1])
    x.contents.fp32_contents.extend(xs)
    carrier = made.inputs.add(name="carrier", datatype="BYTES", shape=[rows, 1])
    carrier.contents.bytes_contents.extend(text.encode() for text in carriers or ["AA"] * rows)
    return made


class Service:
    """The service on a handler that has no models that are slow."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.service = InferenceService(serving.handler)

    async def elsewhere(self, work: Any) -> Any:
        return work()

    def infer(self, sent: Any) -> Any:
        data = sent if isinstance(sent, bytes) else sent.SerializeToString()
        answer = self.service.infer(self.service.asked(data))
        return message("inference.ModelInferResponse").FromString(answer)

    def call(self, method: str, **fields: Any) -> Any:
        request = message(f"inference.{method}Request")(**fields)
        answer = self.service.unary[f"/{SERVICE}/{method}"](request.SerializeToString(), self.elsewhere)
        if not isinstance(answer, bytes):
            answer = asyncio.run(answer)
        return message(f"inference.{method}Response").FromString(answer)


@pytest.fixture
def one(serving: Serving) -> Service:
    serving.route(serving.variant(1))
    return Service(serving)


def raw(answer: Any) -> list[float]:
    values: list[float] = np.frombuffer(answer.raw_output_contents[0], "<f4").tolist()
    return values


def test_an_answer_has_version_id_variant_and_raw_values(one: Service) -> None:
    answer = one.infer(infer_message([1.5, 2.0], ["UA", "AA"], id="abc-1"))
    assert (answer.model_name, answer.model_version, answer.id) == ("late", "1", "abc-1")
    assert answer.parameters["variant"].string_param == "v1"
    assert [(out.name, out.datatype, list(out.shape)) for out in answer.outputs] == [("probability", "FP32", [2])]
    assert raw(answer) == [1021.5, 1012.0]
    assert len(one.infer(infer_message([1.5])).id) == 32


def test_typed_values_are_given_when_they_are_asked_for(one: Service) -> None:
    sent = infer_message([1.5])
    sent.parameters["binary_data_output"].bool_param = False
    answer = one.infer(sent)
    assert list(answer.outputs[0].contents.fp32_contents) == [1011.5]
    assert not answer.raw_output_contents


def test_raw_contents_are_answered_as_typed_ones(one: Service) -> None:
    made = message("inference.ModelInferRequest")(model_name="late", model_version="1")
    made.inputs.add(name="x", datatype="FP32", shape=[2, 1])
    made.inputs.add(name="carrier", datatype="BYTES", shape=[2])
    made.raw_input_contents.append(np.array([1.5, 2], np.float32).tobytes())
    made.raw_input_contents.append(b"\2\0\0\0UA\2\0\0\0AA")
    assert raw(one.infer(made)) == [1021.5, 1012.0]


def test_outputs_may_be_asked_for_by_name(one: Service) -> None:
    sent = infer_message([1.0])
    sent.outputs.add(name="probability")
    assert raw(one.infer(sent)) == [1011.0]
    sent.outputs[0].name = "label"
    with pytest.raises(CallFailed, match="Output 'label' is not known; the outputs are: probability") as failed:
        one.infer(sent)
    assert failed.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("name", ["classification", "shared_memory_region"])
def test_what_would_change_an_output_and_is_not_offered_is_refused(one: Service, name: str) -> None:
    sent = infer_message([1.0])
    sent.outputs.add(name="probability").parameters[name].int64_param = 1
    with pytest.raises(CallFailed, match=f"asks for {name}, an extension that is not offered") as failed:
        one.infer(sent)
    assert failed.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (b"\xff\xff", Code.INVALID_ARGUMENT, "not a ModelInferRequest"),
        (infer_message([1], model_name="other"), Code.NOT_FOUND, "endpoint 'other' does not exist"),
        (infer_message([1], model_name=""), Code.NOT_FOUND, "endpoint '' does not exist"),
        (infer_message([1], model_version="7"), Code.NOT_FOUND, "does not serve version '7'; it serves: 1."),
        (message("inference.ModelInferRequest")(model_name="late"), Code.INVALID_ARGUMENT, "has no inputs"),
        (infer_message([]), Code.INVALID_ARGUMENT, "at least one row"),
        (infer_message([1, 2], ["AA"]), Code.INVALID_ARGUMENT, "Input carrier has 1 values; shape [2, 1] needs 2."),
        (infer_message([-1]), Code.INTERNAL, "The model failed"),
    ],
)
def test_what_cannot_be_answered_has_an_exact_status(one: Service, sent: Any, code: Code, said: str) -> None:
    with pytest.raises(CallFailed) as failed:
        one.infer(sent)
    assert failed.value.code is code
    assert said in failed.value.message


def test_a_full_spool_is_unavailable_and_says_when_to_try_again(new_serving: Any) -> None:
    serving = new_serving(spool_bytes=20_000)
    serving.route(serving.variant(1))
    service = Service(serving)
    for _ in range(1000):
        if not serving.spool.has_room():
            break
        try:
            service.infer(infer_message([1.0] * 50))
        except CallFailed:
            break
    with pytest.raises(CallFailed) as failed:
        service.infer(infer_message([1.0] * 50))
    assert failed.value.code is Code.UNAVAILABLE
    assert failed.value.retry_ms == 1000


def test_rows_reach_the_log_as_those_of_http_do(one: Service, tables: DeltaTables) -> None:
    log = PredictionLog(tables, "default")
    one.infer(infer_message([1.5, 2.0], ["UA", "AA"], id="grpc"))
    body = {
        "id": "http",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [2, 1], "data": [1.5, 2.0]},
            {"name": "carrier", "datatype": "BYTES", "shape": [2, 1], "data": ["UA", "AA"]},
        ],
    }
    assert one.serving.infer(body)[0] == 200
    with pytest.raises(CallFailed):
        one.infer(infer_message([-1.0], id="failed"))
    assert Shipper(one.serving.home / "spool", log).ship() == 5
    rows = log.predictions("late").sort_by([("request_id", "ascending"), ("row", "ascending")]).to_pylist()
    ours = {"prediction_id", "request_id", "unit", "time", "received", "latency_us"}
    plain = [{name: value for name, value in row.items() if name not in ours} for row in rows]
    assert [row["prediction_id"] for row in rows] == ["failed:0", "grpc:0", "grpc:1", "http:0", "http:1"]
    assert plain[1:3] == plain[3:5]
    assert plain[1]["in_x"] == 1.5
    assert plain[2]["out_probability"] == 1012.0
    assert (plain[0]["status"], plain[0]["in_x"]) == (500, -1.0)


def test_requests_of_both_protocols_are_counted_together(one: Service) -> None:
    one.infer(infer_message([1, 2]))
    with pytest.raises(CallFailed):
        one.infer(infer_message([1], model_version="7"))
    with pytest.raises(CallFailed):
        one.infer(infer_message([]))
    text = one.serving.handler.handle("GET", "/metrics", {}, b"").body.decode()
    assert 'bailiwick_inference_requests_total{endpoint="late",status="200",worker="0"} 1.0' in text
    assert 'bailiwick_inference_requests_total{endpoint="late",status="400",worker="0"} 1.0' in text
    assert 'bailiwick_inference_requests_total{endpoint="",status="404",worker="0"} 1.0' in text
    assert 'bailiwick_predictions_total{endpoint="late",variant="v1",worker="0"} 2.0' in text


def test_health_and_metadata(one: Service) -> None:
    assert one.call("ServerLive").live
    assert one.call("ServerReady").ready
    assert one.call("ModelReady", name="late").ready
    assert one.call("ModelReady", name="late", version="1").ready
    assert one.call("ServerMetadata").name == "bailiwick"
    answer = one.call("ModelMetadata", name="late")
    assert (answer.name, list(answer.versions), answer.platform) == ("late", ["1"], "onnx_onnxv1")
    assert [(spec.name, spec.datatype, list(spec.shape)) for spec in answer.inputs] == [
        ("x", "FP32", [-1, 1]),
        ("carrier", "BYTES", [-1, 1]),
    ]
    assert dict(answer.properties) == {"key": "tail", "time": "at"}
    one.serving.handler.draining = True
    assert one.call("ServerLive").live
    assert not one.call("ServerReady").ready


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"])
def test_a_model_that_is_not_there_is_not_found(one: Service, method: str) -> None:
    for fields in ({"name": "other"}, {"name": "late", "version": "7"}, {"name": "late/infer"}):
        with pytest.raises(CallFailed) as failed:
            one.call(method, **fields)
        assert failed.value.code is Code.NOT_FOUND
    with pytest.raises(CallFailed) as failed:
        one.service.unary[f"/{SERVICE}/{method}"](b"\xff", one.elsewhere)
    assert failed.value.code is Code.INVALID_ARGUMENT


def test_a_stream_says_errors_in_its_answers_and_goes_on(one: Service) -> None:
    read = message("inference.ModelStreamInferResponse").FromString
    good = one.service.infer_on_stream(infer_message([1], id="1").SerializeToString(), one.elsewhere)
    bad = one.service.infer_on_stream(infer_message([], id="2").SerializeToString(), one.elsewhere)
    broken = one.service.infer_on_stream(b"\xff", one.elsewhere)
    assert isinstance(good, bytes)
    assert isinstance(bad, bytes)
    assert isinstance(broken, bytes)
    assert raw(read(good).infer_response) == [1011.0]
    assert read(good).infer_response.parameters["triton_final_response"].bool_param
    assert (read(bad).infer_response.id, "at least one row" in read(bad).error_message) == ("2", True)
    assert "not a ModelInferRequest" in read(broken).error_message


def test_rows_of_two_variants_come_in_their_order(serving: Serving) -> None:
    serving.route(serving.variant(2, 5_000), serving.variant(1, 5_000))
    sent = infer_message([float(row) for row in range(40)], id="r")
    sent.inputs.add(name="tail", datatype="BYTES", shape=[40]).contents.bytes_contents.extend(
        f"N{row}".encode() for row in range(40)
    )
    answer = Service(serving).infer(sent)
    values = raw(answer)
    assert {value - row for row, value in enumerate(values)} == {1010.0, 2010.0}
    assert not answer.model_version
    assert not answer.parameters


def test_the_health_protocol(one: Service) -> None:
    health = Health(one.service)
    request, response = (message(f"grpc.health.v1.HealthCheck{kind}") for kind in ("Request", "Response"))
    for name in ("", SERVICE):
        assert response.FromString(health.check(request(service=name).SerializeToString())).status == 1
    with pytest.raises(CallFailed) as failed:
        health.check(request(service="other").SerializeToString())
    assert failed.value.code is Code.NOT_FOUND
    one.serving.handler.draining = True
    assert response.FromString(health.check(b"")).status == 2


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_gives_every_file_with_what_it_needs(version: str) -> None:
    request, response = (
        message(f"grpc.reflection.{version}.ServerReflection{kind}") for kind in ("Request", "Response")
    )

    def ask(**fields: str) -> Any:
        return response.FromString(reflect(version)(request(**fields).SerializeToString()))

    services = [service.name for service in ask(list_services="").list_services_response.service]
    assert services == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        SERVICE,
    ]
    found = ask(file_containing_symbol=f"{SERVICE}.ModelInfer").file_descriptor_response.file_descriptor_proto
    assert len(found) == 1
    assert b"ModelInferRequest" in found[0]
    assert len(ask(file_by_filename="wire.proto").file_descriptor_response.file_descriptor_proto) == 2
    for missing in (ask(file_by_filename="other.proto"), ask(file_containing_symbol="other"), ask()):
        assert missing.error_response.error_code == Code.NOT_FOUND


def test_loading_and_unloading_are_as_over_http(one: Service) -> None:
    for method in ("RepositoryModelLoad", "RepositoryModelUnload"):
        with pytest.raises(CallFailed, match="Nothing can be loaded") as failed:
            one.call(method, model_name="late")
        assert failed.value.code is Code.PERMISSION_DENIED
        with pytest.raises(CallFailed) as failed:
            one.call(method, model_name="a/b")
        assert failed.value.code is Code.NOT_FOUND


def test_calls_and_requests_over_http_that_came_together_share_a_run_and_a_write(
    one: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with one is told to that one only, in the words of its protocol."""
    serving, write = one.serving, one.serving.spool._write
    writes: list[int] = []

    def counted(data: bytes) -> None:
        writes.append(len(data))
        write(data)

    monkeypatch.setattr(serving.spool, "_write", counted)

    def over_http(x: float) -> Asked:
        inputs = [
            {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [x]},
            {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": ["AA"]},
        ]
        body = msgspec.json.encode({"inputs": inputs})
        asked = serving.handler.inference("POST", "/v2/models/late/infer", {b"accept-encoding": b"gzip"}, body)
        assert asked is not None
        return asked

    def called(x: float, **fields: Any) -> Asked:
        return one.service.asked(infer_message([x], **fields).SerializeToString(), {b"accept-encoding": b"gzip"})

    asked = [over_http(1.0), called(2.0, id="a"), called(3.0, model_version="1"), called(4.0, id="b"), over_http(5.0)]
    outcomes = serving.handler.run_together(asked)
    assert len(writes) == 1
    assert serving.metrics.runs_requests == {"late": 5}
    assert serving.metrics.runs["late"] == 2  # the endpoint, and one version of it by name
    assert b"1011.0" in serving.handler.response(asked[0], outcomes[0]).body
    read = message("inference.ModelInferResponse").FromString
    assert [raw(read(one.service.answer(asked[n], outcomes[n]))) for n in (1, 2, 3)] == [[1012.0], [1013.0], [1014.0]]
    assert read(one.service.answer(asked[1], outcomes[1])).id == "a"

    asked = [called(1.0), called(-1.0), over_http(-2.0), called(4.0), over_http(5.0)]
    outcomes = serving.handler.run_together(asked)
    assert raw(read(one.service.answer(asked[0], outcomes[0]))) == [1011.0]
    assert raw(read(one.service.answer(asked[3], outcomes[3]))) == [1014.0]
    with pytest.raises(CallFailed) as failed:
        one.service.answer(asked[1], outcomes[1])
    assert failed.value.code is Code.INTERNAL
    assert [serving.handler.response(asked[n], outcomes[n]).status for n in (2, 4)] == [500, 200]
    assert serving.metrics.requests["late", 500] == 2
    log = PredictionLog(DeltaTables(str(serving.home / "tables")), "default")
    assert Shipper(serving.home / "spool", log).ship() == 10
    assert sorted(log.predictions("late")["status"].to_pylist()) == [200] * 8 + [500] * 2
