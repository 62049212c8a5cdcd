"""System metrics: MLflow's names and units, read from /proc, and a sampler that never holds a run up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bailiwick.core.errors import Unavailable
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.model import MetricPoint
from bailiwick.tracking.provenance.meters import Meters
from bailiwick.tracking.provenance.sampler import MAX_WAITING, Sampler, next_step

OF_MLFLOW = {
    "cpu_utilization_percentage",
    "system_memory_usage_megabytes",
    "system_memory_usage_percentage",
    "disk_usage_percentage",
    "disk_usage_megabytes",
    "disk_available_megabytes",
    "network_receive_megabytes",
    "network_transmit_megabytes",
}
"""As mlflow/system_metrics names them."""

NETWORK = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 999999999 1 0 0 0 0 0 0 999999999 1 0 0 0 0 0 0
  eth0: {received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0
"""


class Machine:
    """A made-up /proc."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "net").mkdir(parents=True)
        (folder / "meminfo").write_text("MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable: 6000000 kB\n")
        self.now = 100.0
        self.cpu(busy=1000, idle=9000)
        self.network(1_000_000, 2_000_000)
        self.process(7, parent=1, ticks=100, pages=1000, read=0, written=0)

    def cpu(self, *, busy: int, idle: int) -> None:
        (self.folder / "stat").write_text(f"cpu  {busy} 0 0 {idle - 100} 100 0 0 0 55 55\ncpu0 1 1 1 1\n")

    def network(self, received: int, sent: int) -> None:
        (self.folder / "net" / "dev").write_text(NETWORK.format(received=received, sent=sent))

    def process(
        self, pid: int, *, parent: int, ticks: int, pages: int, read: int, written: int, ended: int = 0
    ) -> None:
        folder = self.folder / str(pid)
        folder.mkdir(exist_ok=True)
        rest = f"S {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 {ended} 0 20 0 1 0 5 9999 {pages} 0"
        (folder / "stat").write_text(f"{pid} (a (odd) name) {rest}")
        (folder / "io").write_text(f"rchar: 1\nread_bytes: {read}\nwrite_bytes: {written}\ncancelled_write_bytes: 0\n")

    def end(self, pid: int) -> None:
        for path in (self.folder / str(pid)).iterdir():
            path.unlink()
        (self.folder / str(pid)).rmdir()

    def meters(self) -> Meters:
        return Meters(7, proc=self.folder, seconds=lambda: self.now, gpus=lambda: {"gpu_0_utilization_percentage": 5.0})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr("bailiwick.tracking.provenance.meters.memory_in_use", lambda: 0)
    return Machine(tmp_path / "proc")


def test_the_machine_is_read_in_mlflows_names_and_units(machine: Machine) -> None:
    meters = machine.meters()
    machine.cpu(busy=1250, idle=9750)
    machine.network(3_500_000, 2_000_000)
    found = {name.removeprefix("system/"): value for name, value in meters.read().items()}
    assert set(found) >= OF_MLFLOW
    assert found["cpu_utilization_percentage"] == 25.0
    assert found["system_memory_usage_megabytes"] == 2048.0
    assert found["system_memory_usage_percentage"] == 25.0
    assert (found["network_receive_megabytes"], found["network_transmit_megabytes"]) == (2.5, 0.0)
    assert found["gpu_0_utilization_percentage"] == 5.0


def test_a_process_is_read_with_all_that_it_started(machine: Machine) -> None:
    meters = machine.meters()
    ticks = os.sysconf("SC_CLK_TCK")
    machine.now += 2
    machine.process(7, parent=1, ticks=100 + ticks, pages=1000, read=3_000_000, written=0)
    machine.process(8, parent=7, ticks=ticks, pages=500, read=0, written=0)
    machine.process(9, parent=8, ticks=2 * ticks, pages=500, read=0, written=4_000_000)
    machine.process(10, parent=1, ticks=10**6, pages=10**6, read=10**12, written=10**12)
    found = meters.read()
    assert found["system/process_cpu_utilization_percentage"] == 200.0
    assert found["system/process_memory_usage_megabytes"] == round(2000 * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    assert (found["system/process_disk_read_megabytes"], found["system/process_disk_write_megabytes"]) == (3.0, 4.0)
    machine.now += 2
    machine.end(9)
    machine.end(8)
    machine.process(7, parent=1, ticks=100 + ticks, pages=1000, read=3_000_000, written=0, ended=5 * ticks)
    found = meters.read()
    assert found["system/process_cpu_utilization_percentage"] == 100.0
    assert found["system/process_disk_write_megabytes"] == 4.0


def test_a_container_with_a_limit_is_what_memory_is_told_of(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from bailiwick.tracking.provenance.cgroup import Limits

    monkeypatch.setattr("bailiwick.tracking.provenance.meters.memory_in_use", lambda: 500_000_000)
    monkeypatch.setattr("bailiwick.tracking.provenance.meters.limits", lambda: Limits(0, 1_000_000_000))
    found = machine.meters().read()
    assert found["system/system_memory_usage_megabytes"] == 500.0
    assert found["system/system_memory_usage_percentage"] == 50.0


def test_where_there_is_no_proc_the_disk_is_read_still(tmp_path: Path) -> None:
    found = Meters(proc=tmp_path / "none", gpus=dict).read()
    assert {name.partition("_")[0] for name in found} <= {"system/disk", "system/system"}
    assert found["system/disk_usage_percentage"] > 0


def test_this_machine_can_be_read() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; x = bytearray(50_000_000); time.sleep(30)"])
    try:
        meters = Meters()
        deadline = time.monotonic() + 20
        found: dict[str, float] = {}
        while found.get("system/process_memory_usage_megabytes", 0) < 60 or len(found) < len(OF_MLFLOW) + 4:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
            found = meters.read()
    finally:
        child.kill()
        child.wait()
    assert {f"system/{name}" for name in OF_MLFLOW} <= set(found)


class Counter:
    """Meters that count their readings."""

    def __init__(self) -> None:
        self.count = 0

    def read(self) -> dict[str, float]:
        self.count += 1
        return {"system/a": float(self.count), "system/b": 0.0}


class Kept:
    """A sink that fails as long as it is told to."""

    def __init__(self, *, failures: int = 0) -> None:
        self.points: list[MetricPoint] = []
        self.failures = failures

    def __call__(self, points: Sequence[MetricPoint]) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no server")
        self.points += points


def until(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_short_run_has_a_sample_of_its_beginning_and_its_end(clock: FakeClock) -> None:
    kept = Kept()
    with Sampler(Counter(), kept, seconds=3600, first_step=5, clock=clock):
        until(lambda: kept.points)
        clock.advance(40)
    steps = [(point.key, point.value, point.step) for point in kept.points]
    assert steps == [("system/a", 1, 5), ("system/b", 0, 5), ("system/a", 2, 6), ("system/b", 0, 6)]
    assert kept.points[-1].time - kept.points[0].time == 40


def test_samples_are_taken_again_and_again() -> None:
    kept = Kept()
    with Sampler(Counter(), kept, seconds=0.01):
        until(lambda: len(kept.points) > 20)


def test_what_cannot_be_logged_waits_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(failures=5)
    with Sampler(Counter(), kept, seconds=0.01):
        until(lambda: kept.points)
    assert [point.value for point in kept.points if point.key == "system/a"][:6] == [1, 2, 3, 4, 5, 6]
    assert [record.message for record in caplog.records] == ["system metrics cannot be logged for now: no server"]


def test_a_server_that_stays_away_costs_no_more_than_some_memory() -> None:
    counter, kept = Counter(), Kept(failures=10**9)
    sampler = Sampler(counter, kept, seconds=0)
    with sampler:
        until(lambda: counter.count > MAX_WAITING, 60)
    assert len(sampler._waiting) == MAX_WAITING


def test_meters_that_break_end_neither_the_run_nor_the_sampling() -> None:
    class Broken:
        def __init__(self) -> None:
            self.values: Iterator[float] = iter([1.0])

        def read(self) -> dict[str, float]:
            if not next(self.values, 0):
                raise ValueError("unreadable")
            return {"system/a": 1.0}

    kept = Kept()
    with Sampler(Broken(), kept, seconds=0.01):
        until(lambda: kept.points)
    assert len(kept.points) == 1


def test_a_sink_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bailiwick.tracking.provenance.sampler.PATIENCE_SECONDS", 0.1)
    release = threading.Event()

    def hang(_points: Sequence[MetricPoint]) -> None:
        release.wait(30)

    sampler = Sampler(Counter(), hang, seconds=0.01)
    sampler.start()
    begun = time.monotonic()
    sampler.stop()
    assert time.monotonic() - begun < 5
    release.set()
    sampler.stop()


def test_samples_of_a_run_that_goes_on_are_numbered_on() -> None:
    latest = [MetricPoint("loss", 1, 0, 900), MetricPoint("system/a", 1, 0, 4), MetricPoint("system/b", 1, 0, 3)]
    assert next_step(latest) == 5
    assert next_step([]) == 0
