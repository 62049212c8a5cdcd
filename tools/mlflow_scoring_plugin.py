"""A pytest plugin for MLflow's own tests of its scoring server, loaded into the Python that runs them.

Where those tests start `mlflow models serve`, it starts `mlflow_scoring_suite.py serve` instead. It needs MLflow and nothing
of Bailiwick. Models are served as the tests save them, which is mostly without a signature.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TOOL = Path(__file__).resolve().parent / "mlflow_scoring_suite.py"


def pytest_configure(config: Any) -> None:
    """Put ours in the place of MLflow's server, in both ways that the tests start it."""
    del config
    sys.path.insert(0, str(Path.cwd()))
    import mlflow.sklearn
    from mlflow.pyfunc.backend import PyFuncBackend
    from tests import helper_functions

    # As skops, which is the default, MLflow itself refuses to save the tests' nearest neighbours by the newest scikit-learn.
    mlflow.sklearn._get_default_serialization_format = lambda: "cloudpickle"  # noqa: SLF001
    started = helper_functions._start_scoring_proc  # noqa: SLF001 - MLflow offers no other place

    def start(cmd: list[str], env: dict[str, str], **streams: Any) -> Any:
        return started(_line(cmd[cmd.index("-m", 3) + 1], cmd[cmd.index("-p") + 1]), env, **streams)

    def serve(self: Any, model_uri: str, port: int, **options: Any) -> Any:
        del self, options
        return subprocess.Popen(_line(model_uri, str(port)))

    helper_functions._start_scoring_proc = start  # noqa: SLF001
    PyFuncBackend.serve = serve
    with contextlib.suppress(ImportError):  # MLflow before 2026 has no such module: every test starts a server
        from tests.pyfunc import utils

        utils.score_model_in_process = helper_functions.pyfunc_serve_and_score_model
    _send_parquet(helper_functions.RestEndpoint)


def _send_parquet(endpoint: Any) -> None:
    """The helper for servers sends tables as JSON and CSV only, and a test wants Parquet."""
    import requests

    otherwise = endpoint.invoke

    def invoke(self: Any, data: Any, content_type: str) -> Any:
        if "parquet" not in content_type:
            return otherwise(self, data, content_type)
        url = f"http://localhost:{self._port}/invocations"
        return requests.post(url, data.to_parquet(), headers={"Content-Type": content_type}, timeout=60)

    endpoint.invoke = invoke


def pytest_collection_finish(session: Any) -> None:
    """Classes of the tests travel with what is pickled: where models are served, the checkout is not."""
    import cloudpickle

    for module in {item.module for item in session.items}:
        cloudpickle.register_pickle_by_value(module)


def pytest_runtest_logreport(report: Any) -> None:
    """A line for each test that has ended: how, and its name."""
    if report.when == "call" or report.outcome != "passed":
        with Path(os.environ["BAILIWICK_SUITE_REPORT"]).open("a") as file:
            file.write(f"{report.outcome} {report.nodeid.partition('::')[2]}\n")


def _line(uri: str, port: str) -> list[str]:
    return [os.environ["BAILIWICK_SUITE_PYTHON"], str(TOOL), "serve", str(_files(uri)), port, sys.executable]


def _files(uri: str) -> Path:
    """A copy of the model's files."""
    import mlflow

    folder = Path(tempfile.mkdtemp(prefix="scored-")) / "model"
    shutil.copytree(mlflow.artifacts.download_artifacts(uri) if ":/" in uri else uri, folder)
    return folder
