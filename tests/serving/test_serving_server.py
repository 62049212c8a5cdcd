"""A whole worker over real sockets: HTTP as clients speak it, swaps under load, drains, and a control plane that is gone."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bailiwick.endpoints.model import Endpoint, RouteTable, Variant
from bailiwick.serving.follower import RouteCache
from tests_support.serving import package_bytes
from tests_support.worker import Control, Worker

PATH = "/v2/models/late/infer"


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    yield made
    made.close()


@pytest.fixture
def worker(control: Control, tmp_path: Path) -> Iterator[Worker]:
    control.route(control.variant(1))
    made = Worker(tmp_path, control.port, token="secret", max_body_bytes=20_000)
    made.wait_for(1)
    yield made
    made.stop()


def request(x: float = 1, rows: int = 1) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [rows, 1], "data": [x] * rows},
            {"name": "carrier", "datatype": "BYTES", "shape": [rows, 1], "data": ["AA"] * rows},
        ]
    }


def post(body: bytes, *headers: str, version: str = "1.1") -> bytes:
    head = [f"POST {PATH} HTTP/{version}", "Host: x", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


BODY = json.dumps(request()).encode()
SIZED = f"Content-Length: {len(BODY)}"


def test_a_body_that_only_drips_is_408_and_holds_nothing_up(control: Control, tmp_path: Path) -> None:
    control.route(control.variant(1))
    worker = Worker(tmp_path, control.port, request_seconds=1)
    try:
        worker.wait_for(1)
        with socket.create_connection(("127.0.0.1", worker.port), timeout=10) as client:
            client.sendall(post(BODY, SIZED)[:-100])
            said, began = b"", time.monotonic()
            client.settimeout(0.2)
            while not said and time.monotonic() - began < 10:
                try:
                    client.sendall(b" ")
                    said = client.recv(65536)
                except TimeoutError:
                    pass
            assert said.startswith(b"HTTP/1.1 408 ")
            assert said.endswith(b'{"error":"The request was not whole after 1 seconds."}')
        assert worker.call("GET", "/v2/health/ready")[0] == 200
        with socket.create_connection(("127.0.0.1", worker.port), timeout=10) as idle:
            time.sleep(2.5)  # between two requests there is no hurry
            idle.sendall(post(BODY, SIZED))
            assert idle.recv(65536).startswith(b"HTTP/1.1 200")
    finally:
        worker.stop()


def test_http_as_clients_speak_it(worker: Worker, control: Control) -> None:
    assert control.tokens == {"Bearer secret"}
    one = worker.raw(post(BODY, SIZED))
    assert one.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert b'"data":[1011.0]' in one
    assert worker.raw(post(BODY, SIZED), pieces=7).endswith(b'"data":[1011.0]}]}')
    assert worker.raw(post(BODY, SIZED) * 3).count(b'"data":[1011.0]') == 3
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:])) + b"0\r\n\r\n"
    assert b"1011.0" in worker.raw(post(chunks, "Transfer-Encoding: chunked"))
    behind = chunks.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"  # a trailer is no header
    assert b"1011.0" in worker.raw(post(behind, "Transfer-Encoding: chunked"))
    assert b"\r\nconnection: close\r\n" in worker.raw(post(BODY, SIZED, "Connection: close"))
    assert b"\r\nconnection: close\r\n" in worker.raw(post(BODY, SIZED, version="1.0"))
    assert worker.raw(post(BODY, SIZED, "Expect: 100-continue")).startswith(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"
    )
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    assert b"1011.0" in worker.raw(post(BODY, SIZED, *offer))
    assert worker.raw(post(BODY, SIZED, *offer) + post(BODY, SIZED), pieces=5).count(b"1011.0") == 2
    assert worker.raw(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 405 ")
    head = worker.raw(b"HEAD /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert b"content-length: 0" not in head
    query = worker.raw(b"GET http://x/v2/models/l%61te/ready?a=b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert query.endswith(b'{"name":"late","ready":true}')
    metrics = worker.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"bailiwick_route_revision" in metrics


def test_bad_http_is_refused_in_words(worker: Worker) -> None:
    garbage = worker.raw(b"\x16\x03\x01\x02\x00 this is TLS\r\n\r\n")
    assert garbage.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'{"error":"This is not HTTP/1.1' in garbage
    declared = worker.raw(post(b"x", "Content-Length: 20001"))
    assert declared.startswith(b"HTTP/1.1 413 ")
    assert b'{"error":"The body is larger than 20000 bytes."}' in declared
    chunks = b"4000\r\n" + b"x" * 0x4000 + b"\r\n" + b"4000\r\n" + b"x" * 0x4000 + b"\r\n0\r\n\r\n"
    assert worker.raw(post(chunks, "Transfer-Encoding: chunked")).startswith(b"HTTP/1.1 413 ")
    assert worker.raw(post(b"", "X: " + "y" * 70_000)).startswith(b"HTTP/1.1 431 ")
    assert worker.raw(post(b"", *["X: y"] * 40_000)).startswith(b"HTTP/1.1 431 ")
    assert worker.call("POST", PATH, request())[0] == 200


class Load(threading.Thread):
    """One keep-alive client that never pauses; every answer is (status, version said, version computed)."""

    def __init__(self, worker: Worker, rows: int) -> None:
        super().__init__(daemon=True)
        self.worker, self.rows = worker, rows
        self.stopping = threading.Event()
        self.answers: list[tuple[int, int, float]] = []
        self.errors: list[str] = []

    def run(self) -> None:
        connection = self.worker.connect()
        body = json.dumps(request(1, self.rows))
        while not self.stopping.is_set():
            try:
                connection.request("POST", PATH, body)
                answer = connection.getresponse()
                data = json.loads(answer.read())
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                return
            if answer.status != 200:
                self.errors.append(str(data))
                continue
            values = set(data["outputs"][0]["data"])
            said = int(data["model_version"])
            self.answers.append((answer.status, said, (values.pop() - 11) / 1000 if len(values) == 1 else -1))
        connection.close()


def test_a_hundred_swaps_under_load_fail_no_request_and_name_the_right_version(
    worker: Worker, control: Control
) -> None:
    clients = [Load(worker, rows) for rows in (1, 1, 7, 1, 2, 1, 30, 1)]
    for client in clients:
        client.start()
    for swap in range(2, 102):
        control.route(control.variant(swap))
        worker.wait_for(swap)
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(20)
        assert client.errors == []
        assert all(said == computed for _, said, computed in client.answers)
    seen = {said for client in clients for _, said, _ in client.answers}
    assert len(seen) > 50
    runs, requests = (metric(worker, f'{name}_total{{endpoint="late"') for name in ("runs", "runs_requests"))
    assert requests > runs  # they did share runs


def metric(worker: Worker, beginning: str) -> float:
    lines = worker.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"bailiwick_{beginning}")).rpartition(" ")[2])


def test_what_is_pipelined_is_answered_in_its_order(worker: Worker) -> None:
    other = b"GET /v2/models/late/ready HTTP/1.1\r\nHost: x\r\n\r\n"
    bodies = [json.dumps(request(x)).encode() for x in range(6)]
    asked = [post(body, f"Content-Length: {len(body)}") for body in bodies]
    for _ in range(3):
        said = worker.raw(b"".join([*asked[:3], other, *asked[3:], b"this is not HTTP\r\n\r\n"]))
        places = [said.find(b'"data":[%d.0]' % (1010 + x)) for x in range(3)]
        places += [said.find(b'"ready":true'), *(said.find(b'"data":[%d.0]' % (1010 + x)) for x in range(3, 6))]
        places.append(said.find(b"This is not HTTP/1.1"))
        assert places == sorted(places)
        assert min(places) > 0


def test_who_sends_no_more_still_gets_an_answer(worker: Worker) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", worker.port), timeout=5) as client:
            client.sendall(post(BODY, SIZED))
            client.shutdown(socket.SHUT_WR)
            said = b""
            while chunk := client.recv(65536):
                said += chunk
        assert said.endswith(b'"data":[1011.0]}]}')


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"this is no model", "ONNX"),
        (package_bytes(2)[:-300], "ONNX"),
        (None, "does not have it"),
    ],
)
def test_a_version_that_cannot_be_loaded_never_gets_traffic(
    worker: Worker, control: Control, data: bytes | None, message: str
) -> None:
    bad = control.variant(2, data=data or b"missing")
    if data is None:
        control.blobs.pop(bad.package)
    control.route(bad)
    for _ in range(200):
        health = worker.call("GET", "/v2/health/ready")[1]
        if health["failures"]:
            break
        time.sleep(0.02)
    assert message in health["failures"]["late"]
    assert worker.call("POST", PATH, request())[1]["model_version"] == "1"
    control.route(control.variant(3))
    worker.wait_for(3)
    assert worker.call("POST", PATH, request())[1]["model_version"] == "3"
    assert worker.call("GET", "/v2/health/ready")[1]["failures"] == {}


def test_a_package_that_cannot_be_fetched_for_now_is_fetched_later(worker: Worker, control: Control) -> None:
    variant = control.variant(2)
    control.failing.add(variant.package)
    control.route(variant)
    time.sleep(0.3)
    assert worker.call("POST", PATH, request())[1]["model_version"] == "1"
    control.failing.clear()
    for _ in range(100):
        if worker.call("POST", PATH, request())[1]["model_version"] == "2":
            break
        time.sleep(0.05)
    assert worker.call("GET", "/v2/health/ready")[1]["failures"] == {}


def test_a_worker_without_endpoints_is_ready(control: Control, tmp_path: Path) -> None:
    worker = Worker(tmp_path, control.port)
    worker.wait_for(0)
    assert worker.call("GET", "/v2/health/ready")[0] == 200
    worker.stop()


def test_packages_that_no_table_needs_go_after_a_while(tmp_path: Path) -> None:
    cache = RouteCache(tmp_path)
    old, new, used = (cache.package(letter * 64) for letter in "abc")
    old.parent.mkdir()
    for path in (old, new, used):
        path.write_bytes(b"x")
    for path in (old, used):
        os.utime(path, (1, 1))
    table = RouteTable(1, 1, (Endpoint("late", "s", 1, (Variant("v1", "m", 1, "c" * 64, 10_000),)),))
    cache.save(table)
    assert cache.load() == table
    assert [path.exists() for path in (old, new, used)] == [False, True, True]


def test_it_serves_while_control_is_down_and_after_a_restart(control: Control, tmp_path: Path) -> None:
    control.route(control.variant(1))
    worker = Worker(tmp_path, control.port)
    worker.wait_for(1)
    control.close()
    assert worker.call("POST", PATH, request())[0] == 200
    worker.stop()
    again = Worker(tmp_path, control.port)
    again.wait_for(1)
    assert again.call("POST", PATH, request())[1]["model_version"] == "1"
    again.stop()
    control.server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    control.thread = threading.Thread(target=control.server.serve_forever, args=(0.02,), daemon=True)
    control.thread.start()


def test_a_stopping_worker_answers_and_says_close(worker: Worker) -> None:
    connection = worker.connect()
    connection.request("POST", PATH, BODY)
    assert connection.getresponse().read()
    os.kill(worker.process.pid or 0, signal.SIGTERM)
    time.sleep(0.2)
    connection.request("POST", PATH, BODY)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("connection") == "close"
    answer.read()
    began = time.monotonic()
    worker.process.join(10)
    assert worker.process.exitcode == 0
    assert time.monotonic() - began < 4


def test_a_worker_is_replaced_without_a_failed_request(control: Control, tmp_path: Path) -> None:
    control.route(control.variant(1))
    first = Worker(tmp_path, control.port)
    first.wait_for(1)
    failures, answered = [], 0
    stopping = threading.Event()

    def client() -> None:
        nonlocal answered
        connection = first.connect()
        while not stopping.is_set():
            connection.request("POST", PATH, BODY)
            answer = connection.getresponse()
            if answer.status != 200:
                failures.append(answer.read())
            answer.read()
            answered += 1
        connection.close()

    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    second = Worker(tmp_path, control.port, port=first.port)
    second.wait_beside(1)
    first.stop()
    before = answered
    time.sleep(0.3)
    stopping.set()
    thread.join(10)
    second.stop()
    assert failures == []
    assert answered > before > 0
