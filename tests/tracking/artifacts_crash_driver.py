"""Run by test_artifacts_crash.py: forks a process for each fault point of an upload over an older file, which kills
itself there; then says what is left, and what is left after the garbage was collected.

Everything is done in children of a process that has used nothing yet: the runtime of obstore does not survive a fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bailiwick.core.actor import system_actor
from bailiwick.store import faults
from bailiwick.store.blobs import BlobStore
from bailiwick.store.database import Database
from bailiwick.store.journal.reader import JournalReader
from bailiwick.store.migrate import migrate
from bailiwick.store.records import Records
from bailiwick.tracking.artifacts.service import ArtifactService

ACTOR = system_actor("default", "crash")
OLD = [b"o" * 100_000, b"l" * 100_000]
NEW = [b"n" * 150_000, b"e" * 150_000, b"w"]


def service(folder: Path, layout: str) -> ArtifactService:
    database = Database(f"sqlite:///{folder / 'bailiwick.db'}")
    destination = str(folder / "kept") if layout == "folder" else ""
    return ArtifactService(Records(database), BlobStore((folder / "blobs").as_uri()), destination=destination)


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


def begin(folder: Path, layout: str) -> None:
    database = Database(f"sqlite:///{folder / 'bailiwick.db'}")
    migrate(database)
    service(folder, layout).put(ACTOR, "r/a", OLD)


def overwrite(folder: Path, layout: str, fault: str) -> None:
    faults.arm(fault)
    service(folder, layout).put(ACTOR, "r/a", NEW)


def examine(folder: Path, layout: str) -> dict[str, object]:
    opened = service(folder, layout)
    report: dict[str, object] = {"then": contents(opened)}
    opened.collect_garbage(ACTOR, grace_ms=-1000)
    entries = JournalReader(Database(f"sqlite:///{folder / 'bailiwick.db'}")).entries("default", limit=9)
    files = [path for path in folder.rglob("*") if path.is_file() and "bailiwick.db" not in path.name]
    written = [entry for entry in entries if entry.action == "artifact.written"]
    return report | {"after": contents(opened), "files": len(files), "written": len(written)}


def contents(opened: ArtifactService) -> dict[str, str]:
    """First letters of the pieces of every file there is, by path."""
    found = {}
    for file in opened.files("default", ""):
        reading = opened.open("default", file.path)
        data = b"".join(reading.chunks(0, file.size_bytes))
        reading.close()
        known = {b"".join(OLD): "old", b"".join(NEW): "new"}
        found[file.path] = known.get(data, f"{len(data)} bytes")
    return found


def final(folder: Path, layout: str) -> dict[str, str]:
    return contents(service(folder, layout))


def main(folder: Path, layout: str) -> None:
    for number in range(1, 100):
        place = folder / str(number)
        place.mkdir()
        assert in_child(partial(begin, place, layout))[0] == 0
        status, _ = in_child(partial(overwrite, place, layout, f"*:{number}"))
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        report = {"killed": killed, **in_child(partial(examine, place, layout))[1]}
        report["again"], _ = in_child(partial(overwrite, place, layout, ""))
        report["end"] = in_child(partial(final, place, layout))[1]
        sys.stdout.write(json.dumps(report) + "\n")
        if not killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
