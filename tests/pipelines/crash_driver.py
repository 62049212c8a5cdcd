"""Run by test_pipelines_crash.py: forks a process for each commit point, which kills itself there, and a successor.

Prints one JSON line a round: whether the first process died, what was finished at that moment, and what was in the end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from bailiwick.core.actor import system_actor
from bailiwick.pipelines.engine import Engine
from bailiwick.pipelines.model import JSON, Pipeline, Step, StepContext
from bailiwick.pipelines.service import PipelineService
from bailiwick.pipelines.triggers import TriggerService
from bailiwick.store import faults
from bailiwick.store.database import Database
from bailiwick.store.migrate import migrate
from bailiwick.store.records import Records

ACTOR = system_actor("default", "crash")
STEPS = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def pipeline(effects: Path) -> Pipeline:
    """A diamond whose steps leave a line outside the database each time they run; `c` fails the first time."""

    def work(context: StepContext) -> Mapping[str, JSON]:
        with effects.open("a") as file:
            file.write(context.step + "\n")
        if context.step == "c" and effects.read_text().count("c\n") == 1:
            raise ConnectionError("try again")
        return {"after": sorted(context.inputs)}

    steps = [Step(name, needs, work, "1", cached=name == "a", retries=3, backoff_ms=0) for name, needs in STEPS.items()]
    return Pipeline("crash", steps)


def work(url: str, effects: Path) -> None:
    """What both processes do: fire the trigger (once, however often), then run everything there is to run."""
    records = Records(Database(url))
    declared = pipeline(effects)
    TriggerService(records, PipelineService(records)).fire(ACTOR, "crash", "only", declared, {})
    engine = Engine(records, {declared.name: declared})
    while engine.work_once(ACTOR):
        pass


def forked(fault: str, url: str, effects: Path) -> int:
    """Exit status of a child that does `work` with a fault armed."""
    child = os.fork()
    if child == 0:
        faults.arm(fault)
        work(url, effects)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def state(url: str) -> dict[str, dict[str, str]]:
    """Statuses of all steps by run."""
    database = Database(url)
    runs = PipelineService(Records(database)).runs("default")
    database.close()
    return {run.id: {step.name: step.status.value for step in run.steps} for run in runs}


def main(folder: Path, prefix: str, first: int, last: int) -> None:
    fresh = Database(f"sqlite:///{folder / 'fresh.db'}")
    migrate(fresh)
    fresh.close()
    for number in range(first, last + 1):
        place = folder / str(number)
        place.mkdir()
        url, effects = f"sqlite:///{place / 'crash.db'}", place / "effects"
        effects.touch()
        shutil.copyfile(folder / "fresh.db", place / "crash.db")
        status = forked(f"{prefix}:{number}", url, effects)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        report = {"number": number, "killed": killed, "then": state(url), "effects_then": effects.read_text().split()}
        report["successor"] = forked("", url, effects)
        sys.stdout.write(json.dumps({**report, "end": state(url), "effects": effects.read_text().split()}) + "\n")
        if not killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
