#!/usr/bin/env python3
"""Write `docs/reference/settings.md` from the fields of `Settings`; with `--check`, only say whether it is up to date."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

from bailiwick.core.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"
HEAD = """# Settings

Generated from `bailiwick.core.settings` by `make docs`; edit the descriptions there.

A setting comes from its default, then the environment, then a flag of the command; the later one wins. A value that
cannot be used stops the command with the variable, the value and the choices.

| setting | environment variable | default | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = []
    for field in fields(Settings):
        default = "(empty)" if field.default == "" else f"`{field.default}`"
        meaning = field.metadata["doc"].replace("|", "\\|")
        rows.append(f"| `{field.name}` | `BAILIWICK_{field.name.upper()}` | {default} | {meaning} |\n")
    return HEAD + "".join(rows)


def main() -> None:
    """Write or check."""
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/reference/settings.md is out of date: run `make docs`.")


if __name__ == "__main__":
    main()
