"""A pytest plugin for MLflow's own tests of its scoring server, loaded into the Python that runs them.

Where those tests start `mlflow models serve`, it starts `mlflow_scoring_suite.py serve` instead. It needs MLflow and nothing
of Bailiwick. A model that was saved without a signature is given one, as its library knows it: without one nothing here is
served.
"""

from __future__ import annotations

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


def pytest_runtest_logreport(report: Any) -> None:
    """A line for each test that has ended: how, and its name."""
    if report.when == "call" or report.outcome != "passed":
        with Path(os.environ["BAILIWICK_SUITE_REPORT"]).open("a") as file:
            file.write(f"{report.outcome} {report.nodeid.partition('::')[2]}\n")


def _line(uri: str, port: str) -> list[str]:
    return [os.environ["BAILIWICK_SUITE_PYTHON"], str(TOOL), "serve", str(_signed(uri)), port, sys.executable]


def _signed(uri: str) -> Path:
    """A copy of the model's files, with a signature."""
    import mlflow

    folder = Path(tempfile.mkdtemp(prefix="scored-")) / "model"
    found = mlflow.artifacts.download_artifacts(uri) if ":/" in uri else uri
    shutil.copytree(found, folder)
    model = mlflow.models.Model.load(str(folder))
    if model.signature is None:
        inputs = _inputs(model.flavors, str(folder))
        if inputs is not None:
            model.signature = mlflow.models.ModelSignature(inputs=inputs)
            model.save(str(folder / "MLmodel"))
    return folder


def _inputs(flavors: dict[str, Any], folder: str) -> Any:
    """What a scikit-learn estimator or a Keras model says that it takes."""
    import mlflow
    import numpy as np
    from mlflow.types import Schema, TensorSpec

    if "sklearn" in flavors:
        width = mlflow.sklearn.load_model(folder).n_features_in_
        return Schema([TensorSpec(np.dtype("float64"), (-1, width))])
    if "tensorflow" in flavors:
        tensors = mlflow.tensorflow.load_model(folder).inputs
        return Schema([TensorSpec(np.dtype(each.dtype), (-1, *each.shape[1:]), each.name) for each in tensors])
    return None
