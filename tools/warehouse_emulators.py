#!/usr/bin/env python3
"""Make the environments of the emulated warehouses that tests use: `.warehouses/bigquery` and `.warehouses/snowflake`, each with
the vendor's own client, from their lock files.

They are not part of `.venv`: emulators want versions of their own, and only these tests need them. Needs `.venv`, whose pip
installs into them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("bigquery", "snowflake")


def make(name: str) -> None:
    """Make or renew one; nothing is done when its lock file has not changed."""
    lock, home = ROOT / "requirements" / f"{name}.lock", ROOT / ".warehouses" / name
    done = home / "made-from.lock"
    if done.is_file() and done.read_bytes() == lock.read_bytes():
        return
    print(f"Warehouses: installing {lock.name} …", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=False)
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), *install], check=True)
    done.write_bytes(lock.read_bytes())


if __name__ == "__main__":
    for each in NAMES:
        make(each)
