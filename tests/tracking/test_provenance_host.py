"""What a run says of its machine: what is there, and what its container and its GPUs let it have."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bailiwick.tracking.provenance.cgroup import Limits, limits, memory_in_use
from bailiwick.tracking.provenance.gpus import Gpu, find_gpus, read_gpus
from bailiwick.tracking.provenance.host import HOST_FILE, describe_host

GIB = 1 << 30


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def own(folder: Path, text: str) -> Path:
    path = folder / "self-cgroup"
    path.write_text(text)
    return path


@pytest.fixture
def nvidia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices, of which one does not tell everything, as `nvidia-smi` prints them."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\ncase $1 in\n"
        "*driver_version*) printf 'NVIDIA H100 80GB HBM3, 81559, 550.54\\nTesla T4, 15360, 550.54\\n';;\n"
        "*) printf '0, 87, 40780, 81559, 350.00, 700.00\\n1, [N/A], 0, 15360, [N/A], [N/A]\\n';;\nesac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_the_machine_is_told_in_tags_and_whole_in_a_file() -> None:
    found = describe_host()
    tags = found.tags()
    assert tags["bailiwick.host.name"] == found.name
    assert float(tags["bailiwick.host.cpus"]) > 0
    assert json.loads(found.files()[HOST_FILE])["usable_cpus"] == found.usable_cpus >= 1
    assert found.memory_bytes > 0


def test_limits_of_version_2_are_the_tightest_on_the_way_up(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    write(root / "pod", cpu__max="400000 100000", memory__max=str(4 * GIB))
    write(root / "pod" / "app", cpu__max="max 100000", memory__max="max")
    assert limits(root, own(tmp_path, "0::/pod/app\n")) == Limits(4.0, 4 * GIB)
    write(root / "pod" / "app", cpu__max="50000 100000")
    assert limits(root, own(tmp_path, "0::/pod/app\n")).cpus == 0.5


def test_limits_of_version_1_are_read_by_controller(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    write(root / "cpu" / "app", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
    write(root / "memory" / "app", memory__limit_in_bytes=str(GIB), memory__usage_in_bytes=str(GIB // 2))
    write(root / "memory" / "app", memory__stat="cache 5\ntotal_inactive_file 100\n")
    path = own(tmp_path, "4:memory:/app\n3:cpu,cpuacct:/app\n0::/\n")
    assert limits(root, path) == Limits(1.5, GIB)
    assert memory_in_use(root, path) == GIB // 2 - 100


def test_no_group_no_limit(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    write(root, memory__limit_in_bytes=str((1 << 63) - 4096))
    for text in ("0::/\n", "", "garbage", "4:memory:/gone\n"):
        path = own(tmp_path, text)
        assert (limits(root, path), memory_in_use(root, path)) == (Limits(), 0)


def test_memory_in_use_is_what_cannot_be_given_back(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    write(root / "app", memory__max=str(GIB), memory__current="900", memory__stat="anon 1\ninactive_file 300\n")
    assert memory_in_use(root, own(tmp_path, "0::/app\n")) == 600


def test_limits_count_in_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bailiwick.tracking.provenance.host.limits", lambda: Limits(0.5, GIB // 2))
    tags = describe_host().tags()
    assert (tags["bailiwick.host.cpus"], tags["bailiwick.host.memory_gib"]) == ("0.5", "0.5")


@pytest.mark.usefixtures("nvidia")
def test_gpus_are_named_and_read_in_mlflows_units() -> None:
    assert find_gpus()[0] == Gpu("NVIDIA H100 80GB HBM3", 81559 << 20, "550.54")
    assert describe_host().tags()["bailiwick.host.gpus"] == "NVIDIA H100 80GB HBM3, Tesla T4"
    assert read_gpus() == {
        "gpu_0_utilization_percentage": 87.0,
        "gpu_0_memory_usage_megabytes": 42760.9,
        "gpu_0_memory_usage_percentage": 50.0,
        "gpu_0_power_usage_watts": 350.0,
        "gpu_0_power_usage_percentage": 50.0,
        "gpu_1_memory_usage_megabytes": 0.0,
        "gpu_1_memory_usage_percentage": 0.0,
    }


def test_where_there_is_no_nvidia_smi_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (find_gpus(), read_gpus()) == ((), {})
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert (find_gpus(), read_gpus()) == ((), {})
