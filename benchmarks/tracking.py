"""Tracking by MLflow's protocol: our control plane beside stock `mlflow server`, over raw HTTP and with the real client.

    python benchmarks/tracking.py [--seconds 4] [--skip-stock]

Every operation is timed on one keep-alive connection, then `log_metric` from eight at once. The real client is the one
of `.mlflow/3` (`tools/mlflow_clients.py`); its own floor is what it takes against a server that answers recorded bytes, and
the floor with a disk against one that makes 4 KB durable before it answers a POST, so that one sees what of the rest is the disk.
Both servers keep their records in SQLite on the same disk and start with an empty store, as they start by default.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / ".mlflow" / "3" / "bin" / "python"
API = "/api/2.0/mlflow/"
RUNS, POINTS, BATCH, CLIENTS = 1_000, 1_000, 1_000, 8
LOG_BYTES = 16 << 20
TARGETS = {"log_metric": 50, "run lifecycle": 50, "log_batch": 20, "filtered search": 10, "page of 1,000 runs": 10}
TARGET_TOGETHER, TARGET_FLOOR = 2_000, 1.5

Timings = dict[str, float]


# -- servers ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(name: str, command: list[str], port: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server process that answers /health, until the block ends."""
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **variables}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(1200):
                if process.poll() is not None:
                    raise SystemExit(f"{name} did not start")
                with contextlib.suppress(urllib.error.URLError, OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                    break
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


def ours(folder: Path, port: int) -> list[str]:
    """The control plane alone, on SQLite."""
    return [sys.executable, "-m", "bailiwick", "--home", str(folder / "home"), "control", "--port", str(port)]


def stock(folder: Path, port: int) -> list[str]:
    """MLflow's server as it starts by default, on SQLite."""
    store = f"sqlite:///{folder / 'mlflow.db'}"
    options = ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts"), "--port", str(port)]
    return [str(CLIENT.with_name("mlflow")), "server", "--host", "127.0.0.1", *options]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def resident_mb(pid: int) -> float:
    """Resident memory of a process and all its children, in MB."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _descends(int(entry.name), pid):
            with contextlib.suppress(OSError):
                total += int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total / 1e6


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


# -- raw HTTP -----------------------------------------------------------------------------------------------------------


class Http:
    """One keep-alive connection; `answers` remembers the last bytes of each path."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers: dict[str, bytes] = {}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer. Exits on anything but 200."""
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, API + path, data, {"Content-Type": "application/json"} if data else {})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {said[:500]!r}")
        self.answers[API + path.partition("?")[0]] = said
        return json.loads(said)

    def create_run(self, experiment: str) -> str:
        """A run that has begun."""
        body = {"experiment_id": experiment, "start_time": _now(), "user_id": "bench", "run_name": "r"}
        return str(self.call("POST", "runs/create", body)["run"]["info"]["run_id"])


def _now() -> int:
    return int(time.time() * 1000)


def _rate(seconds: float, act: Callable[[int], None]) -> float:
    """How often a second `act` can be done."""
    act(0)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        count += 1
        act(count)
    return count / (time.perf_counter() - began)


def _median_ms(act: Callable[[], object], times: int = 15) -> float:
    act()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def measure_http(port: int, seconds: float) -> tuple[Timings, Timings, dict[str, bytes]]:
    """(operations a second, milliseconds an operation, answers) of one server."""
    client = Http(port)
    experiment = client.call("POST", "experiments/create", {"name": f"bench-{_now()}"})["experiment_id"]
    run = client.create_run(experiment)

    def log_metric(count: int) -> None:
        client.call(
            "POST", "runs/log-metric", {"run_id": run, "key": "m", "value": 0.5, "timestamp": _now(), "step": count}
        )

    def lifecycle(_: int) -> None:
        made = client.create_run(experiment)
        client.call("POST", "runs/log-batch", _batch(made, 20, 0))
        client.call("POST", "runs/update", {"run_id": made, "status": "FINISHED", "end_time": _now()})

    batched = client.create_run(experiment)
    rates = {
        "log_metric": _rate(seconds, log_metric),
        "run lifecycle": _rate(seconds, lifecycle),
        "log_batch": BATCH * _rate(seconds, lambda n: client.call("POST", "runs/log-batch", _batch(batched, BATCH, n))),
    }
    searched = _fill(client)
    filtered = {"filter": "metrics.m3 > 0.9 AND params.p1 = 'v'", "order_by": ["metrics.m3 DESC"], "max_results": 100}
    history = f"metrics/get-history?run_id={run}&run_uuid={run}&metric_key=h"
    points = [{"key": "h", "value": step, "timestamp": step, "step": step} for step in range(POINTS)]
    client.call("POST", "runs/log-batch", {"run_id": run, "metrics": points})
    client.call("GET", f"runs/get?run_id={batched}")  # what the floor answers to the real client, whose run has as much
    times = {
        "filtered search": _median_ms(
            lambda: client.call("POST", "runs/search", {"experiment_ids": [searched], **filtered})
        ),
        "page of 1,000 runs": _median_ms(
            lambda: client.call("POST", "runs/search", {"experiment_ids": [searched], "max_results": RUNS}), 5
        ),
        "history of 1,000 points": _median_ms(lambda: client.call("GET", history)),
    }
    # What the floor answers to the search of the real client: as many runs, with as much in them.
    client.call("POST", "runs/search", {"experiment_ids": [searched], "filter": FOUND, "max_results": 100})
    return rates, times, client.answers


