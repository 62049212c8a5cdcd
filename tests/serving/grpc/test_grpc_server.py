"""A whole worker over real sockets, asked by the client library of gRPC's makers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bailiwick.endpoints.model import Endpoint, Policy, Quota, RouteTable
from bailiwick.serving.grpc.service import SERVICE
from bailiwick.serving.messages.classes import message
from tests_support.worker import Control, Worker, free_port

grpc = pytest.importorskip("grpc")

LIMIT = 200_000


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    made.route(made.variant(1))
    yield made
    made.close()


@pytest.fixture
def worker(control: Control, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path, control.port, max_body_bytes=LIMIT)
    made.wait_for(1)
    yield made
    made.stop()


@pytest.fixture
def channel(worker: Worker) -> Iterator[Any]:
    with new_channel(worker.port + 1) as made:
        yield made


def new_channel(port: int, *options: tuple[str, Any], **more: Any) -> Any:
    alone = ("grpc.use_local_subchannel_pool", 1)  # else channels to one address share a connection
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=[alone, *options], **more)


def method(channel: Any, name: str, kind: str = "unary_unary", service: str = SERVICE) -> Any:
    """A method by name, with messages of the same name."""
    package = service.rpartition(".")[0]
    short = {"Check": "HealthCheck", "Watch": "HealthCheck", "ServerReflectionInfo": "ServerReflection"}.get(name, name)
    answered = message(f"{package}.{short}Response")
    asked = message(f"{package}.{'ModelInfer' if name == 'ModelStreamInfer' else short}Request")
    return getattr(channel, kind)(
        f"/{service}/{name}", request_serializer=asked.SerializeToString, response_deserializer=answered.FromString
    )


def request(x: float = 1.0, rows: int = 1, **fields: Any) -> Any:
    made = message("inference.ModelInferRequest")(**{"model_name": "late", **fields})
    made.inputs.add(name="x", datatype="FP32", shape=[rows, 1]).contents.fp32_contents.extend([x] * rows)
    made.inputs.add(name="carrier", datatype="BYTES", shape=[rows, 1]).contents.bytes_contents.extend([b"AA"] * rows)
    return made


def first_value(answer: Any) -> float:
    import struct

    return float(struct.unpack_from("<f", answer.raw_output_contents[0])[0])


def status_of(call: Callable[[], Any]) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as failed:
        call()
    return failed.value.code(), failed.value.details()


def test_calls_as_clients_make_them(worker: Worker, channel: Any) -> None:
    infer = method(channel, "ModelInfer")
    assert first_value(infer(request(1.5))) == 1011.5
    answers = [infer.future(request(float(x))) for x in range(200)]
    assert [first_value(answer.result()) for answer in answers] == [1010.0 + x for x in range(200)]
    assert first_value(infer(request(1.0, 9000))) == 1011.0  # an answer of more than one frame
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        assert first_value(infer(request(1.0, 1000), compression=compression)) == 1011.0
    assert method(channel, "ServerReady")(message("inference.ServerReadyRequest")()).ready
    status, _ = worker.call("GET", "/v2/health/ready")
    assert status == 200
    text = worker.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").decode()
    assert 'bailiwick_grpc_calls_total{code="OK",method="ModelInfer",worker="0"} 204.0' in text
    assert 'bailiwick_inference_connections{protocol="grpc",worker="0"} 1.0' in text


def counted(worker: Worker, name: str) -> float:
    text = worker.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name}{{"))


def test_calls_that_come_together_share_runs_and_fail_each_by_itself(worker: Worker) -> None:
    """Across the streams of a connection, and across connections."""
    with new_channel(worker.port + 1) as first, new_channel(worker.port + 1) as second:
        infers = [method(channel, "ModelInfer") for channel in (first, second)]
        for infer in infers:
            infer(request())
        before = counted(worker, "bailiwick_runs_total")
        pid = worker.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # until it has many of them before it at once
        sent = {n: infers[n % 2].future(request(float(n) if n % 10 else -1.0, id=f"r{n}")) for n in range(600)}
        sent[600] = infers[0].future(request(model_name="other"))
        time.sleep(0.5)
        os.kill(pid, signal.SIGCONT)
        for n, answer in sent.items():
            if n % 10:
                assert (first_value(answer.result()), answer.result().id) == (1010.0 + n, f"r{n}")
            else:
                wanted = grpc.StatusCode.NOT_FOUND if n == 600 else grpc.StatusCode.INTERNAL
                assert answer.exception().code() is wanted
        runs = counted(worker, "bailiwick_runs_total") - before
        assert counted(worker, "bailiwick_runs_requests_total") == counted(worker, "bailiwick_runs_rows_total") == 602
        assert runs < 600
        assert counted(worker, "bailiwick_requests_waiting") == counted(worker, "bailiwick_requests_in_flight") == 0
        assert counted(worker, "bailiwick_queue_seconds_count") == 602


def test_failures_have_exact_statuses(channel: Any) -> None:
    infer = method(channel, "ModelInfer")
    assert status_of(lambda: infer(request(model_name="other")))[0] is grpc.StatusCode.NOT_FOUND
    code, said = status_of(lambda: infer(request(rows=0)))
    assert (code, "at least one row" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    code, said = status_of(lambda: infer(request(model_name="zürich 100 %\n")))
    assert (code, "'zürich 100 %\\n'" in said) == (grpc.StatusCode.NOT_FOUND, True)
    code, said = status_of(lambda: infer(request(rows=60_000)))
    assert (code, said) == (grpc.StatusCode.RESOURCE_EXHAUSTED, f"The message is larger than {LIMIT} bytes.")
    code, said = status_of(lambda: infer(request(rows=60_000), compression=grpc.Compression.Gzip))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    unknown = channel.unary_unary(f"/{SERVICE}/Nothing")
    assert status_of(lambda: unknown(b"x"))[0] is grpc.StatusCode.UNIMPLEMENTED
    broken = channel.unary_unary(f"/{SERVICE}/ModelInfer")
    assert status_of(lambda: broken(b"\xff"))[0] is grpc.StatusCode.INVALID_ARGUMENT
    stream = channel.stream_unary(f"/{SERVICE}/ModelStreamInfer")
    assert status_of(lambda: stream(iter([b"x" * (LIMIT + 1)])))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    twice = channel.stream_unary(f"/{SERVICE}/ModelInfer")
    assert status_of(lambda: twice(iter([b"", b""])))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert first_value(infer(request())) == 1011.0


def test_an_endpoints_policy_holds_for_calls_too(worker: Worker, control: Control, channel: Any) -> None:
    policy = Policy(override_header="x-variant", quota=Quota(per_second=0.001, burst=3, by="address"))
    with control.changed:
        variants = (control.variant(1), control.variant(2, 0))
        control.table = RouteTable(1, 2, (Endpoint("late", "salt", 2, variants, "", "", policy=policy),))
        control.changed.notify_all()
    worker.wait_for(2)
    infer = method(channel, "ModelInfer")
    assert infer(request()).model_version == "1"
    assert infer(request(), metadata=[("x-variant", "v2")]).model_version == "2"
    assert status_of(lambda: infer(request(), metadata=[("x-variant", "v3")]))[0] is grpc.StatusCode.INVALID_ARGUMENT
    code, said = status_of(lambda: infer(request()))
    assert (code, "quota" in said) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)


def test_a_stream_answers_in_order_and_goes_on_after_errors(channel: Any) -> None:
    stream = method(channel, "ModelStreamInfer", "stream_stream")
    sent = [request(float(x), id=f"r{x}", model_name="other" if x == 3 else "late") for x in range(300)]
    answers = list(stream(iter(sent)))
    assert [answer.infer_response.id for answer in answers] == [f"r{x}" for x in range(300)]
    assert [x for x, answer in enumerate(answers) if answer.error_message] == [3]
    assert list(stream(iter([]))) == []


def test_health_is_told_when_it_changes_and_reflection_says_what_there_is(worker: Worker, channel: Any) -> None:
    health = "grpc.health.v1.Health"
    asked = message("grpc.health.v1.HealthCheckRequest")
    assert method(channel, "Check", service=health)(asked()).status == 1
    assert status_of(lambda: method(channel, "Check", service=health)(asked(service="x")))[0] is (
        grpc.StatusCode.NOT_FOUND
    )
    reflection = "grpc.reflection.v1.ServerReflection"
    listed = message("grpc.reflection.v1.ServerReflectionRequest")(list_services="")
    (answer,) = method(channel, "ServerReflectionInfo", "stream_stream", reflection)(iter([listed]))
    assert len(answer.list_services_response.service) == 4
    watching = method(channel, "Watch", "unary_stream", health)(asked())
    assert next(watching).status == 1
    os.kill(worker.process.pid or 0, signal.SIGTERM)
    assert next(watching).status == 2
    watching.cancel()


def test_a_worker_is_replaced_without_a_failed_call(worker: Worker, control: Control) -> None:
    failures: list[Any] = []
    answered, stopping = [0], threading.Event()

    def client() -> None:
        with new_channel(worker.port + 1) as channel:
            infer = method(channel, "ModelInfer")
            while not stopping.is_set():
                try:
                    infer(request())
                    answered[0] += 1
                except grpc.RpcError as error:
                    failures.append(error)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    second = Worker(worker.home, control.port, port=worker.port)
    second.wait_beside(1)
    worker.stop()
    before = answered[0]
    time.sleep(0.5)
    stopping.set()
    for thread in threads:
        thread.join(10)
    second.stop()
    assert failures == []
    assert answered[0] > before > 0


def test_gzip_bombs_and_broken_frames_are_refused(worker: Worker) -> None:
    import zlib

    from bailiwick.serving.http2 import frames
    from bailiwick.serving.http2.frames import frame
    from bailiwick.serving.http2.hpack import literal

    def call(body: bytes, *fields: tuple[bytes, bytes]) -> bytes:
        head = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", f"/{SERVICE}/ModelInfer".encode())]
        block = b"".join(literal(*field) for field in [*head, (b"content-type", b"application/grpc"), *fields])
        data = frame(frames.HEADERS, frames.END_HEADERS, 1, block) + frame(frames.DATA, frames.END_STREAM, 1, body)
        import socket

        with socket.create_connection(("127.0.0.1", worker.port + 1), timeout=0.5) as client:
            client.sendall(frames.PREFACE + frame(frames.SETTINGS, 0, 0) + data)
            said = b""
            try:
                while chunk := client.recv(65536):
                    said += chunk
            except TimeoutError:
                pass
            return said

    squeezing = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = squeezing.compress(bytes(10_000_000)) + squeezing.flush()
    framed = b"\1" + len(bomb).to_bytes(4, "big") + bomb
    gzip = (b"grpc-encoding", b"gzip")
    assert literal(b"grpc-status", b"8") in call(framed, gzip)
    cut = b"\1\0\0\0\x0a" + bomb[:10]
    assert literal(b"grpc-status", b"3") in call(cut, gzip)
    assert literal(b"grpc-status", b"3") in call(b"\1\0\0\0\4abcd", gzip)
    assert literal(b"grpc-status", b"3") in call(b"\1\0\0\0\4abcd")
    assert literal(b"grpc-status", b"3") in call(b"\0\0\0\0\4abc")
    assert literal(b"grpc-status", b"3") in call(b"")
    assert literal(b"grpc-status", b"3") in call(b"\0\0\0\0\0", (b"grpc-timeout", b"soon"))
    assert literal(b"grpc-status", b"4") in call(b"\0\0\0\0\0", (b"grpc-timeout", b"0n"))
    assert literal(b"grpc-status", b"12") in call(b"\0\0\0\0\0", (b"grpc-encoding", b"snappy"))
    assert b"\x03415" in call(b"", (b"content-type", b"application/json"))


def test_it_can_be_turned_off(control: Control, tmp_path: Path) -> None:
    made = Worker(tmp_path, control.port, grpc_port=0)
    made.wait_for(1)
    with new_channel(made.port + 1) as channel, pytest.raises(grpc.FutureTimeoutError):
        grpc.channel_ready_future(channel).result(timeout=0.3)
    made.stop()


def test_a_port_of_its_own(control: Control, tmp_path: Path) -> None:
    port = free_port()
    made = Worker(tmp_path, control.port, grpc_port=port)
    made.wait_for(1)
    with new_channel(port) as channel:
        assert first_value(method(channel, "ModelInfer")(request())) == 1011.0
    made.stop()
