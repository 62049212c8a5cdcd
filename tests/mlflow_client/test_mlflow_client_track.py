"""`bailiwick track` around a script that uses a real MLflow client: what the script logs, and what it did not think of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests_support import mlflow_client
from tests_support.mlflow_client import STORIES, Control

SCRIPT = STORIES / "train.py"


@pytest.fixture(params=["2", "3"])
def python(request: pytest.FixtureRequest) -> Path:
    return mlflow_client.interpreter(request.param)


def start(control: Control, python: Path, *words: str) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "bailiwick", "track", "--url", control.url, "--json", "--experiment", "tracked", "--"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [*line, str(python), str(SCRIPT), *words],
        env=environment,
        cwd=control.home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run_of(control: Control, run_id: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{control.url}/api/v1/runs/{run_id}") as answer:
        return dict(json.load(answer))


@pytest.mark.parametrize(("word", "code", "status"), [("", 0, "FINISHED"), ("crash", 1, "FAILED")])
def test_a_script_logs_into_the_run_that_it_is_run_as(
    control: Control, python: Path, word: str, code: int, status: str
) -> None:
    process = start(control, python, *([word] if word else []))
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    told = json.loads(out)
    assert (told["status"], told["exit_status"], told["troubles"]) == (status, code, [])
    found = run_of(control, told["run"])
    assert (found["experiment"], found["status"], found["params"]) == ("tracked", status, {"lr": "0.1"})
    assert found["metrics"]["loss"] == pytest.approx(1 / 3)
    assert found["metrics"]["system/system_memory_usage_percentage"] > 0
    assert found["tags"]["bailiwick.exit"] == str(code)
    assert found["tags"]["bailiwick.environment.python"]
    where = f"{control.url}/api/2.0/mlflow-artifacts/artifacts/{found['artifact_uri'].partition('/')[2]}"
    for path, said in (
        ("logs/output.log", b"training"),
        ("notes/hello.txt", b"hello"),
        ("environment/requirements.txt", b"\nmlflow=="),
        ("environment/host.json", b'"cpus"'),
    ):
        with urllib.request.urlopen(f"{where}/{path}") as answer:
            assert said in answer.read()


def test_a_script_that_is_interrupted_is_killed_and_its_run_too(control: Control, python: Path) -> None:
    process = start(control, python, "slow")
    assert process.stderr is not None
    while b"waiting" not in (line := process.stderr.readline()):
        assert line, "the script ended"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    told = json.loads(out)
    assert told["status"] == "KILLED", err
    assert process.returncode == told["exit_status"] != 0
    assert run_of(control, told["run"])["status"] == "KILLED"
