"""Where models are run on this machine, from its settings."""

from __future__ import annotations

from bailiwick.core.settings import Settings
from bailiwick.pyfunc.interpreter import Interpreters
from bailiwick.pyfunc.process import Housing


def housing_of(settings: Settings) -> Housing:
    """What models may hold, and what must be out of their reach: the home, its database, its keys."""
    home = settings.home.resolve()
    protected = [home, home / "bailiwick.db", home / "keys", home / "blobs"]
    return Housing(tuple(protected), settings.models_memory_bytes, unconfined=settings.models_unconfined)


def interpreters_of(settings: Settings) -> Interpreters:
    """The Pythons that models may be run by. Raises InvalidInput for a `models_python` that is none."""
    return Interpreters(settings.home.resolve() / "models" / "environments", chosen=settings.models_python)