def _batch(run: str, size: int, step: int) -> dict[str, Any]:
    now = _now()
    metrics = [
        {"key": f"m{n % 20}", "value": n / size, "timestamp": now, "step": step * size + n // 20} for n in range(size)
    ]
    params = [{"key": "p1", "value": "v"}] if size < BATCH else []  # a batch has at most 1,000 of all together
    return {"run_id": run, "metrics": metrics, "params": params, "tags": []}


FOUND = "metrics.m3 > 0.9"


def _fill(client: Http) -> str:
    """An experiment of 1,000 runs with 20 metrics and 1 param each."""
    experiment = str(client.call("POST", "experiments/create", {"name": f"full-{_now()}"})["experiment_id"])
    for count in range(RUNS):
        run = client.create_run(experiment)
        metrics = [
            {"key": f"m{n}", "value": (count * 7 + n) % RUNS / RUNS, "timestamp": 1, "step": 0} for n in range(20)
        ]
        client.call(
            "POST", "runs/log-batch", {"run_id": run, "metrics": metrics, "params": [{"key": "p1", "value": "v"}]}
        )
    return experiment


def measure_together(port: int, seconds: float) -> float:
    """`log_metric` a second from eight processes at once."""
    command = [sys.executable, __file__, "--hammer", str(port), "--seconds", str(seconds)]
    hammers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CLIENTS)]
    return sum(float(each.communicate()[0]) for each in hammers)


def hammer(port: int, seconds: float) -> None:
    """One of the eight: prints how many a second it logged. It sends prepared bytes, so that it needs little itself."""
    client = Http(port)
    run = client.create_run("0")
    stream = client._connection.sock  # noqa: SLF001 - the bytes are ours to send
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        count += 1
        body = b'{"run_id":"%b","key":"m","value":0.5,"timestamp":%d,"step":%d}' % (run.encode(), count, count)
        stream.sendall(
            b"POST %bruns/log-metric HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (API.encode(), port, len(body), body)
        )
        said = stream.recv(65536)
        while b"\r\n\r\n{}" not in said.replace(b"\n}", b"}"):
            said += stream.recv(65536)
        if not said.startswith(b"HTTP/1.1 200"):
            raise SystemExit(said.decode())
    print(count / (time.perf_counter() - began))


# -- the real client ----------------------------------------------------------------------------------------------------


class Floor:
    """A server that answers each path with recorded bytes, whatever is asked: what remains is the client itself.

    With a `log` it first writes 4 KB there and waits for the disk, as no server that keeps what it is told can do less.
    """

    def __init__(self, answers: dict[str, bytes], log: Path | None = None) -> None:
        self._answers = answers
        self._log = -1 if log is None else os.open(log, os.O_CREAT | os.O_RDWR)
        self._kept = 0
        if log is not None:
            os.pwrite(self._log, bytes(LOG_BYTES), 0)  # to be written over, as a database's log is
            os.fsync(self._log)
        self.port = 0
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if b"content-length: " in head:
                    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
                if self._log >= 0 and head.startswith(b"post"):
                    os.pwrite(self._log, os.urandom(4096), self._kept * 4096 % LOG_BYTES)
                    os.fdatasync(self._log)
                    self._kept += 1
                path = head.split(b" ", 2)[1].partition(b"?")[0].decode()
                body = self._answers.get(path, b"{}")
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)


