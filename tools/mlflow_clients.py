#!/usr/bin/env python3
"""Make the environments of the MLflow clients that tests use: `.mlflow/2` and `.mlflow/3`, from their lock files.

They are not part of `.venv`: MLflow pins versions of packages that Bailiwick uses too, and a client runs on a machine
of its own anyway. Needs `.venv`, whose pip installs into them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".mlflow"


def make(major: str) -> None:
    """Make or renew one environment; nothing is done when its lock file has not changed."""
    lock, folder = ROOT / "requirements" / f"mlflow{major}.lock", HOME / major
    done = folder / "made-from.lock"
    if done.is_file() and done.read_bytes() == lock.read_bytes():
        return
    print(f"mlflow {major}: installing {lock.name} …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False)
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), *install], check=True)
    done.write_bytes(lock.read_bytes())


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ["2", "3"]:
        make(wanted)
