#!/usr/bin/env python3
"""Make the environment of the S3 server (moto) that tests of artifacts use: `.s3`, from its lock file.

It is not part of `.venv`: it is large, and only these tests need it. Needs `.venv`, whose pip installs into it.
"""

from __future__ import annotations

from locked_environment import ROOT, make

if __name__ == "__main__":
    make("S3 server", "s3", ROOT / ".s3")
