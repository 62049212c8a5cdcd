"""What a container allows and uses, as its control group says: version 2, or 1."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60
"""Version 1 says so by a number near 2^63."""


@dataclass(frozen=True, slots=True)
class Limits:
    """0 where there is none."""

    cpus: float = 0.0
    memory_bytes: int = 0


def limits(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> Limits:
    """The tightest limits of this process's group and of those above it."""
    cpus, memory = [], []
    for folder in _groups(root, own, ""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            cpus.append(int(quota) / int(period))
        memory.append(_number(folder / "memory.max"))
    for folder in _groups(root, own, "cpu"):
        allowed, each = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if allowed and each:
            cpus.append(allowed / each)
    memory += [_number(folder / "memory.limit_in_bytes") for folder in _groups(root, own, "memory")]
    known = [size for size in memory if 0 < size < _UNLIMITED]
    return Limits(round(min(cpus, default=0.0), 3), min(known, default=0))


def memory_in_use(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes that the nearest limited group uses and cannot give back at once; 0 where no group has a limit.

    As Kubernetes counts them: without what was read from files and not looked at since.
    """
    for controller, used, limit, idle in (
        ("", "memory.current", "memory.max", "inactive_file"),
        ("memory", "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"),
    ):
        for folder in _groups(root, own, controller):
            if 0 < _number(folder / limit) < _UNLIMITED:
                return max(0, _number(folder / used) - _statistic(folder / "memory.stat", idle))
    return 0


def _groups(root: Path, own: Path, controller: str) -> list[Path]:
    """Folders of this process's group and of those above it, up to where this container begins."""
    for line in _text(own).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if (controller in controllers.split(",")) if controller else not controllers:
            top = root / controller if controller else root
            here = top / path.lstrip("/")
            found = [here, *here.parents]
            return [folder for folder in found if folder.is_relative_to(top) and folder.is_dir()]
    return []


def _statistic(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdigit() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
