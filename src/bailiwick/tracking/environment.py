"""Facts about the code and the machine of a run: what someone needs to run it again, found without being told."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bailiwick.core.canonical import digest_of
from bailiwick.tracking.provenance.code import git

ENVIRONMENT_TAG = "bailiwick.environment"

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
    """`git_commit` is "" outside a git work tree or without git; `digest` covers the Python version and the packages.

    `git_dirty` means tracked files differ from the commit; files that git does not track are not looked at.
    """

    git_commit: str
    git_dirty: bool
    python: str
    packages: Mapping[str, str]
    digest: str
    cpus: int
    platform: str

    def to_json(self) -> dict[str, object]:
        """A JSON object, as the registry keeps it."""
        return asdict(self)

    def tags(self) -> dict[str, str]:
        """Tags for a run; those of its code come with the code."""
        return {ENVIRONMENT_TAG: self.digest}


def describe_environment(folder: Path | None = None, *, packages: Sequence[str] = MAIN_PACKAGES) -> Environment:
    """The environment of this process, and of the code in `folder` (the working directory by default)."""
    where = folder or Path.cwd()
    commit = git(where, "rev-parse", "HEAD")
    dirty = bool(commit and git(where, "status", "--porcelain", "--untracked-files=no"))
    python = platform.python_version()
    installed = installed_versions(packages)
    return Environment(
        git_commit=commit,
        git_dirty=dirty,
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
