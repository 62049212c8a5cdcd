"""How soon Bailiwick is there, and how much memory it takes while it waits; beside MLflow's server on the same machine.

    python benchmarks/startup.py [--no-peer] [--starts 3] [--idle 10]

Times are best of several fresh processes, from starting the process to its end (imports, help) or to the first good
answer of every part (servers). Every start is on an empty folder, so that making the database is part of it. Memory is
resident memory summed over all processes: pages that processes share are counted once for each.

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
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / ".bench"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": str(BENCH / "bytecode"),
}
PEER = "mlflow==3.17.2"
IMPORTS = 15
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Process:
    """One process of a tree, in megabytes (10⁶ bytes). `shared_out` counts shared pages by their share (PSS)."""

    command: str
    resident: float
    shared_out: float


@dataclass(frozen=True)
class Server:
    """How to start a server in an empty folder, and what must answer before it counts as ready."""

    name: str
    command: Callable[[Path, int, int], list[str]]
    addresses: Callable[[int, int], list[str]]


def ours(home: Path, control: int, inference: int) -> list[str]:
    """`bailiwick up` on an empty home."""
    ports = ["--control-port", str(control), "--inference-port", str(inference)]
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


def start(server: Server, *, idle: float) -> tuple[float, list[Process]]:
    """Seconds until everything answered, and the processes after `idle` more seconds."""
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
            time.sleep(idle)
            return ready, tree(process.pid)
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


def tree(root: int) -> list[Process]:
    """The process and everything under it, with its memory."""
    return [measure(pid) for pid in (root, *descendants(root))]


def measure(pid: int) -> Process:
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if "kB" in line
    )
    resident, shared_out = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("Rss", "Pss"))
    words = [Path(command[0]).name, *(word for word in command[1:] if word and not word.startswith("-B"))]
    return Process(" ".join(words)[:70], resident, shared_out)


def several(server: Server, *, starts: int, idle: float) -> tuple[float, list[Process]]:
    """The quickest of several starts, after one that does not count, and the memory at the end of the last."""
    start(server, idle=0)
    times = [start(server, idle=0)[0] for _ in range(starts - 1)]
    last, processes = start(server, idle=idle)
    return min(*times, last) if times else last, processes


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

    def processes(self, found: list[Process]) -> None:
        """Where the memory is."""
        for process in found:
            print(f"    {process.resident:6.0f} MB  (PSS {process.shared_out:5.0f} MB)  {process.command}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--no-peer", action="store_true", help="leave MLflow out")
    parser.add_argument("--starts", type=int, default=3, help="starts of each server; the quickest counts (3)")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds to wait before memory is read (10)")
    arguments = parser.parse_args()
    peer = "" if arguments.no_peer else install_peer()
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}\n")

    report = Report()
    report.row("python -c pass", best_ms(["-c", "pass"]), "ms")
    report.row('python -c "import bailiwick"', best_ms(["-c", "import bailiwick"]), "ms", 150)
    report.row("bailiwick --help", best_ms(["-m", "bailiwick", "--help"]), "ms", 300)
    ready, found = several(BAILIWICK, starts=arguments.starts, idle=arguments.idle)
    memory = sum(process.resident for process in found)
    report.row("bailiwick up, until all parts answer", ready, "s", 3)
    report.row(f"bailiwick up, memory idle for {arguments.idle:g} s", memory, "MB", 400)
    report.processes(found)
    if peer:
        their_ready, found = several(MLFLOW, starts=arguments.starts, idle=arguments.idle)
        their_memory = sum(process.resident for process in found)
        report.row(f"mlflow {peer} server, until it answers", their_ready, "s")
        report.row(f"mlflow {peer} server, memory idle for {arguments.idle:g} s", their_memory, "MB")
        report.processes(found)
        print(f"\nMLflow's over ours: start {their_ready / ready:.1f} ×, memory {their_memory / memory:.1f} ×")
    if report.missed:
        sys.exit(f"\ntargets missed: {', '.join(report.missed)}")


if __name__ == "__main__":
    main()
