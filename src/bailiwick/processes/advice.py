"""What was measured of the versions that are served here, said to whoever starts workers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bailiwick.endpoints.model import RouteTable


def worker_advice(routes: Path, workers: int | None = None) -> list[str]:
    """A line for each version that was measured best with another number of workers than these, or with any where none
    is given.

    By the route table that was last in force on this machine; nothing where there is none, or none that can be read.
    """
    try:
        table = msgspec.json.decode(routes.read_bytes(), type=RouteTable)
    except (OSError, msgspec.DecodeError):
        return []
    here = "" if workers is None else f", and there {'is' if workers == 1 else 'are'} {workers}"
    return [
        f"{endpoint.name}: version {variant.version} was measured best with {variant.setting.workers} workers{here}"
        f" (BAILIWICK_SERVE_WORKERS={variant.setting.workers})"
        for endpoint in table.endpoints
        for variant in endpoint.variants
        if variant.weight and variant.setting.workers not in {0, workers}
    ]
