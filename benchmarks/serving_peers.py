"""One-row inference over HTTP: our worker beside MLServer, BentoML, LitServe, Ray Serve and `mlflow models serve`.

    python tools/serving_peers.py                     # makes the peers' environments, once
    python benchmarks/serving_peers.py [--seconds 6] [--connections 64] [--only ours,bare,mlserver]

All run the same ONNX file (100 trees with 31 leaves over 30 numbers) on ONNX Runtime with one thread. A server and all
its processes are pinned to one core, wrk to another. Each is sent one row in its own plainest JSON. Ours validates,
routes and makes every prediction durable before it answers; the others do none of that. `bare` is uvicorn with a raw
ASGI function that checks nothing: the limit of what Python can answer.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import route_table, serve_bare, serve_ours, sign, start_control

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"
NUMBERS = 30
ROW = [round(0.37 * index - 5.2, 3) for index in range(NUMBERS)]

WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [=[%s]=]
function done(summary, latency)
  local bad = summary.errors
  io.write(string.format("RESULT %%d %%d %%.0f %%.0f %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), bad.status + bad.connect + bad.read + bad.write + bad.timeout))
end
"""


@dataclass(frozen=True)
class Server:
    """How one is started on a port, and what it is asked. `start` gives a command and what to add to the environment."""

    name: str
    start: Callable[[int], tuple[list[str], dict[str, str]]]
    path: str
    body: dict[str, Any]
    ready: str


@dataclass(frozen=True)
class Result:
    """What wrk saw, and the memory of the server's processes at the end."""

    name: str
    rate: float
    p50_ms: float
    p99_ms: float
    failed: int
    memory_mb: float


def make_package(*, trees: int = 100, leaves: int = 31, seed: int = 7) -> bytes:
    """LightGBM trees over one input of 30 numbers, with a Bailiwick signature that the others do not see."""
    import lightgbm
    import numpy as np
    import onnxmltools
    from onnx import helper
    from onnxmltools.convert.common.data_types import FloatTensorType

    random = np.random.default_rng(seed)
    rows = random.normal(size=(20_000, NUMBERS)).astype(np.float32)
    labels = (rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(size=len(rows)) > 0).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=trees, num_leaves=leaves, n_jobs=1, verbose=-1).fit(rows, labels)
    converted = onnxmltools.convert_lightgbm(
        model.booster_, initial_types=[("features", FloatTensorType([None, NUMBERS]))], zipmap=False
    )
    graph = converted.graph
    graph.node.append(helper.make_node("Slice", ["probabilities", "from_1", "to_2", "from_1"], ["positive"]))
    graph.node.append(helper.make_node("Reshape", ["positive", "to_flat"], ["probability"]))
    graph.initializer.extend(
        helper.make_tensor(name, 7, [1], [value]) for name, value in (("from_1", 1), ("to_2", 2), ("to_flat", -1))
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probability", 1, [None]))
    inputs = [{"name": "features", "datatype": "FP32", "shape": [-1, NUMBERS]}]
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)]
    whole = helper.make_model(graph, opset_imports=opsets)
    whole.ir_version = 8
    return sign(whole, inputs)


# -- the servers --------------------------------------------------------------------------------------------------------


def v2(name: str) -> dict[str, Any]:
    """One row in the Open Inference Protocol."""
    return {"inputs": [{"name": name, "shape": [1, NUMBERS], "datatype": "FP32", "data": ROW}]}


def servers(package: Path, control_port: int) -> list[Server]:
    """Ours, the limit, and every peer."""
    folder = package.parent
    model = {"PEER_MODEL": str(package)}

    def mlserver(port: int) -> tuple[list[str], dict[str, str]]:
        home = folder / "mlserver"
        home.mkdir(exist_ok=True)
        ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
        (home / "settings.json").write_text(json.dumps({**ports, "parallel_workers": 0, "debug": False}))
        settings = {"name": "m", "implementation": "mlserver_runtime.Onnx", "parameters": {"uri": str(package)}}
        (home / "model-settings.json").write_text(json.dumps(settings))
        return [peer("mlserver", "mlserver"), "start", str(home)], {"PYTHONPATH": str(PEERS)}

    def bentoml(port: int) -> tuple[list[str], dict[str, str]]:
        command = [peer("bentoml", "bentoml"), "serve", "bentoml_service:Model", "--port", str(port)]
        quiet = {
            "BENTOML_CONFIG_OPTIONS": "api_server.logging.access.enabled=false",
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(folder / "bentoml"),
        }
        return [*command, "--working-dir", str(PEERS)], {**model, **quiet}

    def litserve(port: int) -> tuple[list[str], dict[str, str]]:
        return [peer("litserve", "python"), str(PEERS / "litserve_server.py"), str(port)], model

    def ray(port: int) -> tuple[list[str], dict[str, str]]:
        command = [peer("ray", "python"), str(PEERS / "ray_server.py"), str(port)]
        return command, {**model, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder / "ray")}

    def mlflow(port: int) -> tuple[list[str], dict[str, str]]:
        saved = folder / "mlflow"
        if not saved.exists():
            command = [peer("mlflow", "python"), str(PEERS / "mlflow_model.py"), str(package), str(saved)]
            subprocess.run(command, check=True, capture_output=True)
        command = [peer("mlflow", "mlflow"), "models", "serve", "-m", str(saved), "--env-manager", "local"]
        path = f"{ROOT / '.peers' / 'mlflow' / 'bin'}:{os.environ['PATH']}"
        return [*command, "-p", str(port), "-w", "1"], {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}

    def itself(kind: str) -> Callable[[int], tuple[list[str], dict[str, str]]]:
        more = [str(package)] if kind == "bare" else [str(folder / "home"), str(control_port)]
        return lambda port: ([sys.executable, __file__, "--serve", kind, str(port), *more], {})

    rows = {"rows": [ROW]}
    return [
        Server("bare", itself("bare"), "/v2/models/m/infer", v2("features"), "/v2/health/ready"),
        Server("ours", itself("ours"), "/v2/models/m/infer", v2("features"), "/v2/health/ready"),
        Server("mlserver", mlserver, "/v2/models/m/infer", v2("features"), "/v2/models/m/ready"),
        Server("bentoml", bentoml, "/predict", rows, "/readyz"),
        Server("litserve", litserve, "/predict", rows, "/health"),
        Server("ray", ray, "/", rows, "/-/healthz"),
        Server("mlflow", mlflow, "/invocations", {"inputs": [ROW]}, "/ping"),
    ]


