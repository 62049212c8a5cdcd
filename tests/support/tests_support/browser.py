"""A real browser for tests of pages: the system's Chromium or playwright's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests_support.postgres import required

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def opened_browser() -> Iterator[Browser]:
    """One browser for a fixture to yield; skips the test, or fails it where a browser is required."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _missing("playwright is not installed")
    with sync_playwright() as play:
        found = [shutil.which("chromium"), shutil.which("google-chrome"), play.chromium.executable_path]
        path = next((each for each in found if each and Path(each).exists()), None)
        if path is None:
            _missing("Chromium is not installed")
        opened = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


def _missing(what: str) -> NoReturn:
    if required("browser"):
        pytest.fail(f"A browser is required here: {what}")
    pytest.skip(what)
