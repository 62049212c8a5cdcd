"""Commands in this process, for what they print, and homes with a history to try them on."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from bailiwick.cli.main import main
from tests_support.command import Command, Populated, Result
from tests_support.populated import populate


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Populated:
    home = tmp_path_factory.mktemp("populated") / "home"
    story = populate(home)
    story.platform.close()
    return Populated(home, story.ids)


@pytest.fixture
def populated(template: Populated, tmp_path: Path) -> Populated:
    """A copy that a test may change."""
    return Populated(Path(shutil.copytree(template.home, tmp_path / "home")), template.ids)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run a command here, in an empty folder and on a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("HOME", "TOKEN", "WORKSPACE"):  # set, so that what a command sets is taken back
        monkeypatch.setenv(f"BAILIWICK_{name}", "")
        monkeypatch.delenv(f"BAILIWICK_{name}")

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["bailiwick", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        finally:
            for name in ("HOME", "TOKEN", "WORKSPACE"):
                os.environ.pop(f"BAILIWICK_{name}", None)
        shown = capsys.readouterr()
        return Result(code, shown.out, shown.err)

    return run
