"""The libraries and the machine that a version was made with, as the registry keeps them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from bailiwick.core.canonical import digest_of

MAIN_PACKAGES = (
    "bailiwick",
    "catboost",
    "deltalake",
    "duckdb",
    "lightgbm",
    "numpy",
    "onnx",
    "onnxmltools",
    "onnxruntime",
    "optuna",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "xgboost",
)


@dataclass(frozen=True, slots=True)
class Environment:
    """`digest` covers the Python version and the packages. What its code was, and all that is installed, is told of its run."""

    python: str
    packages: Mapping[str, str]
    digest: str
    cpus: int
    platform: str

    def to_json(self) -> dict[str, object]:
        """A JSON object, as the registry keeps it."""
        return asdict(self)


def describe_environment(packages: Sequence[str] = MAIN_PACKAGES) -> Environment:
    """The environment of this process."""
    python = platform.python_version()
    installed = installed_versions(packages)
    return Environment(
        python=python,
        packages=installed,
        digest=digest_of({"python": python, "packages": installed}),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        platform=platform.platform(),
    )


def installed_versions(packages: Sequence[str]) -> dict[str, str]:
    """Version by distribution name, of those that are installed."""
    found: dict[str, str] = {}
    for name in sorted(packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
