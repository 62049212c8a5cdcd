"""A process that dies at any point of an upload, or finds the disk full, leaves the old file or the new one, whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parent / "artifacts_crash_driver.py"


@pytest.mark.parametrize("layout", ["content", "folder"])
def test_a_death_at_any_point_of_an_upload_leaves_one_whole_file(layout: str, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, str(DRIVER), str(tmp_path), layout], capture_output=True, text=True, check=True
    )
    rounds = [json.loads(line) for line in told.stdout.splitlines()]
    assert [each["killed"] for each in rounds] == [True] * (len(rounds) - 1) + [False]
    assert len(rounds) >= 9
    seen = []
    for each in rounds:
        assert list(each["then"]) == ["r/a"]
        assert each["then"]["r/a"] in {"old", "new"}
        assert each["after"] == each["then"]
        assert each["files"] == 1
        assert (each["again"], each["end"]) == (0, {"r/a": "new"})
        seen.append((each["then"]["r/a"], each["written"]))
    assert seen == sorted(seen, key=lambda pair: (pair[0] != "old", pair[1]))
    if layout == "content":
        assert set(seen) == {("old", 1), ("new", 2)}
    else:  # a file has its new name just before its entry is committed
        assert set(seen) == {("old", 1), ("new", 1), ("new", 2)}


FILL = """
import resource, signal, sys
from pathlib import Path
from bailiwick.core.actor import system_actor
from bailiwick.core.errors import Unavailable
from bailiwick.store.blobs import BlobStore
from bailiwick.store.database import Database
from bailiwick.store.migrate import migrate
from bailiwick.store.records import Records
from bailiwick.tracking.artifacts.service import ArtifactService
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
home = Path(sys.argv[1])
database = Database(f"sqlite:///{home / 'bailiwick.db'}")
migrate(database)
service = ArtifactService(Records(database), BlobStore((home / "blobs").as_uri()), destination=sys.argv[2])
actor = system_actor("default", "test")
service.put(actor, "a", [b"kept"])
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
for path in ("a", "b"):
    try:
        service.put(actor, path, [b"x" * 1_000_000] * 9)
    except Unavailable as error:
        print(error)
print([(file.path, file.size_bytes) for file in service.files("default", "")])
print(sum(path.is_file() and path.stat().st_size > 900_000 and "bailiwick.db" not in path.name for path in home.rglob("*")))
"""


@pytest.mark.parametrize("layout", ["content", "folder"])
def test_a_full_disk_is_said_and_leaves_what_was_there(layout: str, tmp_path: Path) -> None:
    destination = str(tmp_path / "kept") if layout == "folder" else ""
    filled = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path), destination], capture_output=True, text=True, check=True
    )
    first, second, files, leftovers = filled.stdout.splitlines()
    assert first.startswith("Nothing can be written in ")
    assert first.endswith("File too large. Is the disk full? Nothing was stored.")
    assert second == first
    assert (files, leftovers) == ("[('a', 4)]", "0")
