"""What a run can say about its code and machine, with git and without."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from bailiwick.core.canonical import digest_of
from bailiwick.tracking.environment import describe_environment


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    _git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("one\n")
    _git(tmp_path, "add", "train.py")
    _git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_repository_gives_its_commit(repository: Path) -> None:
    (repository / "untracked.txt").write_text("state\n")
    found = describe_environment(repository)
    assert found.git_commit == _git(repository, "rev-parse", "HEAD")
    assert not found.git_dirty


def test_an_edited_file_makes_it_dirty(repository: Path) -> None:
    (repository / "train.py").write_text("two\n")
    assert describe_environment(repository).git_dirty


def test_outside_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    found = describe_environment(tmp_path)
    assert (found.git_commit, found.git_dirty) == ("", False)


def test_without_git_there_is_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert describe_environment(repository).git_commit == ""


def test_the_digest_covers_python_and_packages(tmp_path: Path) -> None:
    found = describe_environment(tmp_path, packages=("numpy", "no-such-distribution"))
    assert list(found.packages) == ["numpy"]
    assert found.digest == digest_of({"python": platform.python_version(), "packages": dict(found.packages)})
    assert found.cpus >= 1
    assert found.to_json()["platform"] == platform.platform()
