"""`kill -9` at every commit point: no finished step runs again, and the run completes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.pipelines.owner import is_gone, process_owner
from bailiwick.store import faults

DRIVER = Path(__file__).with_name("crash_driver.py")
STEPS = ("a", "b", "c", "d")


def _rounds(folder: Path, prefix: str = "*", first: int = 1, last: int = 100) -> list[dict[str, Any]]:
    command = [sys.executable, str(DRIVER), str(folder), prefix, str(first), str(last)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _check(found: dict[str, Any]) -> None:
    assert found["successor"] == 0
    assert len(found["end"]) == 1
    (end,) = found["end"].values()
    assert end == dict.fromkeys(STEPS, "FINISHED")
    before, after = Counter(found["effects_then"]), Counter(found["effects"])
    (then,) = found["then"].values() if found["then"] else ({},)
    for step in STEPS:
        if then.get(step) == "FINISHED":
            assert after[step] == before[step], f"{step} was finished, and ran again"
        allowed = 1 + (step == "c") + (then.get(step) == "RUNNING")
        assert after[step] <= allowed, f"{step} ran {after[step]} times"


def test_a_kill_at_every_commit_point_repeats_no_finished_step(tmp_path: Path) -> None:
    rounds = _rounds(tmp_path)
    assert [found["killed"] for found in rounds] == [True] * (len(rounds) - 1) + [False]
    # The trigger (2), four steps claimed (2 each), run and finished (3 each), and one claimed and retried (2 + 1).
    assert len(rounds) - 1 == 2 + 4 * 5 + 3
    for found in rounds:
        _check(found)


def test_a_named_point_can_be_chosen_by_the_environment(tmp_path: Path) -> None:
    script = "from bailiwick.store import faults; faults.reach('x'); faults.reach('y'); print('alive')"
    for fault, status in {"": 0, "y": -signal.SIGKILL, "y:2": 0, "*:2": -signal.SIGKILL, "*:3": 0}.items():
        environment = {**os.environ, faults.VARIABLE: fault}
        done = subprocess.run([sys.executable, "-c", script], check=False, env=environment, capture_output=True)
        assert done.returncode == status
        assert (b"alive" in done.stdout) == (status == 0)


def test_a_fault_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not a fault point"):
        faults.arm("x:soon")
    faults.reach("anything")


def test_a_process_is_gone_only_when_that_is_certain() -> None:
    mine = process_owner()
    assert not is_gone(mine)
    machine, pid, start, part = mine.split("/")
    assert is_gone(f"{machine}/{pid}/{int(start) - 1}/{part}")
    assert not is_gone(f"elsewhere/{pid}/1/{part}")
    for unknown in ("", "worker-7", "a/b/c/d", f"{machine}/{pid}"):
        assert not is_gone(unknown)


def test_a_killed_process_is_gone_at_once() -> None:
    script = "import time; from bailiwick.pipelines.owner import process_owner; print(process_owner(), flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        owner = child.stdout.readline().strip()
        assert not is_gone(owner)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(owner), "a zombie counts as gone"
    assert is_gone(owner)
