#!/usr/bin/env python3
"""Make the emulator of Azure's blobs (azurite, by npm) that tests of artifacts use where it is: `.azure`.

It is not needed: `make test` leaves Azure out where it is not there, unless BAILIWICK_TEST_REQUIRE names `azure`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent / ".azure"
AZURITE = "azurite@3.37.0"


def make() -> None:
    """`.azure/node_modules/.bin/azurite-blob`."""
    npm = shutil.which("npm") or sys.exit("npm is not installed.")
    HOME.mkdir(exist_ok=True)
    print(f"Azure: installing {AZURITE} …", flush=True)
    options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(HOME)]
    subprocess.run([npm, "install", *options, AZURITE], check=True)


if __name__ == "__main__":
    make()
