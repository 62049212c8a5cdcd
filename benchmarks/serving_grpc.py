"""One-row inference over gRPC: our worker with routing and the prediction log on, beside MLServer with the same graph.

    python benchmarks/serving_grpc.py [--seconds 4] [--connections 8] [--peers]

The model is that of `benchmarks/serving.py`. `--peers` makes `.bench/mlserver` and measures MLServer in it: one process,
no parallel workers, a runtime that does nothing but ONNX Runtime on the decoded tensors. The server is pinned to one core
and the load generator, an HTTP/2 client of few lines, to another; what is compared is the server's own CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import replace
from pathlib import Path
from typing import Any

import serving
from serving import NUMBERS, TEXTS, WINDOW_SECONDS, Result, cpu_seconds, make_package, route_table, start_control

from bailiwick.serving.http2 import frames
from bailiwick.serving.http2.hpack import literal
from bailiwick.serving.messages.classes import message

TARGET = 2.0
PEER = Path(__file__).resolve().parent.parent / ".bench" / "mlserver"
PEER_PACKAGES = ("mlserver==1.7.1", "onnxruntime", "numpy")
RUNTIME = """
import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse

class Model(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload):
        feed = {}
        for tensor in payload.inputs:
            if tensor.datatype == "BYTES":
                feed[tensor.name] = np.array(StringCodec.decode_input(tensor), dtype=object).reshape(tensor.shape)
            else:
                feed[tensor.name] = NumpyCodec.decode_input(tensor)
        (scores,) = self.session.run(["probability"], feed)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("probability", scores)])
"""


def make_message(*, raw: bool) -> bytes:
    """One row, as raw or as typed contents."""
    import struct

    made = message("inference.ModelInferRequest")(model_name="m")
    for index in range(NUMBERS):
        tensor, value = made.inputs.add(name=f"number_{index}", datatype="FP32", shape=[1, 1]), 0.37 * index - 1.2
        if raw:
            made.raw_input_contents.append(struct.pack("<f", value))
        else:
            tensor.contents.fp32_contents.append(value)
    for index in range(TEXTS):
        tensor, text = made.inputs.add(name=f"text_{index}", datatype="BYTES", shape=[1, 1]), b"c%d" % (index + 3)
        if raw:
            made.raw_input_contents.append(struct.pack("<I", len(text)) + text)
        else:
            tensor.contents.bytes_contents.append(text)
    return bytes(made.SerializeToString())


class Client(asyncio.Protocol):
    """Sends the next call when the last is answered."""

    def __init__(self, sent: bytes, stop: float, latencies: list[float], done: asyncio.Future[None]) -> None:
        self.stop, self.latencies, self.done = stop, latencies, done
        self.body = b"\0" + len(sent).to_bytes(4, "big") + sent
        self.buffer, self.number = b"", -1
        self.block = b"\x83\x86" + b"".join(  # POST, http
            literal(*field)
            for field in (
                (b":authority", b"bench"),
                (b":path", b"/inference.GRPCInferenceService/ModelInfer"),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
            )
        )

    def connection_made(self, transport: Any) -> None:  # noqa: D102
        self.transport = transport
        wide = frames.number_frame(frames.WINDOW_UPDATE, 0, frames.WIDEST_WINDOW - frames.DEFAULT_WINDOW)
        transport.write(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0) + wide)
        self._send()

    def _send(self) -> None:
        self.number += 2
        self.sent = time.perf_counter()
        opening = frames.frame(frames.HEADERS, frames.END_HEADERS, self.number, self.block)
        self.transport.write(opening + frames.frame(frames.DATA, frames.END_STREAM, self.number, self.body))

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self.buffer += data
        while len(self.buffer) >= 9:
            size = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + size:
                return
            kind, flags, payload = self.buffer[3], self.buffer[4], self.buffer[9 : 9 + size]
            self.buffer = self.buffer[9 + size :]
            if kind == frames.SETTINGS and not flags & frames.ACK:
                self.transport.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
            elif kind == frames.PING and not flags & frames.ACK:
                self.transport.write(frames.frame(frames.PING, frames.ACK, 0, payload))
            elif kind in {frames.GOAWAY, frames.RST_STREAM}:
                raise SystemExit(payload)
            elif kind == frames.HEADERS and flags & frames.END_STREAM:
                self._answered()

    def _answered(self) -> None:
        now = time.perf_counter()
        self.latencies.append(now - self.sent)
        if now < self.stop:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:  # noqa: D102
        if not self.done.done():
            self.done.set_result(None)


async def load(port: int, pid: int, sent: bytes, seconds: float, connections: int) -> Result:
    """Every connection sends its next call when the last is answered."""
    loop, latencies, began = asyncio.get_running_loop(), [], time.perf_counter()
    waiting, stop = [], began + seconds
    for _ in range(connections):
        done = loop.create_future()
        await loop.create_connection(lambda done=done: Client(sent, stop, latencies, done), "127.0.0.1", port)
        waiting.append(done)
    windows, before = [], (len(latencies), cpu_seconds(pid))
    while time.perf_counter() < stop - WINDOW_SECONDS:
        await asyncio.sleep(WINDOW_SECONDS)
        now = (len(latencies), cpu_seconds(pid))
        windows.append((now[0] - before[0], now[1] - before[1]))
        before = now
    await asyncio.gather(*waiting)
    return Result("", time.perf_counter() - began, windows, sorted(latencies))


def check(port: int, sent: bytes) -> float:
    """The score that the server gives, by the client library of gRPC's makers: answers must be answers."""
    import struct

    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for _ in range(300):
            try:
                answer = message("inference.ModelInferResponse").FromString(call(sent, wait_for_ready=True, timeout=30))
                break
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND and error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise SystemExit(f"{error.code()}: {error.details()}") from error
                time.sleep(0.1)
        else:
            raise SystemExit("the model did not become ready")
    if answer.raw_output_contents:
        return float(struct.unpack("<f", answer.raw_output_contents[0])[0])
    contents = answer.outputs[0].contents
    return float((contents.fp32_contents or contents.fp64_contents)[0])


