"""`bailiwick track`: any command as a run, on the home here or on a server, recorded to its end whatever that is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from tests_support.command import Command, process
from tests_support.mlflow_client import Control
from tests_support.server import Server, answers, is_alive, until

SHOW = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('MLFLOW')}))"


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    running = Control(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Platform]:
    """What was recorded in the home `.bailiwick` of the test's folder."""
    (tmp_path / ".bailiwick").mkdir()
    platform = open_platform(Settings(home=tmp_path / ".bailiwick"))
    yield platform
    platform.close()


def artifact(platform: Platform, run: Any, path: str) -> bytes:
    reading = platform.artifacts.open("default", platform.artifacts.locate("default", run.artifact_uri, path))
    data = b"".join(reading.chunks(0, reading.artifact.size_bytes))
    reading.close()
    return data


def test_lines_of_two_streams_do_not_run_into_one_another(tmp_path: Path, recorded: Platform) -> None:
    """Each line is written in two halves, with the other stream's half between them."""
    code = (
        "import os, time\n"
        "for n in range(20):\n"
        "    for half in (b'half and ', b'half\\n'):\n"
        "        for stream in (1, 2):\n"
        "            os.write(stream, half)\n"
        "            time.sleep(0.005)"
    )
    ended = process("track", "--experiment", "e", "--", "python3", "-c", code, folder=tmp_path)
    assert ended.code == 0
    [run] = recorded.tracking.runs("default", "e")
    assert artifact(recorded, run, "logs/output.log").decode().splitlines() == ["half and half"] * 40


def test_a_command_is_a_run_of_the_home_here(tmp_path: Path, recorded: Platform) -> None:
    code = "import sys; print('to out'); print('to err', file=sys.stderr)"
    ended = process("track", "--experiment", "e", "--name", "n", "--", "python3", "-c", code, folder=tmp_path)
    assert (ended.code, ended.out) == (0, "to out\n")
    assert "to err" in ended.err
    [run] = recorded.tracking.runs("default", "e")
    assert (run.name, run.status, run.tags["bailiwick.exit"]) == ("n", "FINISHED", "0")
    assert run.tags["mlflow.source.name"].startswith("python3 -c ")
    assert sorted(artifact(recorded, run, "logs/output.log").decode().splitlines()) == ["to err", "to out"]
    assert artifact(recorded, run, "environment/requirements.txt").startswith(b"# CPython")
    assert run.metrics["system/system_memory_usage_percentage"] > 0


def test_the_exit_status_is_the_commands(tmp_path: Path, recorded: Platform) -> None:
    ended = process("track", "--json", "--", "sh", "-c", "echo out; exit 7", folder=tmp_path)
    assert ended.code == 7
    assert (ended.json["status"], ended.json["exit_status"]) == ("FAILED", 7)
    assert "out" in ended.err
    [run] = recorded.tracking.runs("default", "Default")
    assert (run.id, run.status, run.tags["bailiwick.exit"]) == (ended.json["run"], "FAILED", "7")
    assert "bailiwick.environment.lock" not in run.tags
    killed = process("track", "--json", "--every", "0", "--", "sh", "-c", "kill -9 $$", folder=tmp_path)
    assert (killed.code, killed.json["status"]) == (137, "FAILED")
    [run, _] = recorded.tracking.runs("default", "Default")
    assert run.tags["bailiwick.exit"] == "137 (SIGKILL)"
    assert not run.metrics


