"""Finds the example project, in a source tree or inside the installed package, and copies it."""

from __future__ import annotations

import shutil
from pathlib import Path

import bailiwick
from bailiwick.core.errors import AlreadyExists, NotFound

FILES = ("bailiwick.yaml", "flights.py", "prepare.py", "README.md")


def example_folder() -> Path:
    """`examples/flights`: beside the sources, or within the wheel."""
    package = Path(bailiwick.__file__).parent
    for candidate in (package / "_examples" / "flights", package.parents[1] / "examples" / "flights"):
        if (candidate / "bailiwick.yaml").is_file():
            return candidate
    raise NotFound("The example project is not part of this installation.", hint="Reinstall bailiwick.")


def copy_project(directory: Path) -> None:
    """Copy the example into a new or empty folder. Raises AlreadyExists rather than write over anything."""
    if directory.exists() and any(directory.iterdir()):
        raise AlreadyExists(f"{directory} is not empty.", hint="Name a folder that does not exist yet.")
    directory.mkdir(parents=True, exist_ok=True)
    source = example_folder()
    for name in FILES:
        if (source / name).is_file():
            shutil.copy(source / name, directory / name)
