"""Third-party modules that a process may never need are loaded at their first use, not when it starts.

A module that computes (Arrow, DuckDB, Delta) is imported by services whose records a process only lists. It says

    if TYPE_CHECKING:
        import pyarrow as pa
    else:
        pa = deferred("pyarrow")

and nothing else changes, for the reader or for the type checker. Packages of our own are always imported plainly.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


def deferred(name: str) -> ModuleType:
    """The module `name`, imported when an attribute is first asked for; safe between threads."""
    return _Deferred(name)


class _Deferred(ModuleType):
    def __getattr__(self, attribute: str) -> Any:
        value = getattr(import_module(self.__name__), attribute)
        self.__dict__[attribute] = value  # the next look finds it without coming here
        return value
