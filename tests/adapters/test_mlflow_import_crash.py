"""An import that is killed at any of its fault points and begun again ends as one that nobody disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_support.fake_mlflow import FakeMlflow

DRIVER = Path(__file__).parent / "mlflow_import_crash_driver.py"
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a killed process loses no more there, and a hundred imports take less time."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.mark.timeout(900)
def test_a_death_at_any_point_of_an_import_doubles_and_loses_nothing(
    remote: FakeMlflow, memory: Path, sqlite_template: Path
) -> None:
    path = os.pathsep.join([str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])])
    told = subprocess.run(
        [sys.executable, str(DRIVER), str(memory), str(sqlite_template), remote.url],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    rounds = [json.loads(line) for line in told.stdout.splitlines()]
    assert [each["killed"] for each in rounds] == [True] * (len(rounds) - 1) + [False]
    assert len(rounds) >= 40
    undisturbed = rounds[-1]["first"]
    assert undisturbed == rounds[-1]["second"]
    assert undisturbed | {"state": ""} == {"agrees": True, "notes": 0, "pointed": 2, "state": ""}
    assert [each["second"] for each in rounds] == [undisturbed] * len(rounds)
