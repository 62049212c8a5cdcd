"""Environments beside `.venv` that tests use: made from a lock file by the pip of `.venv`, and made again when that changes.

A lock file is whole, so pip looks for nothing beyond it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def make(what: str, lock_name: str, home: Path) -> None:
    """Make or renew the one in `home` from `requirements/<lock_name>.lock`; nothing is done when that has not changed.

    `what` is what a person is told that it is.
    """
    lock, done = ROOT / "requirements" / f"{lock_name}.lock", home / "made-from.lock"
    if done.is_file() and done.read_bytes() == lock.read_bytes():
        return
    print(f"{what}: installing {lock.name} …", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=False)
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "-r", str(lock)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), *install], check=True)
    done.write_bytes(lock.read_bytes())
