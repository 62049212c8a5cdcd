"""The main job, as a newcomer runs it: interrupted once, then played to the end, with real processes over real HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.rollout.model import Status
from tests_support.server import free_port

PLAY_SECONDS = 900


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo is played."""
    return tmp_path_factory.mktemp("demo") / "played"


@pytest.fixture(scope="module")
def command(folder: Path) -> list[str]:
    """`bailiwick demo --fast --exit` on free ports."""
    control, inference = free_port(), free_port()
    ports = ["--control-port", str(control), "--inference-port", str(inference)]
    return [sys.executable, "-m", "bailiwick", "demo", "--fast", "--exit", "--dir", str(folder), *ports]


@pytest.fixture(scope="module")
def interrupted(command: list[str]) -> subprocess.CompletedProcess[str]:
    """The demo, stopped by Ctrl-C while it trains the first version."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "$ bailiwick run" in line:
                process.send_signal(signal.SIGINT)
                break
        rest, error = process.communicate(timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, said + rest, error)


@pytest.fixture(scope="module")
def played(command: list[str], interrupted: subprocess.CompletedProcess[str]) -> str:
    """What the demo prints when it is started again and left alone."""
    assert interrupted.returncode
    environment = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PLAY_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def platform(played: str, folder: Path) -> Iterator[Platform]:
    """The home that the demo left behind."""
    assert played
    opened = open_platform(Settings(home=folder / "flights" / ".bailiwick"))
    yield opened
    opened.close()


def test_ctrl_c_stops_everything_and_says_so(interrupted: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert interrupted.returncode == 130
    assert "Traceback" not in interrupted.stderr
    left = subprocess.run(["pgrep", "-f", f"{folder}"], capture_output=True, text=True, check=False).stdout
    assert left == ""


@pytest.mark.timeout(PLAY_SECONDS)
def test_it_starts_clean_after_an_interruption_and_ends_with_a_report(played: str, folder: Path) -> None:
    assert "Clearing away the interrupted demo" in played
    assert "Never retrained against kept right" in played
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 2
    assert "was rolled back by itself" in page


def test_bad_data_was_refused_and_its_anomalies_named(played: str) -> None:
    for anomaly in ("ENUM_TYPE_UNEXPECTED_STRING_VALUES", "UNEXPECTED_DATA_TYPE", "SCHEMA_MISSING_COLUMN"):
        assert anomaly in played


def test_every_prediction_is_on_record_once_with_its_outcome(played: str, platform: Platform) -> None:
    counted = re.search(r"([\d,]+) predictions, ([\d,]+) outcomes", played)
    assert counted
    predictions, outcomes = (int(text.replace(",", "")) for text in counted.groups())
    assert predictions == outcomes > 80_000
    logged = platform.logs.of("default").predictions("late", columns=["prediction_id"])["prediction_id"].to_pylist()
    assert len(logged) == len(set(logged)) == predictions
    assert platform.logs.of("default").matured("late", columns=["version"]).num_rows == predictions


def test_the_broken_version_was_rolled_back_and_a_retrained_one_promoted(platform: Platform) -> None:
    ended = {rollout.candidate.version: rollout.status for rollout in platform.rollouts.rollouts("default")}
    assert Status.ROLLED_BACK in ended.values()
    assert Status.PROMOTED in ended.values()
    in_production = platform.registry.aliases("default", "flights")["production"]
    assert ended[in_production] is Status.PROMOTED


def test_retraining_was_started_by_an_alarm_and_nobody_approved_their_own_version(platform: Platform) -> None:
    runs = platform.pipelines.runs("default")
    assert any(run.trigger == "retrain:flights" and run.status == "FINISHED" for run in runs)
    for request in platform.governance.requests("default", status="APPROVED"):
        assert [decision.actor for decision in request.decisions] != [request.author]


def test_the_journal_is_as_it_was_written(played: str) -> None:
    assert "The journal is as it was written." in played
