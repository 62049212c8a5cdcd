#!/usr/bin/env python3
"""Make the environments of the MLflow clients that tests use: `.mlflow/2` and `.mlflow/3`, from their lock files.

They are not part of `.venv`: MLflow pins versions of packages that Bailiwick uses too, and a client runs on a machine
of its own anyway. Needs `.venv`, whose pip installs into them.
"""

from __future__ import annotations

import sys

from locked_environment import ROOT, make

if __name__ == "__main__":
    for major in sys.argv[1:] or ["2", "3"]:
        make(f"mlflow {major}", f"mlflow{major}", ROOT / ".mlflow" / major)
