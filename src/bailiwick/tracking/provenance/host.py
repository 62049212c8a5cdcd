"""Facts of the machine of a run: what it has, and what its container lets it have."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bailiwick.tracking.provenance.cgroup import Limits, limits
from bailiwick.tracking.provenance.gpus import Gpu, find_gpus

HOST_FILE = "environment/host.json"
TAGS = "bailiwick.host."


@dataclass(frozen=True, slots=True)
class Host:
    """`cpus` are those of the machine, `usable_cpus` those that this process may run on; sizes in bytes, 0 if unknown."""

    name: str
    system: str
    machine: str
    cpu: str
    cpus: int
    usable_cpus: int
    memory_bytes: int
    container: Limits
    gpus: tuple[Gpu, ...]

    def tags(self) -> dict[str, str]:
        """Tags for a run, of what people look for first; the limits of the container count where there are any."""
        memory = min(filter(None, (self.memory_bytes, self.container.memory_bytes)), default=0)
        cpus = min(float(self.usable_cpus), self.container.cpus or float(self.usable_cpus))
        found = {
            "name": self.name,
            "system": self.system,
            "cpu": self.cpu,
            "cpus": f"{cpus:g}",
            "memory_gib": f"{memory / (1 << 30):.1f}" if memory else "",
            "gpus": ", ".join(gpu.name for gpu in self.gpus),
        }
        return {TAGS + name: value for name, value in found.items() if value}

    def files(self) -> dict[str, bytes]:
        """Artifacts for a run, by path."""
        return {HOST_FILE: (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()}


def describe_host() -> Host:
    """This machine, as this process may use it. What it does not tell is left empty."""
    return Host(
        name=socket.gethostname(),
        system=platform.platform(),
        machine=platform.machine(),
        cpu=_cpu_model(),
        cpus=os.cpu_count() or 1,
        usable_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=_memory(),
        container=limits(),
        gpus=find_gpus(),
    )


def _cpu_model() -> str:
    if sys.platform == "linux":
        try:
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return platform.processor()
        for line in text.splitlines():
            key, _, value = line.partition(":")
            if key.strip() in {"model name", "Model", "cpu model"}:
                return value.strip()
    return platform.processor()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
