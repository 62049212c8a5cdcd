#!/usr/bin/env python3
"""Make the environment of the clients that tests talk to inference with: `.serving`, from its lock file.

Triton's and KServe's clients and schemathesis are not part of `.venv`: they pin versions of packages that Bailiwick uses
too, and a client runs on a machine of its own anyway. Needs `.venv`, whose pip installs into it.
"""

from __future__ import annotations

from locked_environment import ROOT, make

if __name__ == "__main__":
    make("clients of inference", "serving", ROOT / ".serving")
