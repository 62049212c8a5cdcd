"""The year of the demo, by the clock: 277,000 predictions asked over HTTP, outcomes joined, windows judged, retrained and
rolled out, within two minutes on two cores.

    python benchmarks/replay.py [--fast]

There is no peer that plays the whole loop; the figures are the promise itself. Exit 1 when it is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET_SECONDS = 120.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="three months only; judged by a third of the target")
    fast = parser.parse_args().fast
    with tempfile.TemporaryDirectory(prefix="bailiwick-replay-") as folder:
        said, seconds = _play(Path(folder) / "demo", fast=fast)
    target = TARGET_SECONDS / 3 if fast else TARGET_SECONDS
    counts = re.search(r"([\d,]+) predictions, ([\d,]+) outcomes", said)
    played = re.search(r"played in (\d+) s", said)
    assert counts, said[-2000:]
    assert played
    predictions = int(counts[1].replace(",", ""))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{'predictions with outcomes':32} {predictions:>10,}")
    print(f"{'whole run':32} {float(played[1]):>10.0f} s   target {target:.0f} s")
    print(f"{'with start-up and shut-down':32} {seconds:>10.0f} s")
    print(f"{'CPU of all processes':32} {used.ru_utime + used.ru_stime:>10.0f} s   on {os.cpu_count()} cores")
    print(f"{'predictions a second, overall':32} {predictions / float(played[1]):>10,.0f}")
    return 0 if float(played[1]) <= target else 1


def _play(folder: Path, *, fast: bool) -> tuple[str, float]:
    ports = [_free_port(), _free_port()]
    command = [sys.executable, "-m", "bailiwick", "demo", "--exit", "--dir", str(folder)]
    command += ["--control-port", str(ports[0]), "--inference-port", str(ports[1]), "--grpc-port", "0"]
    begun = time.monotonic()
    done = subprocess.run([*command, *(["--fast"] if fast else [])], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return done.stdout, time.monotonic() - begun


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
