"""What a source is asked for, and what every reader of one file gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from bailiwick.core.errors import InvalidInput

NULLS = ("", "NA", "N/A", "NULL", "null", "NaN", "nan")
"""What an unquoted CSV cell says when it says nothing; the same in quotes is text."""

FORMATS = ("csv", "jsonl", "parquet", "arrow", "delta")
BATCH_ROWS = 65_536
_TYPES = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read a source, where its name does not say it.

    `format` overrules the file's ending; `query` is the SQL of a database; `version` a Delta version; `types` maps
    columns to `integer`, `number`, `text`, `boolean`, `date`, `timestamp`. The rest is the dialect of CSV: `encoding`
    is any codec of Python's, also for JSON lines; `names` are the columns of a file without a header.
    """

    format: str = ""
    query: str = ""
    version: int | None = None
    delimiter: str = ""
    quote: str = '"'
    escape: str = ""
    decimal: str = "."
    encoding: str = "utf-8"
    skip: int = 0
    names: tuple[str, ...] = ()
    nulls: tuple[str, ...] = NULLS
    types: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format and self.format not in FORMATS:
            raise InvalidInput.choice("Source format", self.format, FORMATS)
        for what in ("delimiter", "quote", "escape", "decimal"):
            if len(getattr(self, what)) > 1:
                raise InvalidInput(f"The {what} of CSV is one character, not {getattr(self, what)!r}.")

    def arrow_types(self) -> dict[str, pa.DataType]:
        """`types` in Arrow's words. Raises InvalidInput for one that is not known."""
        for name, kind in self.types.items():
            if kind not in _TYPES:
                raise InvalidInput.choice(f"Type of column {name!r}", kind, _TYPES)
        return {name: _TYPES[kind] for name, kind in self.types.items()}


@dataclass(frozen=True, slots=True)
class FileMark:
    """A file that was read: `digest` is `sha256:…` of its bytes, or `etag:…` where an object store vouches for them."""

    name: str
    size: int
    digest: str


class Allowance:
    """Memory that the readers of one source share, for rows that they would otherwise read twice."""

    def __init__(self, size: int = 256 << 20) -> None:
        self._left = size

    def take(self, size: int) -> bool:
        """Whether there was so much left, which is taken then."""
        enough = size <= self._left
        self._left -= size if enough else 0
        return enough

    def give_back(self, size: int) -> None:
        """What was taken is needed no longer."""
        self._left += size


class Reader(Protocol):
    """One file, table or query. Both methods may be called again, and then read again."""

    name: str

    def schema(self) -> pa.Schema:
        """Names and types, settled by all of the rows. May read everything once. Raises InvalidInput."""

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows in order, `columns` of them, as nearly of `schema`'s types as reading can make them."""


def one_of_each(names: Sequence[str], where: str) -> None:
    """Raises InvalidInput where a column is named twice or not at all."""
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise InvalidInput(f"{where} names a column twice: {', '.join(repeated)}.", hint="Rename one of them.")
