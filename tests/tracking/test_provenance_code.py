"""The code of a run as git tells it: the commit, and every line that differs from it, unless that is not wanted."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from bailiwick.tracking.provenance.code import (
    BRANCH_TAG,
    COMMIT_TAG,
    DIFF_FILE,
    DIFF_TAG,
    DIRTY_TAG,
    MAX_DIFF_BYTES,
    REPOSITORY_TAG,
    UNTRACKED_FILE,
    describe_code,
    without_credentials,
)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit on branch `work`."""
    git(tmp_path, "init", "-q", "-b", "work")
    (tmp_path / "train.py").write_text("one\n")
    (tmp_path / ".gitignore").write_text("secret.env\n")
    git(tmp_path, "add", "train.py", ".gitignore")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_clean_code_is_its_commit_and_branch(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://me:token@example.org/team/model.git")
    found = describe_code(repository)
    assert found.tags() == {
        COMMIT_TAG: git(repository, "rev-parse", "HEAD"),
        BRANCH_TAG: "work",
        DIRTY_TAG: "false",
        REPOSITORY_TAG: "https://example.org/team/model.git",
    }
    assert found.files() == {}


def test_edited_code_keeps_a_difference_that_git_applies(repository: Path) -> None:
    (repository / "train.py").write_text("two\n")
    (repository / "new.py").write_text("not tracked\n")
    (repository / "secret.env").write_text("PASSWORD=x\n")
    (repository / "data").mkdir()
    (repository / "data" / "a.csv").write_text("1\n")
    found = describe_code(repository)
    assert found.tags()[DIRTY_TAG] == "true"
    files = found.files()
    assert files[UNTRACKED_FILE].decode().splitlines() == ["data/", "new.py"]
    assert found.tags()[DIFF_TAG] == hashlib.sha256(files[DIFF_FILE]).hexdigest()
    git(repository, "checkout", "-q", "train.py")
    (repository / "changes").write_bytes(files[DIFF_FILE])
    git(repository, "apply", "changes")
    assert (repository / "train.py").read_text() == "two\n"


def test_what_is_staged_is_a_change_too_and_a_folder_below_tells_of_the_whole_repository(repository: Path) -> None:
    (repository / "train.py").write_text("staged\n")
    git(repository, "add", "train.py")
    (repository / "deep").mkdir()
    assert b"+staged" in describe_code(repository / "deep").diff


def test_without_changes_only_their_digest_is_told(repository: Path) -> None:
    (repository / "train.py").write_text("password = 'x'\n")
    (repository / "customer-list.csv").write_text("1\n")
    found, whole = describe_code(repository, keep_changes=False), describe_code(repository)
    assert found.files() == {}
    assert found.untracked == ()
    assert found.tags() == whole.tags()


def test_a_large_difference_is_cut_and_its_digest_is_of_all_of_it(repository: Path) -> None:
    for last in ("x", "y"):
        (repository / "train.py").write_text("line\n" * 500_000 + last)
        found = describe_code(repository)
        assert MAX_DIFF_BYTES < len(found.diff) < MAX_DIFF_BYTES + 300
        assert b"# cut: the first 1048576 of" in found.diff
    digests = {found.diff_digest, describe_code(repository, keep_changes=False).diff_digest}
    assert len(digests) == 1


def test_programs_that_a_repository_names_are_not_run(repository: Path) -> None:
    ran = repository.parent / f"{repository.name}-ran"
    program = repository / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    for name in ("diff.external", "diff.evil.textconv", "core.fsmonitor", "core.pager"):
        git(repository, "config", name, str(program))
    (repository / ".gitattributes").write_text("*.py diff=evil\n")
    (repository / "train.py").write_text("two\n")
    assert b"+two" in describe_code(repository).diff
    assert not ran.exists()


def test_outside_a_repository_and_before_a_commit_there_is_no_version(tmp_path: Path) -> None:
    assert describe_code(tmp_path).tags() == {}
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    found = describe_code(tmp_path)
    assert (found.tags(), found.files()) == ({}, {})


def test_without_git_there_is_no_version(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert describe_code(repository).tags() == {}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host:8443/a.git", "https://host:8443/a.git"),
        ("https://token@host/a.git", "https://host/a.git"),
        ("https://host/a.git", "https://host/a.git"),
        ("git@github.com:team/a.git", "git@github.com:team/a.git"),
        ("https://u:p@[::1]/a", "https://[::1]/a"),
        ("https://u:p@host:port/a", ""),
        ("/srv/git/a", "/srv/git/a"),
    ],
)
def test_urls_are_told_without_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
