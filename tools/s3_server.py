#!/usr/bin/env python3
"""Make the environment of the S3 server (moto) that tests of artifacts use: `.s3`, from its lock file.

It is not part of `.venv`: it is large, and only these tests need it. Needs `.venv`, whose pip installs into it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".s3"
LOCK = ROOT / "requirements" / "s3.lock"


def make() -> None:
    """Make or renew it; nothing is done when its lock file has not changed."""
    done = HOME / "made-from.lock"
    if done.is_file() and done.read_bytes() == LOCK.read_bytes():
        return
    print(f"S3 server: installing {LOCK.name} …", flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    venv.create(HOME, with_pip=False)
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(LOCK)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(HOME / "bin" / "python"), *install], check=True)
    done.write_bytes(LOCK.read_bytes())


if __name__ == "__main__":
    make()
