"""Which variant a unit gets: flagd's `fractional` algorithm, so any OpenFeature provider can recompute it.

murmur3_x86_32 (seed 0) of the UTF-8 bytes of salt + unit, scaled to basis points without modulo bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import mmh3
import numpy as np

from bailiwick.endpoints.model import BASIS_POINTS, Endpoint


def bucket(salt: str, unit: str) -> int:
    """The unit's place in [0, 10000): (hash · 10000) >> 32."""
    return (mmh3.hash((salt + unit).encode("utf-8", "surrogatepass"), 0, False) * BASIS_POINTS) >> 32


def choose(endpoint: Endpoint, unit: str) -> int:
    """Index into `endpoint.variants`."""
    place = bucket(endpoint.salt, unit)
    reached = 0
    for index, variant in enumerate(endpoint.variants):
        reached += variant.weight
        if place < reached:
            return index
    raise AssertionError(f"weights of {endpoint.name} sum to {reached}, not {BASIS_POINTS}")


def choose_many(endpoint: Endpoint, units: Sequence[str]) -> np.ndarray:
    """Indices into `endpoint.variants` for many units, uint8; equal to `choose` of each."""
    salt = endpoint.salt.encode()
    hashes = [mmh3.hash(salt + unit.encode("utf-8", "surrogatepass"), 0, False) for unit in units]
    places = (np.array(hashes, dtype=np.uint64) * np.uint64(BASIS_POINTS)) >> np.uint64(32)
    return np.searchsorted(_bounds(endpoint), places, side="right").astype(np.uint8)


@lru_cache(maxsize=256)
def _bounds(endpoint: Endpoint) -> np.ndarray:
    return np.cumsum([variant.weight for variant in endpoint.variants]).astype(np.uint64)
