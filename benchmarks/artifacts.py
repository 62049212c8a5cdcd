"""A large artifact streamed to the server and back at the speed of the disk, in constant memory.

    python benchmarks/artifacts.py [--size-mb 2048] [--rounds 3] [--destination]

A raw HTTP client on one connection sends and fetches one file; beside it, in the same rounds, the same bytes are copied
from file to file and made durable, as `cp` followed by `fsync` does, and read back. Memory is the server's peak resident
set. `--destination` keeps artifacts as plain files instead of by digest. The floor is the same HTTP server (uvicorn) with
an application that drops what it receives: no upload through it can be quicker.

Exits 1 when a target is missed: an upload at half the speed of the floor, a download at half the speed of the copy, and
at most 96 MB over what the idle server has.

The client, the server and the copy share the machine; everything that is read was just written, so it comes from the
page cache on both sides. Linux only: it reads `/proc`.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CHUNK = 1 << 20
PATH = "/api/2.0/mlflow-artifacts/artifacts/bench/model.bin"
DROP = """
import sys, uvicorn
async def app(scope, receive, send):
    while scope["type"] == "http" and (await receive()).get("more_body"):
        pass
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
uvicorn.run(app, port=int(sys.argv[1]), log_level="critical")
"""
TARGET_SHARE = 0.5
TARGET_GROWTH_MB = 96.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--size-mb", type=int, default=256, help="size of the artifact in MiB (256; the promise is 2048)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--destination", action="store_true", help="plain files under their paths, not by digest")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bailiwick-artifacts-", dir=Path.cwd()) as folder:
        return measure(Path(folder), asked.size_mb, asked.rounds, plain=asked.destination)


def measure(folder: Path, size_mb: int, rounds: int, *, plain: bool) -> int:
    source = folder / "source.bin"
    port = _free_port()
    with source.open("wb") as file:
        for _ in range(size_mb):
            file.write(os.urandom(CHUNK))
    speeds: dict[str, list[float]] = {name: [] for name in ("copy", "floor", "up", "read", "down")}
    floor_port = _free_port()
    command = [sys.executable, "-m", "bailiwick", "control", "--port", str(port), "--home", str(folder / "home")]
    command += ["--artifacts-destination", str(folder / "kept")] if plain else []
    dropping = [sys.executable, "-c", DROP, str(floor_port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server, subprocess.Popen(dropping) as floor:
        try:
            _wait(port)
            _wait(floor_port)
            idle = _memory(server.pid, "VmHWM")
            for number in range(rounds):
                _alter(source, number)
                speeds["copy"].append(size_mb / _timed(lambda: _copy(source, folder / "copy.bin")))
                speeds["floor"].append(size_mb / _timed(lambda: _send(floor_port, source)))
                speeds["up"].append(size_mb / _timed(lambda: _send(port, source)))
                speeds["read"].append(size_mb / _timed(lambda: _read(folder / "copy.bin")))
                speeds["down"].append(size_mb / _timed(lambda: _fetch(port, size_mb * CHUNK)))
                _check(port, source)
                (folder / "copy.bin").unlink()
            peak = _memory(server.pid, "VmHWM")
        finally:
            server.terminate()
            floor.terminate()
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    up, down, growth = middle["up"] / middle["floor"], middle["down"] / middle["copy"], peak - idle
    print(f"{size_mb} MiB, {rounds} rounds, medians; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'copy and fsync':28} {middle['copy']:8.0f} MiB/s")
    print(f"{'floor: bytes received':28} {middle['floor']:8.0f} MiB/s")
    print(f"{'upload, durable when told':28} {middle['up']:8.0f} MiB/s   {up:.2f} of the floor, target {TARGET_SHARE}")
    print(f"{'reading the copy':28} {middle['read']:8.0f} MiB/s")
    print(
        f"{'download, digest checked':28} {middle['down']:8.0f} MiB/s   {down:.2f} of the copy, target {TARGET_SHARE}"
    )
    print(f"{'server, idle':28} {idle:8.0f} MB")
    print(f"{'server, peak':28} {peak:8.0f} MB      {growth:+.0f} MB, target {TARGET_GROWTH_MB:.0f}")
    return 0 if up >= TARGET_SHARE and down >= TARGET_SHARE and growth <= TARGET_GROWTH_MB else 1


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        while data := reading.read(CHUNK):
            writing.write(data)
        writing.flush()
        os.fsync(writing.fileno())


def _read(path: Path) -> None:
    with path.open("rb") as file:
        while file.read(CHUNK):
            pass


def _send(port: int, source: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, blocksize=CHUNK)
    with source.open("rb") as file:
        connection.request("PUT", PATH, file, {"Content-Length": str(source.stat().st_size)})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
    connection.close()


def _fetch(port: int, size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, blocksize=CHUNK)
    connection.request("GET", PATH)
    answer = connection.getresponse()
    buffer, taken = bytearray(CHUNK), 0
    while count := answer.readinto(buffer):
        taken += count
    assert (answer.status, taken) == (200, size)
    connection.close()


def _check(port: int, source: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("HEAD", PATH)
    etag = connection.getresponse().headers["ETag"]
    connection.close()
    with source.open("rb") as file:
        assert etag == f'"{hashlib.file_digest(file, "sha256").hexdigest()}"'


def _alter(source: Path, number: int) -> None:
    """Another content each round, or it would be there already."""
    with source.open("r+b") as file:
        file.write(number.to_bytes(8, "big"))
        os.fsync(file.fileno())


def _timed(deed: Callable[[], None]) -> float:
    begun = time.perf_counter()
    deed()
    return time.perf_counter() - begun


def _memory(pid: int, field: str) -> float:
    """Megabytes (10⁶ bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(field)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            assert time.monotonic() < deadline, "control did not come up"
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
