#!/usr/bin/env python3
"""Make the environments of the emulated warehouses that tests use: `.warehouses/bigquery` and `.warehouses/snowflake`, each with
the vendor's own client, from their lock files.

They are not part of `.venv`: emulators want versions of their own, and only these tests need them. Needs `.venv`, whose pip
installs into them.
"""

from __future__ import annotations

from locked_environment import ROOT, make

if __name__ == "__main__":
    for name in ("bigquery", "snowflake"):
        make("Warehouses", name, ROOT / ".warehouses" / name)
