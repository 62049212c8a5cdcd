"""A platform on an empty home, and a small project whose pipeline takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bailiwick.app import open_platform
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.testing.clock import FakeClock
from tests_support import postgres
from tests_support.fraud_project import CODE, PROJECT, rows
from tests_support.rows_there import TABLE, There


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project's folder, with ten days of data."""
    project = tmp_path / "fraud"
    (project / "data").mkdir(parents=True)
    (project / "bailiwick.yaml").write_text(PROJECT, encoding="utf-8")
    (project / "fraud.py").write_text(CODE, encoding="utf-8")
    pq.write_table(rows(), project / "data" / "first.parquet")
    return project


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings on an empty home."""
    return Settings(home=tmp_path / "home")


@pytest.fixture
def platform(settings: Settings, sqlite_template: Path, clock: FakeClock) -> Iterator[Platform]:
    """All services on an empty home."""
    settings.home.mkdir(parents=True)
    (settings.home / "bailiwick.db").write_bytes(sqlite_template.read_bytes())
    opened = open_platform(settings, clock)
    yield opened
    opened.close()


@pytest.fixture(params=["duckdb", "postgresql"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[There]:
    """Rows of the fraud project on an engine."""
    source = '"' + TABLE.replace('"', '""') + '"'
    if request.param == "duckdb":
        made = There("duckdb", f"duckdb:///{tmp_path / 'fraud.duckdb'}", source)
        made.put(rows())
        yield made
        return
    with postgres.passing_database() as url:
        made = There("postgresql", url, source)
        made.put(rows())
        yield made
