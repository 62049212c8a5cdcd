"""Finds the user's fit function, freshly each time, so that a long-lived worker sees edited code."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import InvalidInput
from bailiwick.training.model import Fit


def load_fit(entrypoint: str, folder: Path) -> Fit:
    """The fit function that `module:function` names. See `load_function`."""
    return cast("Fit", load_function(entrypoint, folder))


def load_function(entrypoint: str, folder: Path) -> Callable[..., Any]:
    """The function that `module:function` names, with `folder` (where the project file is) first on the import path."""
    module_name, _, function_name = entrypoint.partition(":")
    if not module_name or not function_name:
        raise InvalidInput(
            f"Entry point {entrypoint!r} is not of the form `module:function`.", hint="For example `flights:fit`."
        )
    module = _load_module(module_name, folder)
    function = getattr(module, function_name, None)
    if not callable(function):
        functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise InvalidInput.choice(f"Entry point {entrypoint!r}: function", function_name, functions)
    found: Callable[..., Any] = function
    return found


def own_modules(folder: Path) -> list[ModuleType]:
    """Modules of the project that are loaded now: what is pickled elsewhere must not count on finding them."""
    own = folder.resolve()
    files = [(module, getattr(module, "__file__", None)) for module in list(sys.modules.values())]
    return [module for module, file in files if file and Path(file).is_relative_to(own) and not _of_environment(module)]


def source_digest(entrypoint: str, folder: Path) -> str:
    """SHA-256 of the entry point's own file: what a cached training step must be redone for when it changes."""
    return sha256_hex(_source(entrypoint.partition(":")[0], folder).read_bytes())


def _load_module(name: str, folder: Path) -> ModuleType:
    _source(name, folder)
    _put_first(folder.resolve())
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InvalidInput(
            f"Entry point module {name!r} in {folder} cannot be imported: {error}.",
            hint="Install what it needs in this environment.",
        ) from error


def _source(name: str, folder: Path) -> Path:
    path = folder.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise InvalidInput.choice(f"Entry point module in {folder}", name, [found.stem for found in folder.glob("*.py")])


def _put_first(folder: Path) -> None:
    """Import from this folder first, from now on, and forget what modules of these names were before.

    Edited code is read again, and two projects may use the same names; modules of the environment are never forgotten.
    """
    sys.path[:] = [str(folder), *(path for path in sys.path if path != str(folder))]
    importlib.invalidate_caches()
    own = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in own and not _of_environment(module):
            del sys.modules[name]


def _of_environment(module: ModuleType) -> bool:
    """Of the standard library or an installed package, or without a file: built in, or running as a script."""
    file = getattr(module, "__file__", None)
    paths = sysconfig.get_paths()
    return not file or any(Path(file).is_relative_to(paths[kind]) for kind in ("stdlib", "purelib", "platlib"))
