"""Children that watch their parent: a process of a run ends with the worker that started it, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.pipeline import training_pipeline
from bailiwick.pipelines.project import load_project
from bailiwick.processes.environment import as_environment
from bailiwick.processes.parent import PARENT_PIPE
from bailiwick.processes.runner import RunRunner
from tests_support.server import is_alive, until
from tests_support.small_project import write_project

WATCHER = "from bailiwick.processes.parent import stop_with_parent; import time; stop_with_parent(); print('here', flush=True); time.sleep(60)"
WORKER = """
import sys, time
from pathlib import Path
from bailiwick.core.settings import Settings
from bailiwick.processes.runner import RunRunner
runner = RunRunner(Settings(home=Path(sys.argv[1])))
runner.execute("0" * 32)
print(runner._process.pid, flush=True)
time.sleep(60)
"""


def test_a_child_ends_when_the_other_end_of_its_pipe_is_closed() -> None:
    reading, writing = os.pipe()
    environment = {**os.environ, PARENT_PIPE: str(reading)}
    child = subprocess.Popen(
        [sys.executable, "-c", WATCHER], env=environment, pass_fds=(reading,), stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"here\n"
    assert child.poll() is None
    os.close(writing)
    child.communicate(timeout=30)
    os.close(reading)
    assert child.returncode == -signal.SIGTERM


def test_a_run_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    run = int(worker.stdout.readline())
    worker.kill()
    worker.communicate()
    until(lambda: not is_alive(run), "the run to end")


def test_a_run_that_cannot_be_executed_says_so_in_the_log_and_frees_the_runner(tmp_path: Path) -> None:
    runner = RunRunner(Settings(home=tmp_path))
    assert not runner.busy
    runner.execute("0" * 32)
    runner.execute("1" * 32)  # one at a time: this does nothing
    until(lambda: not runner.busy, "the run to end")
    runner.execute("2" * 32)  # the same child takes the next
    until(lambda: not runner.busy, "the next run to end")
    runner.stop()
    said = (tmp_path / "logs" / "runs.log").read_text()
    assert "'" + "0" * 32 + "' does not exist" in said
    assert "2" * 32 in said
    assert "1" * 32 not in said


def test_a_child_that_was_killed_is_replaced(tmp_path: Path) -> None:
    runner = RunRunner(Settings(home=tmp_path))
    runner.execute("0" * 32)
    assert runner._process is not None
    runner._process.kill()
    until(lambda: not runner.busy, "the runner to notice")
    runner.execute("1" * 32)
    until(lambda: not runner.busy, "the next run to end")
    runner.stop()
    assert "1" * 32 in (tmp_path / "logs" / "runs.log").read_text()


@pytest.fixture
def submitted(tmp_path: Path) -> tuple[Platform, str, Path]:
    """A platform with a project, and a run of it that a worker is to execute."""
    folder = write_project(tmp_path / "small")
    platform = open_platform(Settings(home=tmp_path / "home"))
    admin = platform.identities.local_admin("default")
    project = apply_project(platform, admin, load_project(folder / "bailiwick.yaml"))
    params = {"project": project.name, "start": None, "end": None, "reason": ""}
    run = platform.pipelines.submit(admin, training_pipeline(platform, project), params, trigger="test")
    return platform, run.id, folder


def test_what_user_code_prints_or_reads_is_no_part_of_the_conversation(submitted: tuple[Platform, str, Path]) -> None:
    platform, run_id, folder = submitted
    train = (folder / "train.py").read_text()
    talk = "print('hello', flush=True); os.system('echo hello'); assert not sys.stdin.read()"
    talkative = "import os, sys\n" + train.replace("    while", f"    {talk}\n    while")
    (folder / "train.py").write_text(talkative)
    (folder / "hold").touch()
    runner = RunRunner(platform.settings)
    runner.execute(run_id)
    until((folder / "fitting").exists, "the training")
    assert runner.busy
    time.sleep(1)
    assert runner.busy
    (folder / "hold").unlink()
    until(lambda: not runner.busy, "the run to end")
    runner.stop()
    assert platform.pipelines.run("default", run_id).status == "FINISHED"
    assert (platform.settings.home / "logs" / "runs.log").read_text().count("hello\n") >= 2
    platform.close()


def test_user_code_that_exits_does_not_keep_its_run_waiting_for_ever(submitted: tuple[Platform, str, Path]) -> None:
    platform, run_id, folder = submitted
    (folder / "train.py").write_text("import sys\ndef fit(train, valid, params, report):\n    sys.exit(0)\n")
    runner = RunRunner(platform.settings)
    runner.execute(run_id)
    until(lambda: not runner.busy, "the run to end")
    runner.stop()
    assert platform.pipelines.run("default", run_id).status == "CANCELLED"
    assert "called sys.exit" in (platform.settings.home / "logs" / "runs.log").read_text()
    platform.close()


def test_children_get_exactly_the_settings_of_their_parent(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, control_port=1234, serve_workers=3, insecure=True)
    environment = as_environment(settings)
    from bailiwick.core.settings import load_settings

    assert load_settings(environment) == settings
