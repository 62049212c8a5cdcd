"""What one part of serving costs or gains: the log, a second worker, binary tensors, a swap, bound memory.

    python benchmarks/serving_parts.py [--seconds 5] [--only log,workers,binary,swap,binding]

The server is our worker as `bailiwick serve` starts it, with the model of `benchmarks/serving_peers.py`; the load is wrk.

* log: one row a request, 64 connections, beside the same worker with nothing put on record.
* workers: one and two workers of one port. Where there are cores for it, each worker and wrk have one of their own and a
  request is one row. With two cores wrk has to share them, so that a request has 256 rows there: wrk needs little for it.
* binary: 100 rows of 30 numbers as JSON, as binary tensors; as one matrix, and as thirty columns. The trees take most of
  the time of a binary request, so that what the forms cost is told by a model of one product.
* swap: from the moment that the control plane answers with a table that has another version of 5 MB until the first
  answer that this version gave, with the package fetched, checked, loaded and warmed up in between; under load.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import Control, sign
from serving_peers import NUMBERS, ROW, free_port, make_package

JSON = "application/json"
BINARY = "application/octet-stream"

WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "%s"
%s
local file = assert(io.open("%s", "rb"))
wrk.body = file:read("*a")
file:close()
function done(summary, latency)
  local bad = summary.errors
  io.write(string.format("RESULT %%d %%d %%.0f %%d\\n", summary.requests, summary.duration, latency:percentile(99),
    bad.status + bad.connect + bad.read + bad.write + bad.timeout))
end
"""


# -- workers ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def workers(control: Control, cores: list[set[int]], *, log: bool = True) -> Iterator[int]:
    """The port of as many workers as there are sets of cores."""
    port, started = free_port(), []
    with tempfile.TemporaryDirectory() as home:
        try:
            for number, allowed in enumerate(cores):
                command = [sys.executable, __file__, "--serve", home, str(port), str(control.port), str(number)]
                command += [",".join(map(str, allowed)), "log" if log else "nothing"]
                started.append(subprocess.Popen(command))
                _until_ready(port, started)
            time.sleep(1.5)  # workers find one another within a second
            yield port
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(20)


def _until_ready(port: int, started: list[subprocess.Popen[bytes]]) -> None:
    for _ in range(300):
        if any(process.poll() is not None for process in started):
            raise SystemExit("a worker did not start")
        with contextlib.suppress(OSError):
            if _get(port, "/v2/health/ready") == 200 and len(started) == 1:
                return
            if len(started) > 1 and _listening(port) >= len(started):
                return
        time.sleep(0.1)
    raise SystemExit("a worker did not become ready")


def _get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def _listening(port: int) -> int:
    """Sockets that listen on the port: one a worker."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)


def serve(home: str, port: int, control_port: int, number: int, cores: set[int], *, log: bool) -> None:
    """One worker; without the log nothing is made of a prediction to be kept, and nothing is written."""
    os.sched_setaffinity(0, cores)
    if not log:
        from bailiwick.serving.recorder import Recorder

        Recorder.keep = lambda *_: None  # type: ignore[method-assign]
        Recorder.keep_together = lambda _, finished: [True] * len(finished)  # type: ignore[method-assign]
    from bailiwick.core.settings import Settings
    from bailiwick.serving.worker import serve_worker

    settings = Settings(
        home=Path(home), inference_port=port, control_port=control_port, grpc_port=0, spool_bytes=8 << 30
    )
    serve_worker(settings, number)


# -- the load -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What wrk sends; `head` is the size of the JSON before binary tensors."""

    body: bytes
    head: int = 0


