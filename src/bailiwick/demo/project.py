"""Finds the example project, in a source tree or inside the installed package, and copies it."""

from __future__ import annotations

import shutil
from pathlib import Path

import bailiwick
from bailiwick.core.errors import AlreadyExists, NotFound
from bailiwick.pipelines.schema import schema_text

FILES = ("bailiwick.yaml", "flights.py", "prepare.py", "README.md")
SCHEMA = "bailiwick.schema.json"
"""By which editors complete and check the project file; it lies beside the copy, which may be anywhere."""


def example_folder() -> Path:
    """`examples/flights`: beside the sources, or within the wheel."""
    package = Path(bailiwick.__file__).parent
    for candidate in (package / "_examples" / "flights", package.parents[1] / "examples" / "flights"):
        if (candidate / "bailiwick.yaml").is_file():
            return candidate
    raise NotFound("The example project is not part of this installation.", hint="Reinstall bailiwick.")


def copy_project(directory: Path) -> None:
    """Copy the example into a new or empty folder, with the schema for editors. Raises AlreadyExists rather than write over anything."""
    if directory.exists() and any(directory.iterdir()):
        raise AlreadyExists(f"{directory} is not empty.", hint="Name a folder that does not exist yet.")
    directory.mkdir(parents=True, exist_ok=True)
    source = example_folder()
    for name in FILES:
        if (source / name).is_file():
            shutil.copy(source / name, directory / name)
    (directory / SCHEMA).write_text(schema_text(), encoding="utf-8")
    project = directory / "bailiwick.yaml"
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace(f"$schema=../../docs/reference/{SCHEMA}", f"$schema={SCHEMA}"), encoding="utf-8")