def peer(name: str, program: str) -> str:
    """A program of a peer's environment."""
    path = ROOT / ".peers" / name / "bin" / program
    if not path.exists():
        raise SystemExit(f"There is no {path}. Make it: python tools/serving_peers.py {name}")
    return str(path)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- measuring ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(server: Server, core: int) -> Iterator[tuple[int, int]]:
    """Its port and process, until the block ends; all processes that it started end with it."""
    port = free_port()
    command, environment = server.start(port)
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env={**os.environ, **environment},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _answering(server, port, process)
            yield port, process.pid
        except SystemExit:
            said.seek(0)
            print(said.read()[-3000:], file=sys.stderr)
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answering(server: Server, port: int, process: subprocess.Popen[bytes]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{server.path}",
        json.dumps(server.body).encode(),
        {"Content-Type": "application/json"},
    )
    last: object = None
    for _ in range(240):
        if process.poll() is not None:
            raise SystemExit(f"{server.name} did not start")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()
                return
        except (urllib.error.URLError, OSError) as error:
            last = error.read()[:500] if isinstance(error, urllib.error.HTTPError) else error
            time.sleep(0.5)
    raise SystemExit(f"{server.name} did not become ready: {last!r}")


def load(server: Server, port: int, core: int, seconds: float, connections: int) -> tuple[float, float, float, int]:
    """Requests a second, median and 99th percentile in milliseconds, and requests that failed."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK % json.dumps(server.body))
        script.flush()
        wrk = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s"]
        command = [*wrk, "-s", script.name, f"http://127.0.0.1:{port}{server.path}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((line for line in ended.stdout.splitlines() if line.startswith("RESULT")), "")
    if not line:
        raise SystemExit(f"wrk failed at {server.name}: {ended.stdout[-1000:]} {ended.stderr[-1000:]}")
    requests, micros, p50, p99, failed = (int(word) for word in line.split()[1:])
    return requests / micros * 1e6, p50 / 1e3, p99 / 1e3, failed


def measure(server: Server, cores: list[int], seconds: float, connections: int) -> Result:
    """Start, warm up, load, stop."""
    with running(server, cores[0]) as (port, pid):
        load(server, port, cores[-1], 2, connections)
        found = load(server, port, cores[-1], seconds, connections)
        return Result(server.name, *found, memory_mb(pid))


def memory_mb(session: int) -> float:
    """Proportional memory of all processes of a session, in megabytes."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[3]) == session:
                rollup = (status.parent / "smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def main() -> None:
    """Measure all, print the table, fail below the targets."""
    if sys.argv[1:2] == ["--serve"]:
        _serve(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
        return
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=6)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--only", default="", help="names, with commas between")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "model.onnx"
        package.write_bytes(make_package())
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        control = start_control(route_table(digest, [10_000]), package.read_bytes())
        wanted = chosen.only.split(",") if chosen.only else []
        print(f"{platform.machine()}, one core for the server, {chosen.connections} connections, one row of {NUMBERS}")
        print(
            f"{'server':<12} {'requests/s':>10} {'p50 ms':>9} {'p99 ms':>9} {'failed':>7} {'memory MB':>10}", flush=True
        )
        results = {}
        for server in servers(package, control):
            if server.name not in {"bare", "ours"} and not (ROOT / ".peers" / server.name).exists():
                print(f"{server.name:<12} is not here: python tools/serving_peers.py {server.name}", flush=True)
            elif not wanted or server.name in wanted:
                results[server.name] = found = measure(server, cores, chosen.seconds, chosen.connections)
                print(
                    f"{found.name:<12} {found.rate:>10,.0f} {found.p50_ms:>9.2f} {found.p99_ms:>9.2f} "
                    f"{found.failed:>7} {found.memory_mb:>10.0f}",
                    flush=True,
                )
    _judge(results)


def _judge(results: dict[str, Result]) -> None:
    ours, bare = results.pop("ours", None), results.pop("bare", None)
    if ours is None:
        return
    met = [("p99 at most 10 ms", ours.p99_ms, ours.p99_ms <= 10), ("none failed", ours.failed, ours.failed == 0)]
    met.append(("memory at most 120 MB", ours.memory_mb, ours.memory_mb <= 120))
    if bare:
        share = ours.rate / bare.rate
        met.append(("at least 0.6 of the bare handler", share, share >= 0.6))
    if results:
        best = max(results.values(), key=lambda each: each.rate)
        times = ours.rate / best.rate
        met.append((f"at least 15 times the best peer ({best.name})", times, times >= 15))
    for target, value, reached in met:
        print(f"{target}: {value:,.2f} {'met' if reached else 'MISSED'}")
    sys.exit(not all(reached for _, _, reached in met))


def _serve(kind: str, port: int, more: list[str]) -> None:
    core = next(iter(os.sched_getaffinity(0)))
    if kind == "bare":
        serve_bare(more[0], port, core)
    else:
        serve_ours(more[0], port, int(more[1]), core)


if __name__ == "__main__":
    main()
