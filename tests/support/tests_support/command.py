"""Commands as processes of their own, and the tree of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main

from bailiwick.cli.main import app

Command = Callable[..., "Result"]


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Populated:
    """A home with a history; `ids` names its records."""

    home: Path
    ids: dict[str, str]


def process(*arguments: object, folder: Path, before: str = "", **variables: str) -> Result:
    """Run a command as a process; `before` is shell code run ahead of it in the same shell."""
    environment = {**os.environ, "COLUMNS": "80", **variables}
    line = [sys.executable, "-m", "bailiwick", *map(str, arguments)]
    if before:
        line = ["bash", "-c", f'{before}\nexec "$@"', "bash", *line]
    ended = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return Result(ended.returncode, ended.stdout, ended.stderr)


def leaves() -> dict[tuple[str, ...], Any]:
    """Every command, by the words that call it."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(group: Any, words: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                walk(command, (*words, name))
            else:
                found[(*words, name)] = command

    walk(typer.main.get_command(app), ())
    return found
