"""Columns as statistics see them, whatever an engine calls their types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What values of a column are to statistics, whatever the engine calls their type."""

    WHOLE = "whole"
    NUMBER = "number"
    BOOLEAN = "boolean"
    MOMENT = "moment"
    TEXT = "text"
    BINARY = "binary"
    STRUCT = "struct"

    @property
    def numeric(self) -> bool:
        """Whether values are told as numbers: moments are UTC milliseconds, booleans 0 and 1."""
        return self in {Kind.WHOLE, Kind.NUMBER, Kind.BOOLEAN, Kind.MOMENT}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, `depth` lists deep (0: one value a row); `native` is the engine's word for the type of its values."""

    name: str
    kind: Kind
    depth: int = 0
    native: str = ""
