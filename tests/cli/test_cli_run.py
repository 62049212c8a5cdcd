"""`bailiwick run` as a process: it finishes, fails, is interrupted and killed, and goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests_support.command import Result, process
from tests_support.small_project import write_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "small")


def _interrupted(folder: Path, number: signal.Signals) -> Result:
    """A run that is sent a signal while the user's code trains."""
    (folder / "hold").touch()
    running = subprocess.Popen(
        [sys.executable, "-m", "bailiwick", "run"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    deadline = time.monotonic() + 60
    while not (folder / "fitting").exists():
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.send_signal(number)
    out, err = running.communicate(timeout=30)
    (folder / "hold").unlink()
    return Result(running.returncode, out, err)


def _runs(folder: Path) -> list[dict[str, object]]:
    return list(process("runs", "--json", folder=folder).json)


def test_a_run_finishes_and_says_what_came_of_it(project: Path) -> None:
    ended = process("run", folder=project)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0].endswith(": finished")
    assert ended.out.splitlines()[-1] == "small version 1 is registered."
    assert [line.split()[:2] for line in ended.err.splitlines()][:2] == [["ingest", "running"], ["ingest", "finished"]]
    assert "\x1b" not in ended.out + ended.err
    again = process("run", "features", "--json", folder=project)
    assert [(step["name"], step["status"]) for step in again.json["steps"]] == [
        ("ingest", "FINISHED"),
        ("validate", "FINISHED"),
        ("features", "CACHED"),
    ]
    assert again.err == ""
    verified = process("models", "verify", "small", 1, folder=project)
    assert verified.code == 0, verified.out
    same = process("run", folder=project)
    assert "Nothing changed: small version 1 is this." in same.out
    assert "is registered" not in same.out
    forced = process("run", "--force", folder=project)
    assert "small version 2 is registered." in forced.out


def test_a_run_that_fails_shows_the_message_and_keeps_the_traceback(project: Path) -> None:
    (project / "fail").touch()
    ended = process("run", folder=project)
    assert ended.code == 1
    assert "RuntimeError: no convergence today" in ended.out
    assert "Traceback" not in ended.out + ended.err
    assert "Traceback" in (project / ".bailiwick" / "logs" / "runs.log").read_text()
    (project / "fail").unlink()
    short = _runs(project)[0]["id"]
    assert isinstance(short, str)
    resumed = process("run", "--resume", short[-8:], "--json", folder=project)
    assert (resumed.code, resumed.json["status"]) == (0, "FINISHED")


def test_user_code_that_exits_does_not_look_like_success(project: Path) -> None:
    (project / "train.py").write_text("import sys\ndef fit(train, valid, params, report):\n    sys.exit(0)\n")
    ended = process("run", folder=project)
    assert ended.code == 1
    assert "called sys.exit(0)" in ended.err
    assert [run["status"] for run in _runs(project)] == ["CANCELLED"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_cancelled_and_can_be_resumed(project: Path, number: signal.Signals) -> None:
    ended = _interrupted(project, number)
    assert ended.code == 128 + number
    assert ended.out == ""
    last = ended.err.splitlines()[-1]
    assert last.startswith("Interrupted. Go on with it: bailiwick run --resume ")
    assert [run["status"] for run in _runs(project)] == ["CANCELLED"]
    resumed = process(*last.partition("bailiwick ")[2].split(), folder=project)
    assert resumed.code == 0, resumed.err
    assert "ingest" not in resumed.err  # finished before, not done again


def test_a_killed_run_can_be_resumed(project: Path) -> None:
    assert _interrupted(project, signal.SIGKILL).code == -signal.SIGKILL
    (run,) = _runs(project)
    assert run["status"] == "RUNNING"
    resumed = process("run", "--resume", run["id"], folder=project)
    assert resumed.code == 0, resumed.err
    finished = process("run", "--resume", run["id"], folder=project)
    assert (finished.code, "nothing to resume" in finished.err) == (1, True)


def test_a_started_project_can_be_applied_without_a_run(project: Path) -> None:
    assert process("apply", folder=project).out == "Project small is applied.\n"
    assert _runs(project) == []


def test_a_password_is_refused_where_it_is_new_and_warned_of_where_it_was_kept(project: Path) -> None:
    file = project / "bailiwick.yaml"
    text = file.read_text()
    file.write_text(text.replace("data:\n", "data:\n  engine: 'postgresql://me:${PW}@db/w'\n", 1))
    assert process("apply", folder=project).err == ""
    file.write_text(file.read_text().replace("${PW}", "hush"))
    refused = process("apply", folder=project)
    assert (refused.code, "data.engine of project 'small' holds a password" in refused.err) == (2, True)
    with sqlite3.connect(project / ".bailiwick" / "bailiwick.db") as database:  # as an earlier version took it
        database.execute("UPDATE projects SET document = replace(document, '${PW}', 'hush')")
    database.close()
    warned = process("apply", "--json", folder=project)
    assert warned.json["data"]["engine"] == "postgresql://me:***@db/w"
    assert warned.err.startswith("warning: data.engine of project 'small' holds a password")
    assert "hush" not in refused.err + warned.err + warned.out


def test_init_makes_a_project_and_overwrites_nothing(tmp_path: Path) -> None:
    made = process("init", "mine", folder=tmp_path)
    assert made.code == 0
    assert made.out.startswith("Made mine. Next:\n  cd mine\n")
    assert (tmp_path / "mine" / "bailiwick.yaml").exists()
    (named,) = re.findall(r"\$schema=(\S+)", (tmp_path / "mine" / "bailiwick.yaml").read_text())
    assert json.loads((tmp_path / "mine" / named).read_text())["properties"]
    spaced = process("init", "mine too", "--json", folder=tmp_path)
    assert "bailiwick.yaml" in spaced.json["files"]
    again = process("init", "mine", folder=tmp_path)
    assert (again.code, "is not empty" in again.err) == (1, True)
    (tmp_path / "file").touch()
    assert process("init", "file", folder=tmp_path).code == 2