def measure(name: str, port: int, pid: int, sent: bytes, seconds: float, connections: int) -> tuple[Result, float]:
    """Warm up, load."""
    import uvloop

    score = check(port, sent)
    uvloop.run(load(port, pid, sent, 1, connections))
    return replace(uvloop.run(load(port, pid, sent, seconds, connections)), name=name), score


def peer_python() -> Path:
    """The environment of MLServer, made when it is not there."""
    python = PEER / "bin" / "python"
    if not python.exists():
        print("making .bench/mlserver …", flush=True)
        venv.create(PEER, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True)
    return python


def start_peer(python: Path, folder: Path, package: Path, core: int) -> tuple[subprocess.Popen[bytes], int]:
    """`mlserver start` with one model."""
    ports = {"http_port": _free_port(), "grpc_port": _free_port(), "metrics_port": _free_port()}
    model = folder / "m"
    model.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({**ports, "parallel_workers": 0, "debug": False}))
    (model / "bench_runtime.py").write_text(RUNTIME)
    settings = {"name": "m", "implementation": "bench_runtime.Model", "parameters": {"uri": str(package)}}
    (model / "model-settings.json").write_text(json.dumps(settings))
    environment = {**os.environ, "PYTHONPATH": str(model)}
    process = subprocess.Popen(
        [str(python), "-m", "mlserver.cli.main", "start", str(folder)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - nothing else runs yet
    )
    return process, ports["grpc_port"]


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Measure all, print the table, fail below the target."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--peers", action="store_true", help="measure MLServer too, in an environment of its own")
    options.add_argument("--peer-python", type=Path, help="an environment that has MLServer and ONNX Runtime")
    chosen = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    results, scores = [], []
    print(platform.platform(), f"Python {sys.version.split()[0]}", f"{chosen.connections} connections", sep=", ")
    print(f"{'':<36} {'req/CPU-s':>10} {'quietest':>11} {'µs CPU/req':>10} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8}")
    with tempfile.TemporaryDirectory() as folder:
        package = make_package()
        path = Path(folder) / "model.onnx"
        path.write_bytes(package)
        control = start_control(route_table(hashlib.sha256(package).hexdigest(), [10_000]), package)
        http_port, port = _free_port(), _free_port()
        ours = multiprocessing.get_context("spawn").Process(
            target=serving.serve_ours, args=(f"{folder}/home", http_port, control, cores[0], port)
        )
        ours.start()
        assert ours.pid is not None
        for name, raw in (("ours, raw contents", True), ("ours, typed contents", False)):
            sent = make_message(raw=raw)
            result, score = measure(name, port, ours.pid, sent, chosen.seconds, chosen.connections)
            results.append(result)
            scores.append(score)
            print(result.line(), flush=True)
        os.kill(ours.pid, signal.SIGTERM)
        ours.join(20)
        if chosen.peers or chosen.peer_python:
            python = chosen.peer_python or peer_python()
            process, port = start_peer(python, Path(folder) / "peer", path, cores[0])
            try:
                for name, raw in (("MLServer, raw contents", True), ("MLServer, typed contents", False)):
                    sent = make_message(raw=raw)
                    result, score = measure(name, port, process.pid, sent, chosen.seconds, chosen.connections)
                    results.append(result)
                    scores.append(score)
                    print(result.line(), flush=True)
            finally:
                process.terminate()
                process.wait(20)
    if max(scores) - min(scores) > 1e-5:
        raise SystemExit(f"the servers do not give the same score: {scores}")
    if len(results) > 2:
        ratio = min(ours.per_core / peer.per_core for ours, peer in zip(results[:2], results[2:], strict=True))
        print(f"ours / MLServer: {ratio:.1f} (target {TARGET})")
        sys.exit(ratio < TARGET)


if __name__ == "__main__":
    main()
