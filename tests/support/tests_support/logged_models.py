"""Folders as MLflow writes them, made without MLflow: what a logged model is, is its files."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.pyfunc.archive import Manifest, files_of, manifest_format, write_archive
from bailiwick.pyfunc.mlmodel import Column
from bailiwick.registry.model import ModelVersion

TYPES = {"f": "double", "i": "long", "O": "string", "b": "boolean", "U": "string"}


def signature(rows: Mapping[str, Any]) -> str:
    """MLflow's signature of columns."""
    columns = [
        {"type": TYPES[np.asarray(values).dtype.kind], "name": name, "required": True} for name, values in rows.items()
    ]
    return json.dumps(columns)


def write(
    folder: Path, flavours: Mapping[str, Any], inputs: str | None, example: Mapping[str, Any] | None = None
) -> Path:
    """`MLmodel` and the input example; the flavour's own files are the caller's."""
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"flavors": dict(flavours), "mlflow_version": "3.17.2"}
    if inputs is not None:
        document["signature"] = {"inputs": inputs, "outputs": None, "params": None}
    if example:
        document["saved_input_example_info"] = {"artifact_path": "input_example.json", "type": "dataframe"}
        listed = [list(np.asarray(values).tolist()) for values in example.values()]
        rows = {"columns": list(example), "data": [list(row) for row in zip(*listed, strict=True)]}
        (folder / "input_example.json").write_text(json.dumps(rows))
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    (folder / "requirements.txt").write_text("scikit-learn\n")
    return folder


def sklearn_model(folder: Path, estimator: Any, rows: Mapping[str, Any], function: str = "predict") -> Path:
    """A scikit-learn model, pickled."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pkl").write_bytes(pickle.dumps(estimator))
    flavours = {
        "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl", "predict_fn": function},
        "sklearn": {"pickled_model": "model.pkl", "serialization_format": "pickle"},
    }
    return write(folder, flavours, signature(rows), {name: values[:20] for name, values in rows.items()})


class Hostile:
    """Runs code when it is unpickled, and is `made` then."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.code,)


def made_of(code: str) -> Hostile:
    """Pickled, it becomes an instance of the class `Model` that the code defines; so no module needs to be anywhere."""
    return _Made(f"(lambda names: (exec({code!r}, names), names['Model']())[1])({{}})")


class _Made(Hostile):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (self.code,)


def python_package(
    target: Path,
    code: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    params: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """A package of a Python model whose class `Model` is in the code; inputs and outputs are datatypes by name."""
    signature = {
        "inputs": [{"name": name, "datatype": kind, "shape": [-1, 1]} for name, kind in inputs.items()],
        "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in outputs.items()],
        "params": list(params),
    }
    return _package(target, code, signature, [Column(name, kind) for name, kind in inputs.items()])


def document_package(target: Path, code: str, *, example: str = "") -> Path:
    """A package of a model of which nothing says what it takes, whose class `Model` is in the code."""
    signature = {
        "inputs": [{"name": "request", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "response", "datatype": "BYTES", "shape": [-1]}],
        "documents": True,
    }
    return _package(target, code, signature, [], example=example)


def _package(
    target: Path, code: str, signature: Mapping[str, Any], columns: Sequence[Column], *, example: str = ""
) -> Path:
    folder = target.with_suffix(".model")
    folder.mkdir(parents=True)
    (folder / "model.pkl").write_bytes(pickle.dumps(made_of(code)))
    manifest = Manifest(
        format=manifest_format(signature),
        signature=dict(signature),
        flavours={"sklearn": {"pickled_model": "model.pkl"}},
        inputs=tuple(column.described() for column in columns),
        tensors=False,
        environment="",
        python="",
        files=files_of(folder),
        example=example,
    )
    with target.open("wb") as file:
        write_archive(file, folder, manifest)
    return target


def register(platform: Platform, actor: Actor, name: str, folder: Path) -> ModelVersion:
    """Keep the files as artifacts of a run, and make them a version."""
    experiment = platform.tracking.create_experiment(actor, f"of {name}")
    run = platform.tracking.create_run(actor, experiment.id)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            place = platform.artifacts.locate(
                actor.workspace, f"{run.artifact_uri}/model", path.relative_to(folder).as_posix()
            )
            platform.artifacts.put(actor, place, [path.read_bytes()])
    platform.registry.create_model(actor, name)
    return platform.registry.create_version(actor, name, source=f"{run.artifact_uri}/model", run_id=run.id)
