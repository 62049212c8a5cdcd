"""The worker collects what no artifact refers to, and only now and then."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import system_actor
from bailiwick.core.settings import Settings
from bailiwick.lifecycle import duties as duties_module
from bailiwick.lifecycle.duties import Duties


class Idle:
    """Runs nothing."""

    busy = False

    def execute(self, run_id: str) -> None:
        raise AssertionError(run_id)


def test_garbage_of_yesterday_is_collected_in_a_later_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = open_platform(Settings(home=tmp_path / "home"))
    (tmp_path / "home" / "spool").mkdir(parents=True, exist_ok=True)
    actor = system_actor("default", "work")
    for data in (b"old", b"new"):
        platform.artifacts.put(actor, "a", [data])
    blobs = [path for path in (tmp_path / "home" / "blobs" / "artifacts" / "sha256").rglob("*") if path.is_file()]
    assert len(blobs) == 2
    for path in blobs:
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    duties = Duties(platform, actor, Idle())
    duties.make_pass()
    assert all(path.exists() for path in blobs)
    monkeypatch.setattr(duties_module, "COLLECT_SECONDS", -1.0)
    duties._unseen = True
    assert duties.make_pass().troubles == ()
    assert [path.read_bytes() for path in blobs if path.exists()] == [b"new"]
    platform.close()
