"""Story: a version that our own pipeline made, a package and nothing else, as the folder that MLflow's clients load.

The files follow from the package (and the environment that its version records), so they are made when they are asked for
and kept nowhere. `model.onnx` is the package itself, byte for byte, and the flavour `onnx` is no more than that. As a Python
function it is loaded by a few lines of our own that come along as its code: MLflow's own loader feeds ONNX one-dimensional
columns, and a package takes columns of shape [rows, 1].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bailiwick.core.errors import NotFound
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion

MLMODEL, PACKAGE = "MLmodel", "model.onnx"
CODE, LOADER = "code", "bailiwick_package"
REQUIREMENTS, VIRTUALENV, CONDA = "requirements.txt", "python_env.yaml", "conda.yaml"
LOADER_SOURCE = Path(__file__).with_name("packaged_loader.py")
LIBRARIES = ("onnx", "onnxruntime", "numpy")
RUNTIME = ("mlflow", "onnx", "onnxruntime", "numpy", "pandas")
_WORDS = {"FP32": "double", "FP64": "double", "BYTES": "string", "BOOL": "boolean", "INT64": "long", "INT32": "integer"}
_TENSORS = {"FP32": "float32", "FP64": "float64", "BYTES": "str", "BOOL": "bool", "INT64": "int64", "INT32": "int32"}


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file of the folder; `read` gives its bytes in pieces."""

    path: str
    size_bytes: int
    read: Callable[[], Iterable[bytes]]


def packaged_files(platform: Platform, workspace: str, package: str) -> list[PackagedFile]:
    """Every file of the folder of a package, by path. Raises NotFound unless a version of the workspace has that package."""
    version = _version(platform, workspace, package)
    made = {path: make() for path, make in _makers(version).items()}
    files = [PackagedFile(path, len(data), lambda data=data: [data]) for path, data in made.items()]  # type: ignore[misc]
    files.append(PackagedFile(PACKAGE, platform.blobs.size(package), lambda: platform.blobs.stream(package)))
    return sorted(files, key=lambda file: file.path)


def packaged_file(platform: Platform, workspace: str, package: str, path: str) -> PackagedFile:
    """One file of the folder, without making the others. Raises NotFound."""
    version = _version(platform, workspace, package)
    if path == PACKAGE:
        return PackagedFile(PACKAGE, platform.blobs.size(package), lambda: platform.blobs.stream(package))
    make = _makers(version).get(path)
    if make is None:
        raise NotFound.of("File", path, [PACKAGE, *_makers(version)])
    data = make()
    return PackagedFile(path, len(data), lambda: [data])


def _version(platform: Platform, workspace: str, package: str) -> ModelVersion:
    holding = [
        each
        for each in platform.registry.versions_of_package(workspace, package)
        if each.deleted is None and each.purged is None
    ]
    if not holding:
        raise NotFound(f"No version has the package {package[:64]!r}.")
    holding = [each for each in holding if each.runtime == "onnx"]
    if not holding:
        raise NotFound(
            f"The package {package[:64]!r} is not ONNX, so there is no ONNX file for MLflow's clients to load.",
            hint="Call it through its endpoint.",
        )
    return min(holding, key=lambda each: (each.created, each.model, each.number))


def _makers(version: ModelVersion) -> Mapping[str, Callable[[], bytes]]:
    return {
        f"{CODE}/{LOADER}.py": LOADER_SOURCE.read_bytes,
        MLMODEL: lambda: _json(_mlmodel(version)),
        REQUIREMENTS: lambda: "".join(f"{each}\n" for each in _requirements(version)).encode(),
        VIRTUALENV: lambda: _json({**_python(version), "dependencies": ["-r requirements.txt"]}),
        CONDA: lambda: _json(_conda(version)),
    }


def _mlmodel(version: ModelVersion) -> dict[str, Any]:
    packages = version.environment.get("packages")
    libraries = packages if isinstance(packages, Mapping) else {}
    python = version.environment.get("python")
    signature = {
        "inputs": json.dumps([_column(each) for each in version.signature.get("inputs", ())]),
        "outputs": json.dumps([_tensor(each) for each in version.signature.get("outputs", ())]),
        "params": None,
    }
    graph = {"data": PACKAGE, "onnx_version": str(libraries.get("onnx", "")), "providers": ["CPUExecutionProvider"]}
    loader = {
        "code": CODE,
        "data": PACKAGE,
        "env": {"conda": CONDA, "virtualenv": VIRTUALENV},
        "loader_module": LOADER,
        **({"python_version": str(python)} if python else {}),
    }
    return {
        "artifact_path": "model",
        "flavors": {"onnx": {"code": None, **graph}, "python_function": loader},
        "metadata": {"bailiwick.package": version.package},
        "model_uuid": version.package[:32],
        "run_id": version.run_id,
        "signature": signature,
    }


def _column(tensor: Mapping[str, Any]) -> dict[str, Any]:
    """Double rather than float: MLflow refuses to narrow the numbers of a data frame, and the loader does."""
    return {
        "type": _WORDS.get(str(tensor.get("datatype")), "string"),
        "name": str(tensor.get("name", "")),
        "required": True,
    }


def _tensor(tensor: Mapping[str, Any]) -> dict[str, Any]:
    described = {
        "dtype": _TENSORS.get(str(tensor.get("datatype")), "float32"),
        "shape": list(tensor.get("shape") or [-1]),
    }
    return {"type": "tensor", "tensor-spec": described, "name": str(tensor.get("name", ""))}


def _requirements(version: ModelVersion) -> list[str]:
    """What loading takes, pinned to what the version was made with where that is known."""
    packages = version.environment.get("packages")
    known = packages if isinstance(packages, Mapping) else {}
    return [f"{name}=={known[name]}" if known.get(name) and name in LIBRARIES else name for name in RUNTIME]


def _python(version: ModelVersion) -> dict[str, Any]:
    python = version.environment.get("python")
    return {"python": str(python)} if python else {}


def _conda(version: ModelVersion) -> dict[str, Any]:
    python = version.environment.get("python")
    base = [f"python={python}"] if python else ["python"]
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [*base, "pip", {"pip": _requirements(version)}],
    }


def _json(tree: Mapping[str, Any]) -> bytes:
    """JSON is YAML, and has one form for one content."""
    return (json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
