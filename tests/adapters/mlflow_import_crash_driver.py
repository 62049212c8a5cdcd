"""Run by test_mlflow_import_crash.py: for each fault point of an import forks a process that kills itself there, then one
that imports again, and says what is there in the end.

Everything is done in children of a process that has used nothing yet: the runtime of obstore does not survive a fork.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bailiwick.adapters.mlflow.connection import MlflowConnection
from bailiwick.adapters.mlflow.migration import Migration
from bailiwick.adapters.mlflow.remote import RemoteMlflow
from bailiwick.app import open_platform
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.settings import Settings
from bailiwick.store import faults
from tests_support.mlflow_story import state


def in_child(deed: Callable[[], object]) -> tuple[int, Any]:
    """Exit status of a child that does the deed, and what came of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(deed()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        data = told.read()
    return os.waitpid(child, 0)[1], json.loads(data) if data else None


def move(home: Path, url: str, fault: str) -> dict[str, object]:
    platform = open_platform(Settings(home=home))
    actor = platform.identities.local_admin("default")
    faults.arm(fault)
    report = Migration(platform, actor, RemoteMlflow(MlflowConnection(url))).move()
    faults.arm("")
    moves = [*platform.registry.alias_history("default", "late"), *platform.registry.stage_history("default", "late")]
    kept = sha256_hex(repr(state(platform)).encode())
    return {"agrees": report.agrees, "notes": len(report.notes), "pointed": len(moves), "state": kept}


def main(folder: Path, template: Path, url: str) -> None:
    for number in range(1, 200):
        home = folder / str(number)
        home.mkdir()
        shutil.copy(template, home / "bailiwick.db")
        status, first = in_child(partial(move, home, url, f"*:{number}"))
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        second = in_child(partial(move, home, url, ""))[1]
        sys.stdout.write(json.dumps({"killed": killed, "first": first, "second": second}) + "\n")
        shutil.rmtree(home)
        if not killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