def measure_client(port: int, experiment: str, seconds: float) -> Timings:
    """Milliseconds an operation takes with the real client."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [str(CLIENT), __file__, "--client", experiment, "--seconds", str(seconds)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr[-3000:])
    found: Timings = json.loads(ended.stdout.splitlines()[-1])
    return found


def act_as_client(experiment: str, seconds: float) -> None:
    """Run by the interpreter that has MLflow."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient()
    run = client.create_run(experiment).info.run_id

    def batch(step: int) -> list[Any]:
        now = _now()
        return [Metric(f"m{n % 20}", n / BATCH, now, step * BATCH + n // 20) for n in range(BATCH)]

    full = client.search_experiments(filter_string="name LIKE 'full-%'")  # the floor has none, and answers all the same
    searched = full[0].experiment_id if full else experiment
    share = seconds / 4
    found = {
        "create_run": 1e3 / _rate(share, lambda _: client.create_run(experiment)),
        "log_metric": 1e3 / _rate(share, lambda n: client.log_metric(run, "m", 0.5, step=n)),
        "log_batch of 1,000": 1e3 / _rate(share, lambda n: client.log_batch(run, batch(n))),
        "get_run": 1e3 / _rate(share, lambda _: client.get_run(run)),
        "search_runs, 100": _median_ms(lambda: client.search_runs([searched], FOUND, max_results=100)),
    }
    print(json.dumps(found))


# -- the report ---------------------------------------------------------------------------------------------------------


def main() -> None:
    """Measure, print, fail where a target is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--skip-stock", action="store_true", help="measure ours alone")
    options.add_argument("--hammer", type=int, help=argparse.SUPPRESS)
    options.add_argument("--client", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.hammer:
        hammer(chosen.hammer, chosen.seconds)
    elif chosen.client:
        act_as_client(chosen.client, chosen.seconds)
    else:
        if not CLIENT.exists():
            raise SystemExit("The MLflow client and server are needed: python tools/mlflow_clients.py 3")
        _compare(chosen.seconds, skip_stock=chosen.skip_stock)


def _compare(seconds: float, *, skip_stock: bool) -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, SQLite on one disk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        with serving("bailiwick control", ours(folder, port), port) as process:
            before = resident_mb(process.pid)
            mine = measure_http(port, seconds)
            together = measure_together(port, seconds)
            after = resident_mb(process.pid)
            experiment = Http(port).call("GET", "experiments/get-by-name?experiment_name=Default")["experiment"]
            client = measure_client(port, experiment["experiment_id"], seconds)
        floor = measure_client(Floor(mine[2]).port, "0", seconds)
        durable = measure_client(Floor(mine[2], folder / "floor.log").port, "0", seconds)
        theirs = None
        if not skip_stock:
            port = free_port()
            with serving("mlflow server", stock(folder, port), port) as process:
                theirs = measure_http(port, seconds)
                print(
                    f"stock: log_metric from {CLIENTS} clients {measure_together(port, seconds):,.0f}/s, "
                    f"memory {resident_mb(process.pid):,.0f} MB"
                )
                stock_client = measure_client(port, "0", seconds)
    missed = _report_http(mine, theirs)
    print(f"log_metric from {CLIENTS} clients: {together:,.0f}/s (target {TARGET_TOGETHER:,})")
    print(f"memory: {before:,.0f} MB at the start, {after:,.0f} MB after {seconds * 4:.0f} s of load")
    missed += together < TARGET_TOGETHER
    missed += _report_client(client, floor, durable, None if skip_stock else stock_client)
    print("all targets met" if not missed else f"{missed} targets MISSED")
    sys.exit(bool(missed))


def _report_http(mine: tuple[Timings, Timings, Any], theirs: tuple[Timings, Timings, Any] | None) -> int:
    missed = 0
    print(f"\n{'raw HTTP, one connection':<28} {'ours':>12} {'stock':>12} {'ratio':>8} {'target':>8}")
    for index, unit in enumerate(("/s", "ms")):
        for name, value in mine[index].items():
            other = theirs[index][name] if theirs else float("nan")
            ratio = value / other if unit == "/s" else other / value
            target = TARGETS.get(name)
            missed += bool(theirs and target and ratio < target)
            print(
                f"{name:<28} {value:>10,.1f}{unit} {other:>10,.1f}{unit} {ratio:>7.1f}x {f'{target}x' if target else '':>8}"
            )
    return missed


def _report_client(client: Timings, floor: Timings, durable: Timings, stock_client: Timings | None) -> int:
    missed = 0
    print(
        f"\n{'real client, ms a call':<28} {'ours':>12} {'its floor':>12} {'ratio':>8} "
        f"{'floor, 4 KB durable':>20} {'ratio':>8} {'stock':>12}"
    )
    for name, value in client.items():
        ratio = value / floor[name]
        missed += ratio > TARGET_FLOOR
        other = f"{stock_client[name]:>12.2f}" if stock_client else ""
        kept = durable[name]  # of a GET, another measure of the floor itself
        print(
            f"{name:<28} {value:>12.2f} {floor[name]:>12.2f} {ratio:>7.2f}x {kept:>20.2f} {value / kept:>7.2f}x {other}"
        )
    return missed


if __name__ == "__main__":
    main()
