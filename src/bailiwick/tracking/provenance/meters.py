"""How a machine and a process on it fare, read from /proc: metrics under MLflow's names and in its units.

`…_megabytes` are 10⁶ bytes. Of the process: 100 % is one core, and what its children use is counted in. Where there is no
/proc (macOS) the metrics that come from it are left out.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bailiwick.tracking.provenance.cgroup import limits, memory_in_use
from bailiwick.tracking.provenance.gpus import read_gpus

PREFIX = "system/"
MEGABYTE = 1_000_000

Pid = int


class Meters:
    """Readings of this machine, and of the process `root` with all that it started. For one thread.

    What is counted since the machine began (network, disk) is told from the making of this object on.
    """

    def __init__(
        self,
        root: Pid | None = None,
        *,
        proc: Path = Path("/proc"),
        seconds: Callable[[], float] = time.monotonic,
        gpus: Callable[[], dict[str, float]] = read_gpus,
    ) -> None:
        self._root = root or os.getpid()
        self._proc = proc
        self._seconds = seconds
        self._gpus = gpus
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._busy = self._cpu_times()
        self._network = self._transferred()
        self._moved: dict[Pid, tuple[int, int]] = {}
        looked = self._look()
        self._done = looked[1] if looked else 0.0
        self._began = dict(self._moved)
        self._at = seconds()

    def read(self) -> dict[str, float]:
        """What can be read now, rounded to a tenth; CPU is told as of the time since the last reading."""
        found = {**self._cpu(), **self._memory(), **_disk(), **self._net(), **self._process(), **self._gpus()}
        return {PREFIX + name: round(value, 1) for name, value in found.items()}

    def _cpu(self) -> dict[str, float]:
        before, self._busy = self._busy, self._cpu_times()
        if before is None or self._busy is None or self._busy[1] <= before[1]:
            return {}
        share = (self._busy[0] - before[0]) / (self._busy[1] - before[1]) * 100
        return {"cpu_utilization_percentage": min(100.0, max(0.0, share))}

    def _memory(self) -> dict[str, float]:
        """Of the container where it has a limit: that is what a run can run out of."""
        allowed, used = limits().memory_bytes, memory_in_use()
        if not (allowed and used):
            lines = (line.split() for line in self._text("meminfo").splitlines())
            sizes = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}
            allowed = sizes.get("MemTotal", 0)
            used = allowed - sizes.get("MemAvailable", sizes.get("MemFree", 0))
        if not allowed:
            return {}
        return {
            "system_memory_usage_megabytes": used / MEGABYTE,
            "system_memory_usage_percentage": used / allowed * 100,
        }

    def _net(self) -> dict[str, float]:
        now = self._transferred()
        if now is None or self._network is None:
            return {}
        return {
            "network_receive_megabytes": max(0, now[0] - self._network[0]) / MEGABYTE,
            "network_transmit_megabytes": max(0, now[1] - self._network[1]) / MEGABYTE,
        }

    def _process(self) -> dict[str, float]:
        looked, now = self._look(), self._seconds()
        if looked is None:
            return {}
        resident, done = looked
        found = {}
        if resident:  # a process that has ended, and not been waited for, holds none
            found["process_memory_usage_megabytes"] = resident / MEGABYTE
        if now > self._at:
            found["process_cpu_utilization_percentage"] = max(0.0, (done - self._done) / (now - self._at) * 100)
        self._at, self._done = now, done
        if self._moved:
            for place, name in enumerate(("process_disk_read_megabytes", "process_disk_write_megabytes")):
                moved = sum(counts[place] for counts in self._moved.values())
                found[name] = (moved - sum(counts[place] for counts in self._began.values())) / MEGABYTE
        return found

    def _look(self) -> tuple[int, float] | None:
        """Bytes that the tree holds, and the seconds it has worked, those of children that ended included.

        Notes what each process has moved to and from disks; one that ended keeps what it had when last seen.
        """
        resident, ticks, seen = 0, 0, False
        for pid, fields in self._tree():
            seen = True
            ticks += sum(map(int, fields[11:15]))
            resident += int(fields[21]) * self._page
            lines = (line.partition(": ") for line in self._text(f"{pid}/io").splitlines())
            counts = {key: int(value) for key, _, value in lines if value.isdigit()}
            if counts:
                self._moved[pid] = (counts.get("read_bytes", 0), counts.get("write_bytes", 0))
        return (resident, ticks / self._ticks) if seen else None

    def _tree(self) -> Iterator[tuple[Pid, list[str]]]:
        """The process and all below it, each with the fields of its `stat` from the state on."""
        found: dict[Pid, list[str]] = {}
        children: dict[Pid, list[Pid]] = {}
        try:
            names = [name for name in os.listdir(self._proc) if name.isdigit()]  # noqa: PTH208 - thousands, every time
        except OSError:
            return
        for name in names:
            fields = self._text(f"{name}/stat").rpartition(")")[2].split()
            if len(fields) > 21:
                found[int(name)] = fields
                children.setdefault(int(fields[1]), []).append(int(name))
        waiting = [self._root]
        while waiting:
            pid = waiting.pop()
            if pid in found:
                yield pid, found[pid]
                waiting += children.get(pid, [])

    def _cpu_times(self) -> tuple[int, int] | None:
        """Ticks of all cores together, busy and in all."""
        words = self._text("stat").partition("\n")[0].split()
        if not words or words[0] != "cpu":
            return None
        ticks = [int(word) for word in words[1:9]]  # guests are counted in `user` already
        idle = sum(ticks[3:5])
        return sum(ticks) - idle, sum(ticks)

    def _transferred(self) -> tuple[int, int] | None:
        """Bytes in and out of every interface but loopback."""
        rows = [line.partition(":") for line in self._text("net/dev").splitlines()[2:]]
        counts = [values.split() for name, _, values in rows if name.strip() != "lo"]
        if not rows:
            return None
        return sum(int(each[0]) for each in counts), sum(int(each[8]) for each in counts)

    def _text(self, path: str) -> str:
        try:
            return (self._proc / path).read_text(encoding="utf-8", errors="replace")
        except OSError:  # not Linux, not ours to read, or ended since it was listed
            return ""


def _disk() -> dict[str, float]:
    used = shutil.disk_usage(os.sep)
    return {
        "disk_usage_percentage": used.used / max(1, used.used + used.free) * 100,
        "disk_usage_megabytes": used.used / MEGABYTE,
        "disk_available_megabytes": used.free / MEGABYTE,
    }