def rows_as_json(rows: int, *, columns: bool = False) -> Asked:
    """The numbers as text with four places, as clients of tables send them."""
    names, matrix = _rows(rows)
    if columns:
        inputs = [
            {"name": name, "shape": [rows, 1], "datatype": "FP32", "data": [row[place] for row in matrix]}
            for place, name in enumerate(names)
        ]
    else:
        flat = [value for row in matrix for value in row]
        inputs = [{"name": "features", "shape": [rows, NUMBERS], "datatype": "FP32", "data": flat}]
    return Asked(json.dumps({"inputs": inputs}).encode())


def rows_as_binary(rows: int, *, columns: bool = False) -> Asked:
    """The same in the binary tensor extension, and the answer too."""
    import numpy as np

    names, matrix = _rows(rows)
    whole = np.array(matrix, dtype=np.float32)
    parts = {name: whole[:, [place]] for place, name in enumerate(names)} if columns else {"features": whole}
    inputs = [
        {"name": name, "shape": part.shape, "datatype": "FP32", "parameters": {"binary_data_size": part.nbytes}}
        for name, part in parts.items()
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return Asked(head + b"".join(np.ascontiguousarray(part).tobytes() for part in parts.values()), len(head))


def _rows(rows: int) -> tuple[list[str], list[list[float]]]:
    import numpy as np

    matrix = (np.array(ROW, np.float32) * (1 + 0.001 * np.arange(rows, dtype=np.float32))[:, None]).tolist()
    return [f"number_{place}" for place in range(NUMBERS)], matrix


def load(port: int, asked: Asked, seconds: float, connections: int, cores: set[int]) -> tuple[float, float]:
    """Requests a second and the 99th percentile in milliseconds. Ends the program where one fails."""
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder, "body"), Path(folder, "load.lua")
        body.write_bytes(asked.body)
        more = f'wrk.headers["Inference-Header-Content-Length"] = "{asked.head}"' if asked.head else ""
        script.write_text(WRK % (BINARY if asked.head else JSON, more, body))
        command = ["taskset", "-c", ",".join(map(str, cores)), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s"]
        command += ["-s", str(script), f"http://127.0.0.1:{port}/v2/models/m/infer"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    line = next((line for line in said.splitlines() if line.startswith("RESULT")), "RESULT 0 1 0 1")
    requests, micros, p99, failed = (int(word) for word in line.split()[1:])
    if failed or not requests:
        raise SystemExit(f"{failed} of {requests} requests failed: {said[-1000:]}")
    return requests / micros * 1e6, p99 / 1e3


# -- the parts ----------------------------------------------------------------------------------------------------------


Outcome = tuple[str, float, bool]
"""What a target says, what was reached, and whether that meets it."""


def measure_log(seconds: float) -> list[Outcome]:
    """Turn and turn about, so that a slower machine in between slows both: of each round the ratio counts."""
    control, cores = _control(make_package()), _cores()
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(5):
        for log in (True, False):
            with workers(control, [{cores[0]}], log=log) as port:
                load(port, rows_as_json(1), 1, 64, {cores[-1]})
                rate, p99 = load(port, rows_as_json(1), seconds, 64, {cores[-1]})
            rates[log].append(rate)
            print(
                f"  {'with the log' if log else 'nothing kept':<14} {rate:>9,.0f} requests/s, p99 {p99:.2f} ms",
                flush=True,
            )
    cost = 1 - statistics.median(kept / bare for kept, bare in zip(rates[True], rates[False], strict=True))
    return [("the log costs at most 15 % of the requests", cost * 100, cost <= 0.15)]


def measure_workers(seconds: float) -> list[Outcome]:
    """Two against one."""
    control, cores = _control(make_package()), _cores()
    apart = len(cores) >= 3
    asked = rows_as_json(1) if apart else rows_as_binary(256)
    drivers = {cores[-1]} if apart else set(cores)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):
        for count in (1, 2):
            with workers(control, [{core} for core in cores[:count]]) as port:
                load(port, asked, 1, 64, drivers)
                rate, p99 = load(port, asked, seconds, 64, drivers)
            rates[count].append(rate)
            print(f"  {count} worker{'s' * (count > 1)} {rate:>9,.0f} requests/s, p99 {p99:.2f} ms", flush=True)
    times = statistics.median(rates[2]) / statistics.median(rates[1])
    return [("2 workers answer at least 1.8 times what one does", times, times >= 1.8)]


def measure_binary(seconds: float) -> list[Outcome]:
    """As one matrix, and as the thirty columns that a table has; of a matrix also where the trees take no time."""
    outcomes, cores = [], _cores()
    for shape, package in (
        ("matrix, one product", product_package),
        ("matrix", make_package),
        ("columns", columns_package),
    ):
        columns = package is columns_package
        with workers(_control(package()), [{cores[0]}]) as port:
            rates: dict[str, list[float]] = {"JSON": [], "binary": []}
            forms = {"JSON": rows_as_json(100, columns=columns), "binary": rows_as_binary(100, columns=columns)}
            for kind, asked in [*forms.items()] * 3:
                load(port, asked, 1, 8, {cores[-1]})
                rate, p99 = load(port, asked, seconds, 8, {cores[-1]})
                rates[kind].append(rate)
                told = f"{rate:>8,.0f} requests/s of {len(asked.body) / 1e3:.1f} kB, p99 {p99:.2f} ms"
                print(f"  {shape + ', ' + kind:<28} {told}", flush=True)
        times = statistics.median(raw / text for raw, text in zip(rates["binary"], rates["JSON"], strict=True))
        outcomes.append((f"100 x 30 as {shape}: binary at least 3 times JSON", times, times >= 3))
    return outcomes


def measure_swap(seconds: float) -> list[Outcome]:
    """Between models of 5 MB that are not alike: of a worker that has little to do, and of one with more than it can do."""
    packages = {hashlib.sha256(package).hexdigest(): package for package in map(large_package, range(13))}
    control, cores = Control(packages), _cores()
    digests = list(packages)
    print(f"  models of {statistics.mean(map(len, packages.values())) / 1e6:.1f} MB")
    control.serve(digests[0], 1)
    with workers(control, [{cores[0]}]) as port:
        quiet = [_swap(control, port, digest, version) for version, digest in enumerate(digests[1:7], 2)]
        print("  quiet:     " + ", ".join(f"{each:.0f}" for each in quiet) + " ms")
        loading = threading.Thread(target=load, args=(port, rows_as_json(1), seconds + 8, 4, {cores[-1]}))
        loading.start()
        time.sleep(1)
        busy = [_swap(control, port, digest, version) for version, digest in enumerate(digests[7:], 8)]
        loading.join()
        print("  saturated: " + ", ".join(f"{each:.0f}" for each in busy) + " ms")
    took = statistics.median(quiet)
    return [("a model of 5 MB is loaded and swapped in within 200 ms", took, took <= 200)]


def _swap(control: Control, port: int, digest: str, version: int) -> float:
    """Milliseconds until the version answers."""
    began = time.perf_counter()
    control.serve(digest, version)
    _until_answered_by(port, version)
    took = (time.perf_counter() - began) * 1e3
    time.sleep(0.4)
    return took


def _until_answered_by(port: int, version: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = rows_as_json(1).body
    while True:
        connection.request("POST", "/v2/models/m/infer", body, {"Content-Type": JSON})
        if json.loads(connection.getresponse().read())["model_version"] == str(version):
            connection.close()
            return
        time.sleep(0.001)


def measure_binding(_: float) -> list[Outcome]:
    """A run of one row by the public `run`, by IO binding in several ways, and as a worker makes it."""
    import numpy as np

    from bailiwick.serving.runtime import OnnxRuntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(make_package())
        runtime = OnnxRuntime(path)
    session, name, row = runtime.session, runtime.blocks[0].name, np.array([ROW], np.float32)
    held, answer = np.zeros_like(row), np.zeros(1, np.float32)

    def bound(data: np.ndarray, out: np.ndarray) -> Any:
        binding = session.io_binding()
        binding.bind_input(name, "cpu", 0, np.float32, data.shape, data.ctypes.data)
        binding.bind_output("probability", "cpu", 0, np.float32, out.shape, out.ctypes.data)
        return binding

    once = bound(held, answer)
    run_bound = session._sess.run_with_iobinding  # noqa: SLF001 - the public one asks for what only WebGPU has
    plain = once._iobinding  # noqa: SLF001

    def copied() -> np.ndarray:
        held[...] = row
        run_bound(plain, None)
        return answer.copy()

    def anew() -> np.ndarray:
        out = np.empty(1, np.float32)
        session.run_with_iobinding(bound(row, out))
        return out

    ways = {
        "public run": lambda: session.run(["probability"], {name: row}),
        "bound once, copied in and out": copied,
        "bound once, nothing copied": lambda: run_bound(plain, None),
        "bound for each run": anew,
        "ours: bound once, copied, endless runs ended": lambda: runtime.run({name: row}),
    }
    for way, run in ways.items():
        took = []
        for _ in range(7):
            began = time.thread_time()
            for _ in range(3000):
                run()
            took.append((time.thread_time() - began) / 3000 * 1e6)
        print(f"  {way:<48} {min(took):>6.2f} us", flush=True)
    return []


def _control(package: bytes) -> Control:
    digest = hashlib.sha256(package).hexdigest()
    control = Control({digest: package})
    control.serve(digest, 1)
    return control


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def columns_package() -> bytes:
    """The same trees behind thirty inputs of one number."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_from_string(make_package())
    names = [f"number_{place}" for place in range(NUMBERS)]
    del model.graph.input[:]
    model.graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in names)
    model.graph.node.insert(0, helper.make_node("Concat", names, ["features"], axis=1))
    del model.metadata_props[:]
    return sign(model, [{"name": name, "datatype": "FP32", "shape": [-1, 1]} for name in names])


def product_package() -> bytes:
    """A linear model, beside which what a request costs is its form."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weights = np.linspace(-0.01, 0.01, NUMBERS, dtype=np.float32).reshape(NUMBERS, 1)
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["scores"]),
        helper.make_node("Sigmoid", ["scores"], ["odds"]),
        helper.make_node("Reshape", ["odds", "to_flat"], ["probability"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "weights"),
        helper.make_tensor("to_flat", TensorProto.INT64, [1], [-1]),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, NUMBERS])]
    outputs = [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])]
    model = helper.make_model(
        helper.make_graph(nodes, "product", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 15)]
    )
    model.ir_version = 8
    return sign(model, [{"name": "features", "datatype": "FP32", "shape": [-1, NUMBERS]}])


def large_package(seed: int) -> bytes:
    """Trees over 30 numbers, 5 MB of them."""
    return make_package(trees=510, leaves=127, seed=seed)


PARTS = {
    "log": measure_log,
    "workers": measure_workers,
    "binary": measure_binary,
    "swap": measure_swap,
    "binding": measure_binding,
}


def main() -> None:
    """Measure the parts, print what they cost, fail below the targets."""
    if sys.argv[1:2] == ["--serve"]:
        home, port, control_port, number, cores, log = sys.argv[2:]
        allowed = {int(core) for core in cores.split(",")}
        serve(home, int(port), int(control_port), int(number), allowed, log=log == "log")
        return
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    print(f"{platform.machine()}, {len(_cores())} cores, Python {platform.python_version()}")
    outcomes: list[Outcome] = []
    for part in chosen.only.split(","):
        print(f"{part}:", flush=True)
        outcomes += PARTS[part](chosen.seconds)
    for target, value, met in outcomes:
        print(f"{target}: {value:,.2f} {'met' if met else 'MISSED'}")
    sys.exit(not all(met for *_, met in outcomes))


if __name__ == "__main__":
    main()
