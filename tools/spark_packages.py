#!/usr/bin/env python3
"""Put pyspark, which tests of the Spark engine use, into `.spark/site`, from its lock file.

It is not part of `.venv`: it is half a gigabyte, and only these tests need it. They append the folder to the path of
`.venv`'s Python. Needs `.venv`, whose pip installs, and Java 17 or later to run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".spark"
LOCK = ROOT / "requirements" / "spark.lock"


def make() -> None:
    """Make or renew it; nothing is done when its lock file has not changed."""
    done = HOME / "made-from.lock"
    if done.is_file() and done.read_bytes() == LOCK.read_bytes():
        return
    print(f"Spark: installing {LOCK.name} …", flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    install = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", str(LOCK)]
    subprocess.run([sys.executable, "-m", "pip", *install, "--target", str(HOME / "site")], check=True)
    done.write_bytes(LOCK.read_bytes())


if __name__ == "__main__":
    make()
