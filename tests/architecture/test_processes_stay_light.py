"""What each kind of process carries while it waits. How soon it is there and how much memory it takes is measured in
`benchmarks/startup.py`; what it must not load is said here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = {"lightgbm", "onnxmltools", "optuna", "pandas", "skl2onnx", "sklearn"}
COMPUTING = {"deltalake", "duckdb", "pyarrow", "scipy", "tensorflow_metadata"}
MODELS = {"onnx", "onnxruntime"}
RECORDS = {"alembic", "pydantic", "sqlalchemy", "starlette", "uvicorn"}

FORBIDDEN = {
    "control": TRAINING | COMPUTING | MODELS | {"graphql", "numpy"},
    "work": TRAINING | COMPUTING | MODELS | {"starlette", "uvicorn"},
    "serve": TRAINING | COMPUTING | RECORDS,
}
IMPORT = "from bailiwick.processes.child import load; load({kind!r})"
READY_CONTROL = """
from bailiwick.app import open_platform
from bailiwick.core.settings import load_settings
from bailiwick.server.asgi import create_app
create_app(open_platform(load_settings()))
"""
IDLE_WORK = """
from bailiwick.app import open_platform
from bailiwick.core.actor import system_actor
from bailiwick.core.settings import load_settings
from bailiwick.lifecycle.duties import Duties
from bailiwick.processes.runner import RunRunner
settings = load_settings()
settings.spool_root.mkdir(parents=True)
duties = Duties(open_platform(settings), system_actor(settings.workspace, "work"), RunRunner(settings))
duties.make_pass()
"""


def _loaded(code: str, home: Path) -> set[str]:
    """Top-level names of all modules that a fresh interpreter has loaded after `code`."""
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        env={"BAILIWICK_HOME": str(home)},
    ).stdout
    return {name.partition(".")[0] for name in json.loads(told.splitlines()[-1])}


@pytest.mark.parametrize("kind", sorted(FORBIDDEN))
def test_a_process_does_not_import_what_it_may_never_need(kind: str, tmp_path: Path) -> None:
    assert _loaded(IMPORT.format(kind=kind), tmp_path) & FORBIDDEN[kind] == set()


def test_the_control_plane_is_ready_without_anything_that_computes(tmp_path: Path) -> None:
    assert _loaded(READY_CONTROL, tmp_path) & FORBIDDEN["control"] == set()


def test_a_worker_that_finds_nothing_to_do_has_loaded_nothing_to_do_it_with(tmp_path: Path) -> None:
    assert _loaded(IDLE_WORK, tmp_path) & FORBIDDEN["work"] == set()


def test_the_supervisor_needs_nothing_of_what_it_supervises(tmp_path: Path) -> None:
    heavy = TRAINING | COMPUTING | MODELS | RECORDS | {"http", "numpy", "rich", "ssl"}
    assert _loaded("import bailiwick.cli.main, bailiwick.processes.supervisor", tmp_path) & heavy == set()


def test_a_deferred_module_is_loaded_at_its_first_use(tmp_path: Path) -> None:
    defer = "from bailiwick.core.deferred import deferred; xml = deferred('xml.etree.ElementTree')"
    assert "xml" not in _loaded(defer, tmp_path)
    assert "xml" in _loaded(
        f"{defer}; assert xml.fromstring('<a/>').tag == 'a'; assert 'fromstring' in vars(xml)", tmp_path
    )
