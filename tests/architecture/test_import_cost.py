"""The front door is light: what an import loads is counted; how long it takes is measured in `benchmarks/startup.py`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

HEAVY = {
    "deltalake", "duckdb", "lightgbm", "numpy", "onnx", "onnxmltools", "onnxruntime", "optuna", "pandas", "pyarrow",
    "pydantic", "scipy", "skl2onnx", "sklearn", "sqlalchemy", "starlette", "tensorflow_metadata", "uvicorn",
}  # fmt: skip
IMPORT_BUDGET_MS = 150


def _loaded(code: str) -> set[str]:
    """Top-level names of the modules that `code` loads in a fresh interpreter, beyond those it starts with."""
    program = f"import sys; before = set(sys.modules)\n{code}\nimport json; print(json.dumps(sorted(set(sys.modules) - before)))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in json.loads(told.splitlines()[-1])}


def test_importing_the_package_loads_nothing_of_others() -> None:
    others = {name for name in _loaded("import bailiwick") if name not in sys.stdlib_module_names}
    assert others == {"bailiwick"}


def test_importing_the_package_takes_no_time() -> None:
    program = "import time; t = time.perf_counter(); import bailiwick; print((time.perf_counter() - t) * 1000)"
    runs = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    assert statistics.median(runs) <= IMPORT_BUDGET_MS


def test_asking_for_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, io, contextlib\n"
        "sys.argv = ['bailiwick', '--help']\n"
        "from bailiwick.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main()"
    )
    assert _loaded(code) & HEAVY == set()


def test_core_needs_neither_database_nor_arrow() -> None:
    code = "import bailiwick.core.settings, bailiwick.core.errors, bailiwick.core.actor, bailiwick.core.canonical"
    assert _loaded(code) & HEAVY == set()
