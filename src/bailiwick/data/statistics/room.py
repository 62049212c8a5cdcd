"""How much may be kept of rows that go by, shared out among columns and slices, of which there may be many."""

from __future__ import annotations

from dataclasses import dataclass

_VALUES, _LEAST_VALUES = 1 << 22, 1 << 9
_PAIRS, _MOST_PAIRS, _LEAST_PAIRS = 1 << 21, 1 << 18, 1 << 8


@dataclass(slots=True)
class Room:
    """`columns` that are looked at and the `slices` that were met so far; both make what is there for each one less."""

    columns: int = 1
    slices: int = 1

    @property
    def values(self) -> int:
        """Different values of one column."""
        return max(_VALUES // max(self.columns * self.slices, 16), _LEAST_VALUES)

    @property
    def pairs(self) -> int:
        """Entries of one column's table that the interpreter keeps, which are larger."""
        return max(min(_PAIRS // max(self.columns * self.slices, 1), _MOST_PAIRS), _LEAST_PAIRS)
