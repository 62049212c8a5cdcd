"""The environment lock: what is installed, in lines that pip reads, the same digest for the same environment."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from bailiwick.core.canonical import sha256_hex
from bailiwick.tracking.provenance.lock import LOCK_FILE, LOCK_TAG, PYTHON_TAG, lock_here, lock_of, packages_of


def test_the_lock_names_every_distribution_with_its_version() -> None:
    found = lock_here()
    text = found.files()[LOCK_FILE].decode()
    assert text.startswith(f"# CPython {platform.python_version()}, {sys.platform}")
    assert f"\nnumpy=={version('numpy')}\n" in text
    assert found.tags() == {LOCK_TAG: sha256_hex(text.encode()), PYTHON_TAG: platform.python_version()}
    assert lock_here() == found


def test_another_interpreter_is_asked_for_what_is_installed_in_it(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    found = lock_of([str(tmp_path / "bare" / "bin" / "python")], tmp_path, {"PATH": os.environ["PATH"]})
    assert found is not None
    assert (found.python, found.lines) == (platform.python_version(), ())


def test_what_cannot_say_has_no_lock(tmp_path: Path) -> None:
    assert lock_of(["false"], tmp_path, os.environ) is None
    assert lock_of([str(tmp_path / "absent")], tmp_path, os.environ) is None
    assert lock_of(["echo", "no JSON"], tmp_path, os.environ) is None


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (None, "a-b==1.0"),
        (
            {"url": "https://u:secret@host/a.whl", "archive_info": {"hashes": {"sha256": "00ff"}}},
            "a-b @ https://host/a.whl --hash=sha256:00ff",
        ),
        (
            {"url": "https://host/a.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "a-b @ git+https://host/a.git@c0ffee",
        ),
        ({"url": "file:///src/a", "dir_info": {"editable": True}}, "# editable: a-b==1.0 from file:///src/a"),
        ({"url": "file:///src/a", "dir_info": {}}, "# from a folder: a-b==1.0 from file:///src/a"),
    ],
)
def test_a_distribution_from_no_index_is_told_by_where_it_came_from(
    tmp_path: Path, origin: dict[str, object] | None, line: str
) -> None:
    site = tmp_path / "A_b-1.0.dist-info"
    site.mkdir()
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: A_b\nVersion: 1.0\n")
    if origin is not None:
        (site / "direct_url.json").write_text(json.dumps(origin))
    found = lock_of([sys.executable], tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert found is not None
    assert line in found.lines
    assert packages_of(found.text)["a-b"] in line


def test_a_broken_distribution_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "broken-1.0.dist-info").mkdir()
    (tmp_path / "odd-2.0.dist-info").mkdir()
    (tmp_path / "odd-2.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 2.0\n")
    (tmp_path / "odd-2.0.dist-info" / "direct_url.json").write_text("{broken")
    found = lock_of([sys.executable], tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert found is not None
    assert "odd==2.0" in found.lines
    assert not any("broken" in line for line in found.lines)


def test_a_lock_is_read_back_with_its_interpreter() -> None:
    found = packages_of(lock_here().text)
    assert found["numpy"] == version("numpy")
    assert found["python"] == f"CPython {platform.python_version()}"
