"""Explanations are read again for a week, and then nothing of them is on the disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bailiwick.lifecycle.explaining import kept as module
from bailiwick.lifecycle.explaining.kept import KEPT_SECONDS, KeptExplanations
from bailiwick.lifecycle.explaining.model import Asked, Explanation


def explanation(prediction: str) -> Explanation:
    return Explanation(prediction, "m", 1, "p", Asked(), "probability", 0.5, 0.5, "training", 1, 0.1)


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in folder.iterdir():
        os.utime(path, (then, then))


def test_what_was_explained_is_gone_from_the_disk_after_a_week(tmp_path: Path) -> None:
    kept = KeptExplanations(tmp_path)
    kept.put(b"old", explanation("old"))
    age(tmp_path, KEPT_SECONDS - 60)
    assert kept.get(b"old", Asked()) == explanation("old")
    assert kept.prune() == 0
    age(tmp_path, KEPT_SECONDS + 60)
    assert kept.get(b"old", Asked()) is None
    (tmp_path / ".half-written").write_bytes(b"{")
    os.utime(tmp_path / ".half-written", (0, 0))
    assert kept.prune() == 2
    assert list(tmp_path.iterdir()) == []
    assert KeptExplanations(tmp_path / "none").prune() == 0


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    kept = KeptExplanations(tmp_path)
    kept.put(b"a", explanation("a"))
    age(tmp_path, 100)
    kept.put(b"b", explanation("b"))
    kept.put(b"c", explanation("c"))
    assert [kept.get(name, Asked()) is not None for name in (b"a", b"b", b"c")] == [False, True, True]
