"""A whole inference worker in a process of its own, and a control plane for it that is nothing but a table and blobs."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import multiprocessing
import os
import random
import signal
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from bailiwick.core.settings import Settings
from bailiwick.endpoints.model import NO_POLICY, Endpoint, Policy, RouteTable, Variant
from bailiwick.endpoints.reporting import WorkerReport
from bailiwick.serving.worker import serve_worker
from tests_support.server import until
from tests_support.serving import package_bytes


class Control:
    """A control plane of one file: a route table to wait for, and blobs."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.table = RouteTable(1, 0, ())
        self.changed = threading.Condition()
        self.tokens: set[str | None] = set()
        self.failing: set[str] = set()
        self.reports: list[WorkerReport] = []
        control = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                control.tokens.add(self.headers.get("Authorization"))
                if self.path.startswith("/api/v1/blobs/"):
                    data = control.blobs.get(self.path.rpartition("/")[2])
                    failing = self.path.rpartition("/")[2] in control.failing
                    self._send(503 if failing else 200 if data is not None else 404, data or b"no such blob")
                else:
                    table = control.wait(int(self.path.partition("after=")[2].partition("&")[0] or -1))
                    self._send(200 if table else 204, msgspec.json.encode(table) if table else b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                control.reports.append(msgspec.json.decode(body, type=WorkerReport))
                self._send(204, b"")

            def _send(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                with contextlib.suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def wait(self, after: int) -> RouteTable | None:
        with self.changed:
            self.changed.wait_for(lambda: self.table.revision != after, timeout=1)
            return self.table if self.table.revision != after else None

    def variant(self, version: int, weight: int = 10_000, data: bytes | None = None) -> Variant:
        data = package_bytes(version) if data is None else data
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return Variant(f"v{version}", "late", version, digest, weight)

    def route(self, *variants: Variant, policy: Policy = NO_POLICY) -> None:
        with self.changed:
            revision = self.table.revision + 1
            endpoint = Endpoint("late", "salt", revision, variants, "tail", "at", policy=policy)
            self.table = RouteTable(1, revision, (endpoint,))
            self.changed.notify_all()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def free_port() -> int:
    """A port that nothing uses, nor the next one, which is that of gRPC; below those that clients get."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, socket.socket() as next_probe:
            try:
                probe.bind(("127.0.0.1", port))
                next_probe.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


class Worker:
    """`serve_worker` in a process of its own."""

    def __init__(self, home: Path, control_port: int, **options: Any) -> None:
        self.home = home
        self.port = options.pop("port", None) or free_port()
        number = options.pop("worker", 0)
        settings = Settings(home=home, inference_port=self.port, control_port=control_port, **options)
        self.process = multiprocessing.get_context("spawn").Process(
            target=serve_worker,
            args=(settings, number),
            daemon=True,  # a test that fails before it stops the worker must not keep the test run from ending
        )
        self.process.start()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connection = self.connect()
        try:
            connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def raw(self, data: bytes, *, pieces: int = 1) -> bytes:
        """Everything the server says to these bytes before it closes or falls silent for half a second."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as client:
            step = -(-len(data) // pieces)
            for start in range(0, len(data), step):
                client.sendall(data[start : start + step])
                time.sleep(0.01 if pieces > 1 else 0)
            said = b""
            try:
                while chunk := client.recv(65536):
                    said += chunk
            except TimeoutError:
                pass
            return said

    def wait_for(self, version: int) -> None:
        """Until the worker is ready with this revision, or a later one, in force, and all of it loaded."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                status, health = self.call("GET", "/v2/health/ready")
                if status == 200 and health["revision"] >= version and not health.get("loading"):
                    return
            except OSError:
                pass
            assert self.process.is_alive()
            time.sleep(0.02)
        raise AssertionError("the worker did not become ready")

    def wait_beside(self, others: int) -> None:
        """Until it shares its ports with so many other workers of the home."""
        for port in (self.port, self.port + 1):
            until(lambda port=port: len(self.connections(port)) > others, f"{others + 1} workers on port {port}")  # type: ignore[misc]

    def connections(self, port: int | None = None) -> dict[int, int]:
        """Connections of each worker of the home that has the port, by process."""
        data = (self.home / "serve" / "workers" / f"connections-{port or self.port}").read_bytes()
        return {process: count for process, count in struct.iter_unpack("<II", data) if process}

    def stop(self) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid or 0, signal.SIGTERM)
        self.process.join(20)
        assert not self.process.is_alive()
