#!/usr/bin/env python3
"""Resolve `requirements/*.lock` anew: `make lock`. Needs uv, which the development environment has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).parent / "uv"
COMMON = [
    "--generate-hashes",
    "--universal",
    "--python-version=3.11",
    "--no-emit-index-url",
    "--no-annotate",
    "--no-header",
    "--quiet",
    "--upgrade",
]
MLFLOW_ALONE = [
    "--override=requirements/mlflow3.overrides",
    "--no-emit-package=mlflow-skinny",
    "--no-emit-package=mlflow-tracing",
]
"""MLflow's wheel holds those two as well, and is released before them."""
RUNTIME = ["pyproject.toml", "requirements/build.in", "--extra=demo", "--extra=postgres"]


def compile_lock(name: str, *arguments: str) -> None:
    """Write `requirements/<name>.lock`."""
    output = f"requirements/{name}.lock"
    subprocess.run([str(UV), "pip", "compile", *arguments, *COMMON, "--output-file", output], cwd=ROOT, check=True)
    packages = (ROOT / output).read_text(encoding="utf-8").count("==")
    print(f"{output}: {packages} pinned packages")


if __name__ == "__main__":
    compile_lock("demo", *RUNTIME)
    compile_lock("dev", *RUNTIME, "--group=dev", "--constraint=requirements/demo.lock")
    compile_lock("s3", "requirements/s3.in")
    compile_lock("serving", "requirements/serving.in")
    compile_lock("spark", "requirements/spark.in")
    compile_lock("spark35", "requirements/spark35.in")
    compile_lock("bigquery", "requirements/bigquery.in")
    compile_lock("snowflake", "requirements/snowflake.in")
    compile_lock("pip", "requirements/pip.in")
    compile_lock("mlflow2", "requirements/mlflow2.in")
    compile_lock("mlflow3", "requirements/mlflow3.in", *MLFLOW_ALONE)
