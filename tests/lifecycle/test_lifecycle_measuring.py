"""Files in a plain store are read beside the other duties, and show as pending until they were."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.duties import Duties
from bailiwick.lifecycle.measuring import measure
from bailiwick.lifecycle.platform import Platform
from bailiwick.testing.clock import FakeClock

MLMODEL = b"flavors: {sklearn: {sklearn_version: 1.5.0}}\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", artifacts_destination=str(tmp_path / "files"))


@pytest.fixture
def plain(settings: Settings, sqlite_template: Path, clock: FakeClock) -> Iterator[Platform]:
    settings.home.mkdir(parents=True)
    (settings.home / "bailiwick.db").write_bytes(sqlite_template.read_bytes())
    opened = open_platform(settings, clock)
    yield opened
    opened.close()


def _register(platform: Platform, admin: Actor, name: str = "late") -> None:
    run = platform.tracking.start_run(admin, "e")
    platform.artifacts.put(admin, platform.artifacts.locate("default", run.artifact_uri, "model/MLmodel"), [MLMODEL])
    platform.registry.create_model(admin, name)
    platform.registry.create_version(admin, name, source=f"runs:/{run.id}/model", run_id=run.id)


class _NoRunner:
    busy = False

    def execute(self, run_id: str) -> None:
        raise AssertionError(run_id)


def test_a_pass_of_the_duties_reads_what_is_pending(plain: Platform, admin: Actor) -> None:
    _register(plain, admin)
    assert plain.registry.version("default", "late", 1).content_state == "pending"
    duties = Duties(plain, admin, _NoRunner())
    deadline = time.monotonic() + 30
    while plain.registry.unread() and time.monotonic() < deadline:
        assert duties.make_pass().troubles == ()
        time.sleep(0.05)
    measured = plain.registry.version("default", "late", 1)
    assert (measured.content_state, measured.flavors, measured.size_bytes) == (
        "known",
        {"sklearn": "1.5.0"},
        len(MLMODEL),
    )
    (entry,) = plain.journal.entries("default", limit=5, action="version.measured")
    assert (entry.resource, entry.identity) == ("version/late/1", "system:registry")
    assert entry.detail["digest"] == measured.digest


def test_one_that_is_gone_holds_up_no_other(plain: Platform, admin: Actor) -> None:
    for name in ("gone", "late"):
        _register(plain, admin, name)
    unread = plain.registry.unread()
    plain.registry.rename_model(admin, "gone", "elsewhere")
    assert measure(plain, unread) == ["late version 1: its files are known"]
    assert measure(plain, unread) == ["late version 1: its files are known"]
    assert len(plain.journal.entries("default", limit=5, action="version.measured")) == 1
