"""NVIDIA GPUs, as `nvidia-smi` tells of them. Where it is not installed there are none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

TIMEOUT_SECONDS = 10
MEBIBYTE = 1 << 20

_FACTS = ("name", "memory.total", "driver_version")
_READINGS = ("index", "utilization.gpu", "memory.used", "memory.total", "power.draw", "enforced.power.limit")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device."""

    name: str
    memory_bytes: int
    driver: str


def find_gpus() -> tuple[Gpu, ...]:
    """Those that this process can see."""
    rows = _ask(_FACTS)
    return tuple(Gpu(name, int((_number(memory) or 0) * MEBIBYTE), driver) for name, memory, driver in rows)


def read_gpus() -> dict[str, float]:
    """How busy each is, under the names and in the units of MLflow; what a device does not tell is left out."""
    found: dict[str, float | None] = {}
    for index, busy, used, total, draw, limit in _ask(_READINGS):
        memory, all_memory, power, all_power = map(_number, (used, total, draw, limit))
        of = f"gpu_{index}_"
        found[of + "utilization_percentage"] = _number(busy)
        found[of + "memory_usage_megabytes"] = None if memory is None else memory * MEBIBYTE / 1e6
        found[of + "memory_usage_percentage"] = _share(memory, all_memory)
        found[of + "power_usage_watts"] = power
        found[of + "power_usage_percentage"] = _share(power, all_power)
    return {name: round(value, 1) for name, value in found.items() if value is not None}


def _ask(fields: Sequence[str]) -> list[list[str]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [[value.strip() for value in line.split(",")] for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == len(fields)] if done.returncode == 0 else []


def _number(text: str) -> float | None:
    """None for `[N/A]` and its like."""
    try:
        return float(text)
    except ValueError:
        return None


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole * 100 if part is not None and whole else None
