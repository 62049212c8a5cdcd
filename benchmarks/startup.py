"""How soon Bailiwick is there, and how much memory it takes while it waits; beside MLflow's server on the same machine.

    python benchmarks/startup.py [--no-peer] [--starts 3] [--idle 10]

Times are best of several fresh processes, from starting the process to its end (imports, help) or to the first good
answer of every part (servers). Every start is on an empty folder, so that making the database is part of it. Memory is
resident memory summed over all processes: pages that processes share are counted once for each.

The targets are for a quiet machine with two cores; how quiet it was is printed at the end.

Both programs run from bytecode, as pip installs it, in `.bench/bytecode`. MLflow is installed from PyPI into
`.bench/mlflow` when it is not there yet. Exits 1 when a target is missed. Linux only: it reads `/proc`.
"""

from __future__ import annotations

import argparse
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
import venv
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

BENCH = Path(__file__).resolve().parents[1] / ".bench"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": str(BENCH / "bytecode"),
    "MLFLOW_DISABLE_TELEMETRY": "true",  # so that no start waits for the network
}
PEER = "mlflow==3.17.2"
IMPORTS = 15
PATIENCE_SECONDS = 120.0
Looked = TypeVar("Looked")


@dataclass(frozen=True)
class Process:
    """One process of a tree, in megabytes (10⁶ bytes). `shared_out` counts shared pages by their share (PSS)."""

    command: str
    resident: float
    shared_out: float


@dataclass(frozen=True)
class Start:
    """Seconds until everything answered, processor seconds of all processes until then, and the processes when idle."""

    ready: float
    processor: float
    processes: list[Process]

    @property
    def memory(self) -> float:
        """Megabytes resident in all processes."""
        return sum(process.resident for process in self.processes)


@dataclass(frozen=True)
class Server:
    """How to start a server in an empty folder, and what must answer before it counts as ready."""

    name: str
    command: Callable[[Path, int, int], list[str]]
    addresses: Callable[[int, int], list[str]]


def ours(home: Path, control: int, inference: int) -> list[str]:
    """`bailiwick up` on an empty home."""
    ports = ["--control-port", str(control), "--inference-port", str(inference)]
    ports += ["--grpc-port", str(free_port())]
    return [sys.executable, "-m", "bailiwick", "--home", str(home / "state"), "up", *ports]


def theirs(home: Path, port: int, _: int) -> list[str]:
    """`mlflow server` with the number of workers it chooses itself, on SQLite."""
    program = str(BENCH / "mlflow" / "bin" / "mlflow")
    store = ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--default-artifact-root", str(home / "artifacts")]
    return [program, "server", "--host", "127.0.0.1", "--port", str(port), *store]


BAILIWICK = Server(
    "bailiwick up",
    ours,
    lambda control, inference: [
        f"http://127.0.0.1:{control}/ready",
        f"http://127.0.0.1:{inference}/v2/health/live",
    ],
)
MLFLOW = Server("mlflow server", theirs, lambda port, _: [f"http://127.0.0.1:{port}/health"])


# -- measuring ----------------------------------------------------------------------------------------------------------


def best_ms(arguments: list[str]) -> float:
    """Milliseconds of a fresh interpreter from start to end; the first run writes the bytecode and is not counted."""
    times = []
    for _ in range(IMPORTS + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        times.append((time.perf_counter() - started) * 1000)
    return min(times[1:])


def start(server: Server, *, idle: float) -> Start:
    """Start on an empty folder, wait until everything answers and `idle` seconds more, look, and stop."""
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        ports = free_port(), free_port()
        output = (Path(folder) / "output").open("w")
        started = time.perf_counter()
        process = subprocess.Popen(
            server.command(Path(folder), *ports),
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
        )
        try:
            for address in server.addresses(*ports):
                while not answers(address):
                    if process.poll() is not None or time.perf_counter() - started > PATIENCE_SECONDS:
                        sys.exit(f"{server.name} did not start:\n{(Path(folder) / 'output').read_text()}")
                    time.sleep(0.01)
            ready = time.perf_counter() - started
            processor = sum(of_all(process.pid, processor_seconds))
            time.sleep(idle)
            return Start(ready, processor, of_all(process.pid, measure))
        finally:
            end(process)
            output.close()


def answers(address: str) -> bool:
    """Whether the address answers 200 now."""
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL for the process and all it has left behind."""
    left = [process.pid, *descendants(process.pid)]
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in left[1:]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(root: int) -> list[int]:
    """Every process under `root`, parents before children."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, waiting = [], [root]
    while waiting:
        parent = waiting.pop(0)
        children = sorted(pid for pid, of in parents.items() if of == parent)
        found += children
        waiting += children
    return found


def of_all(root: int, look: Callable[[int], Looked]) -> list[Looked]:
    """What `look` says of the process and of everything under it; those that end meanwhile are left out."""
    found = []
    for pid in (root, *descendants(root)):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(look(pid))
    return found


def processor_seconds(pid: int) -> float:
    """What the process has used so far, in user and kernel mode."""
    columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(columns[11]) + int(columns[12])) / os.sysconf("SC_CLK_TCK")


