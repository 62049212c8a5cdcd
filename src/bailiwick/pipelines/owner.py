"""The name under which a process holds leases, and whether that process is certainly gone.

A lease outlives a killed process by up to its length. When the successor runs on the same machine it need not wait:
`<machine>/<pid>/<start>` tells one incarnation of a process from the next, even where the pid is used again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_PROC = Path("/proc")


def process_owner(part: str = "engine") -> str:
    """An owner name for this process; `part` tells apart several engines inside it."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{_start(pid)}/{part}"


def is_gone(owner: str) -> bool:
    """True only when `owner` names a process of this machine that no longer runs; False whenever that cannot be known."""
    machine, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    start = rest.partition("/")[0]
    if not (start and pid.isdecimal() and machine == _machine()):
        return False
    return _start(int(pid)) != start


def _machine() -> str:
    """Boot and pid namespace in 12 hex digits: where both are equal, a pid means the same process."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return f"unknown-{os.getpid()}"
    return hashlib.sha256(f"{boot}{namespace}".encode()).hexdigest()[:12]


def _start(pid: int) -> str:
    """Start time in clock ticks since boot (field 22 of proc_pid_stat(5)), or empty when there is no such process."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