def test_a_script_is_told_where_to_log(tmp_path: Path, control: Control) -> None:
    ended = process(
        "track", "--url", control.url, "--experiment", "e", "--json", "--token", "", "--",
        sys.executable, "-c", SHOW, folder=tmp_path, MLFLOW_EXPERIMENT_ID="77", MLFLOW_TRACKING_URI="elsewhere",
        MLFLOW_TRACKING_USERNAME="me", MLFLOW_TRACKING_PASSWORD="secret", MLFLOW_TRACKING_TOKEN="t", MLFLOW_WORKSPACE="w",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    told = json.loads(next(line for line in ended.err.splitlines() if line.startswith("{")))
    assert told == {
        "MLFLOW_TRACKING_URI": control.url,
        "MLFLOW_RUN_ID": ended.json["run"],
        "MLFLOW_EXPERIMENT_NAME": "e",
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    }


def test_a_token_and_a_workspace_are_used_and_handed_on(tmp_path: Path, control: Control) -> None:
    assert process("workspaces", "create", "team-a", folder=tmp_path, BAILIWICK_HOME=str(control.home)).code == 0
    team = {"BAILIWICK_HOME": str(control.home), "BAILIWICK_WORKSPACE": "team-a"}
    assert process("users", "create", "ana", "--role", "editor", folder=tmp_path, **team).code == 0
    token = process("users", "token", "ana", "--json", folder=tmp_path, **team).json["token"]
    there = {"BAILIWICK_CONTROL_URL": control.url, "BAILIWICK_WORKSPACE": "team-a"}
    ended = process(
        "track", "--json", "--", sys.executable, "-c", SHOW, folder=tmp_path, BAILIWICK_TOKEN=token, **there
    )
    assert ended.code == 0, ended.err
    assert f'"MLFLOW_TRACKING_TOKEN": "{token}"' in ended.err
    assert '"MLFLOW_WORKSPACE": "team-a"' in ended.err
    platform = open_platform(Settings(home=control.home))
    run = platform.tracking.run("team-a", ended.json["run"])
    platform.close()
    assert (run.status, run.created_by != "local") == ("FINISHED", True)
    refused = process("track", "--", "true", folder=tmp_path, BAILIWICK_TOKEN="wrong", **there)
    assert (refused.code, "token" in refused.err) == (4, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_told_to_end_is_killed(tmp_path: Path, recorded: Platform, number: signal.Signals) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    line = [sys.executable, "-m", "bailiwick", "track", "--json", "--", sys.executable, "-c", code]
    started = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    pid = int(next(line for line in started.stderr if line.strip().isdigit()))
    started.send_signal(number)
    out, err = started.communicate(timeout=60)
    assert json.loads(out)["status"] == "KILLED", err
    assert started.returncode in {1, 128 + number}
    assert not is_alive(pid)
    [run] = recorded.tracking.runs("default", "Default")
    assert (run.status, run.ended is not None) == ("KILLED", True)


def test_a_command_that_will_not_end_is_killed_the_second_time(tmp_path: Path, recorded: Platform) -> None:
    code = "import signal, time\nsignal.signal(2, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(60)"
    line = [sys.executable, "-m", "bailiwick", "track", "--json", "--", sys.executable, "-c", code]
    started = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    until(lambda: started.stderr is not None and "on" in started.stderr.readline(), "the command")
    started.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert started.poll() is None
    started.send_signal(signal.SIGINT)
    out, _ = started.communicate(timeout=60)
    assert (json.loads(out)["status"], started.returncode) == ("KILLED", 137)
    assert recorded.tracking.runs("default", "Default")[0].status == "KILLED"


def test_long_output_is_kept_at_both_ends(tmp_path: Path, recorded: Platform) -> None:
    code = "print('first'); print('x' * 99 + '\\n', end='')\nfor n in range(150_000): print('x' * 99)\nprint('last')"
    ended = process("track", "--every", "0", "--", sys.executable, "-c", code, folder=tmp_path)
    assert ended.out.endswith("last\n")
    [run] = recorded.tracking.runs("default", "Default")
    log = artifact(recorded, run, "logs/output.log")
    assert log.startswith(b"first\n")
    assert log.endswith(b"last\n")
    assert b"bytes left out" in log
    assert len(log) < 9 << 20


def test_a_server_that_goes_away_ends_no_command(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    control = Control(folder)
    code = "import time; print('on', flush=True); time.sleep(3); print('whole', flush=True)"
    line = [
        sys.executable,
        "-m",
        "bailiwick",
        "track",
        "--url",
        control.url,
        "--json",
        "--",
        sys.executable,
        "-c",
        code,
    ]
    started = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    until(lambda: started.stderr is not None and "on" in started.stderr.readline(), "the command")
    control.stop()
    out, err = started.communicate(timeout=120)
    assert started.returncode == 0
    assert "whole" in err
    told = json.loads(out)
    assert told["status"] == "FINISHED"
    assert "its end is not recorded" in " ".join(told["troubles"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--url", "http://127.0.0.1:9", "--", "true"], 5, "cannot be reached"),
        (["--url", "ftp://host", "--", "true"], 2, "not the address of a tracking server"),
        (["--url", "http://me:secret@host", "--", "true"], 2, "Credentials do not belong"),
        (["--", "no-such-program"], 2, "no program that can be run"),
        (["--every", "-1", "--", "true"], 2, "system_metrics_seconds -1"),
        ([], 2, "COMMAND"),
    ],
)
def test_what_cannot_begin_is_said_before_anything_runs(
    command: Command, arguments: list[str], code: int, said: str
) -> None:
    ended = command("track", *arguments)
    assert ended.code == code
    assert said in ended.err + ended.out


def test_the_server_that_was_lent_ends_with_the_command(tmp_path: Path) -> None:
    ended = process("track", "--", sys.executable, "-c", SHOW, folder=tmp_path)
    assert ended.code == 0
    told = json.loads(ended.out)
    assert told["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"  # its links would lead nowhere
    address = told["MLFLOW_TRACKING_URI"]
    assert address.startswith("http://127.0.0.1:")
    assert not answers(f"{address}/health")


def test_beside_a_running_server_the_run_is_recorded_there_and_its_link_leads_to_it(tmp_path: Path) -> None:
    server = Server(tmp_path / ".bailiwick")
    try:
        server.wait_up()
        ended = process("track", "--every", "0", "--", sys.executable, "-c", SHOW, folder=tmp_path)
        elsewhere = process(
            "track", "--every", "0", "--", sys.executable, "-c", SHOW, folder=tmp_path, BAILIWICK_WORKSPACE="other"
        )
        link = ended.err.split("Look at it: ")[1].strip()
        with urllib.request.urlopen(link, timeout=30) as page:
            assert page.status == 200
    finally:
        server.stop()
    told = json.loads(ended.out)
    assert told["MLFLOW_TRACKING_URI"] == f"http://127.0.0.1:{server.control}"
    assert "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT" not in told
    assert link == f"http://127.0.0.1:{server.control}/runs/{told['MLFLOW_RUN_ID']}"
    assert f":{server.control}" not in elsewhere.out + elsewhere.err  # it serves another workspace
    after = process("track", "--every", "0", "--", sys.executable, "-c", SHOW, folder=tmp_path)
    assert json.loads(after.out)["MLFLOW_TRACKING_URI"] != told["MLFLOW_TRACKING_URI"]
    assert "Look at it: bailiwick tracking show" in after.err
