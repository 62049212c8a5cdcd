"""A child gets its parent's settings through its environment, so that flags given once hold for all processes."""

from __future__ import annotations

import os

from bailiwick.core.settings import Settings


def as_environment(settings: Settings) -> dict[str, str]:
    """This process's environment with `BAILIWICK_*` set to exactly these settings."""
    chosen = {f"BAILIWICK_{name.upper()}": str(getattr(settings, name)) for name in Settings.__dataclass_fields__}
    chosen["BAILIWICK_HOME"] = str(settings.home.resolve())
    return {**os.environ, **chosen}
