"""The docs tell of everything there is: each setting, command, error code and decision; and their links lead somewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from bailiwick.core.settings import Settings
from tests_support.source import ROOT, modules

DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)")
PAGES = sorted(
    [*DOCS.rglob("*.md"), ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "README.md"]
)


def test_the_page_of_settings_is_generated_from_the_settings_as_they_are() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "tools" / "settings_page.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_page_of_the_native_api_is_generated_from_the_routes_as_they_are() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "tools" / "api_page.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_is_documented(name: str) -> None:
    page = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page
    assert f"`BAILIWICK_{name.upper()}`" in page


def test_every_decision_is_in_the_index_of_decisions() -> None:
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    missing = [path.name for path in sorted((DOCS / "decisions").glob("[0-9]*.md")) if f"({path.name})" not in index]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page: object) -> None:
    assert hasattr(page, "read_text")
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = [target for target in LINK.findall(text) if not (page.parent / target).exists()]  # type: ignore[attr-defined]
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path.name != "README.md"]
    missing = [page for page in pages if not page.startswith("decisions/") and f"({page})" not in index]
    assert missing == []


def test_every_how_to_says_how_to_verify_and_what_may_go_wrong() -> None:
    for page in sorted((DOCS / "how-to").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert "\n## Verify\n" in text, page.name
        assert "\n## Troubleshooting\n" in text, page.name


def test_every_error_code_is_documented() -> None:
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    codes = set()
    for path, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and (path.name == "errors.py"):
                codes |= {
                    ast.literal_eval(statement.value)
                    for statement in node.body
                    if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "code"
                }
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_every_decision_has_its_four_parts() -> None:
    for page in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        text = page.read_text(encoding="utf-8")
        for part in ("## Context", "## Decision", "## Consequences", "## Measured"):
            assert part in text, f"{page.name} lacks {part}"