def measure(pid: int) -> Process:
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if "kB" in line
    )
    resident, shared_out = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("Rss", "Pss"))
    words = [Path(command[0]).name, *(word for word in command[1:] if word and not word.startswith("-B"))]
    return Process(" ".join(words)[:70], resident, shared_out)


def several(server: Server, *, starts: int, idle: float) -> Start:
    """The least time of several starts, after one that does not count, and the processes at the end of the last."""
    start(server, idle=0)
    tried = [start(server, idle=idle if number == starts else 0) for number in range(1, starts + 1)]
    return Start(min(one.ready for one in tried), min(one.processor for one in tried), tried[-1].processes)


# -- the peer -----------------------------------------------------------------------------------------------------------


def install_peer() -> str:
    """Make the peer's environment unless it is there; its version."""
    folder = BENCH / "mlflow"
    if not (folder / "bin" / "mlflow").exists():
        print(f"Installing {PEER} into {folder} …", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", PEER], check=True)
    told = subprocess.run([folder / "bin" / "mlflow", "--version"], capture_output=True, text=True, check=True)
    return told.stdout.strip().rpartition(" ")[2]


# -- the report ---------------------------------------------------------------------------------------------------------


def ticks() -> tuple[int, int]:
    """Processor ticks since boot: those that went to other machines on this host, and all."""
    columns = [int(count) for count in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return columns[7], sum(columns)


class Report:
    """Rows of figure, measured, target; remembers what was missed."""

    def __init__(self) -> None:
        self.missed: list[str] = []
        print(f"{'figure':<44} {'measured':>12} {'target':>12}")

    def row(self, figure: str, measured: float, unit: str, target: float | None = None) -> None:
        """Print one figure; over the target it is marked and counted."""
        over = target is not None and measured > target
        digits = 2 if unit == "s" else 0
        asked = "" if target is None else f"≤ {target:g} {unit}"
        value = f"{measured:,.{digits}f} {unit}"
        print(f"{figure:<44} {value:>12} {asked:>12}{'  MISSED' if over else ''}", flush=True)
        if over:
            self.missed.append(figure)

    def server(
        self,
        name: str,
        found: Start,
        idle: float,
        *,
        ready_target: float | None = None,
        memory_target: float | None = None,
    ) -> None:
        """Three figures of a server, and where its memory is."""
        self.row(f"{name}, until all of it answers", found.ready, "s", ready_target)
        self.row(f"{name}, processor time until then", found.processor, "s")
        self.row(f"{name}, memory idle for {idle:g} s", found.memory, "MB", memory_target)
        for process in found.processes:
            print(f"    {process.resident:6.0f} MB  (PSS {process.shared_out:5.0f} MB)  {process.command}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--no-peer", action="store_true", help="leave MLflow out")
    parser.add_argument("--starts", type=int, default=3, help="starts of each server; the quickest counts (3)")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds to wait before memory is read (10)")
    arguments = parser.parse_args()
    peer = "" if arguments.no_peer else install_peer()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    load, (stolen, total) = os.getloadavg()[0], ticks()

    report = Report()
    report.row("python -c pass", best_ms(["-c", "pass"]), "ms")
    report.row('python -c "import bailiwick"', best_ms(["-c", "import bailiwick"]), "ms", 150)
    report.row("bailiwick --help", best_ms(["-m", "bailiwick", "--help"]), "ms", 300)
    own = several(BAILIWICK, starts=arguments.starts, idle=arguments.idle)
    report.server("bailiwick up", own, arguments.idle, ready_target=3, memory_target=400)
    if peer:
        other = several(MLFLOW, starts=arguments.starts, idle=arguments.idle)
        report.server(f"mlflow {peer} server", other, arguments.idle)
        ratios = other.ready / own.ready, other.processor / own.processor, other.memory / own.memory
        print("\nMLflow's over ours: start {:.1f} ×, processor time {:.1f} ×, memory {:.1f} ×".format(*ratios))
    stolen_now, total_now = ticks()
    share = (stolen_now - stolen) / (total_now - total)
    print(f"\nLoad before: {load:.1f}. Processor time that other machines on this host took meanwhile: {share:.0%}.")
    if report.missed:
        sys.exit(f"\ntargets missed: {', '.join(report.missed)}")


if __name__ == "__main__":
    main()
