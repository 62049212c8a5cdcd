#!/usr/bin/env python3
"""Make the environment of the clients that tests talk to inference with: `.serving`, from its lock file.

Triton's and KServe's clients and schemathesis are not part of `.venv`: they pin versions of packages that Bailiwick uses
too, and a client runs on a machine of its own anyway. Needs `.venv`, whose pip installs into it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".serving"
LOCK = ROOT / "requirements" / "serving.lock"


def make() -> None:
    """Make or renew it; nothing is done when its lock file has not changed."""
    done = HOME / "made-from.lock"
    if done.is_file() and done.read_bytes() == LOCK.read_bytes():
        return
    print(f"clients of inference: installing {LOCK.name} …", flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    venv.create(HOME, with_pip=False)
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(LOCK)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(HOME / "bin" / "python"), *install], check=True)
    done.write_bytes(LOCK.read_bytes())


if __name__ == "__main__":
    make()
