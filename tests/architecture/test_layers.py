"""The floors: what may import what is written in `pyproject.toml`, and import-linter checks it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests_support.source import PACKAGE, ROOT

PYPROJECT = ROOT / "pyproject.toml"


def test_every_import_obeys_the_contracts() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--config", str(PYPROJECT)]
    checked = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    told = checked.stdout[checked.stdout.find("Contracts\n") :] + checked.stderr
    assert checked.returncode == 0, told


def test_every_domain_is_named_in_each_contract_that_lists_domains() -> None:
    text = PYPROJECT.read_text(encoding="utf-8")
    vendors = text[text.index('id = "vendors"') : text.index('id = "http"')]
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"adapters", "testing", "demo"}
    assert {name for name in packages if f'"bailiwick.{name}"' not in vendors} == set()
