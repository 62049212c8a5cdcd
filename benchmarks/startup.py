"""Promise: the command line starts at once. Times `import bailiwick` and `bailiwick --help` in fresh processes.

Run: `.venv/bin/python benchmarks/startup.py`. Exits 1 when a median is over its budget.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 11
BUDGETS_MS = {"import bailiwick": 150.0, "bailiwick --help": 300.0}
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import bailiwick": [sys.executable, "-c", "import bailiwick"],
    "bailiwick --help": [sys.executable, "-m", "bailiwick", "--help"],
}


def median_ms(command: list[str]) -> float:
    """Wall milliseconds of a fresh process, median of 11, the first (cold) run left out."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[1:])


def main() -> None:
    over = []
    bare = 0.0
    for name, command in COMMANDS.items():
        total = median_ms(command)
        bare = bare or total
        budget = BUDGETS_MS.get(name)
        own = total - bare if name.startswith("import") else total
        print(f"{name:20} {own:7.1f} ms" + (f"   budget {budget:.0f} ms" if budget else ""))
        if budget and own > budget:
            over.append(name)
    if over:
        sys.exit(f"over budget: {', '.join(over)}")


if __name__ == "__main__":
    main()
