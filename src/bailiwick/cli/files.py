"""Writing the files that a person names with `--out`."""

from __future__ import annotations

from pathlib import Path

from bailiwick.cli.output import say
from bailiwick.core.errors import InvalidInput


def is_output(path: Path) -> bool:
    """Whether the file that was named is standard output."""
    return str(path) == "-"


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; `-` is standard output.

    Raises InvalidInput when the folder is not there, Unavailable when it is full.
    """
    if is_output(path):
        say(text.rstrip("\n"))
        return
    if not path.parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: {path.parent} is not a folder.")
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")  # a device or a pipe
        return
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
