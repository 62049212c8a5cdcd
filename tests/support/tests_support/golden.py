"""Golden data from outside, kept beside the repository; absent in a plain clone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests_support.postgres import required

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "golden"


def golden(name: str) -> Any:
    """The JSON of a golden file; skips the test, or fails it where `golden` is required or `CI` is set, when it is absent."""
    path = FOLDER / name
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    if required("golden") or os.environ.get("CI"):
        pytest.fail(f"golden file {name} is required here and was not found")
    pytest.skip(f"golden file {name} is not here")
