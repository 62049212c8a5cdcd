"""Checks where they are asked for: of the project file, of a source or a snapshot, with references to either."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.checks.model import (
    Check,
    Condition,
    Duplicates,
    Freshness,
    Held,
    Monotonic,
    Others,
    References,
    SourceAge,
    Unique,
    Volume,
)
from bailiwick.pipelines.project import Project

if TYPE_CHECKING:
    import pyarrow as pa

    from bailiwick.data import sources
    from bailiwick.data.model import Snapshot
    from bailiwick.data.reading import places
    from bailiwick.data.service import DataService
    from bailiwick.data.sources import SourceOptions
else:
    pa, sources = deferred("pyarrow"), deferred("bailiwick.data.sources")
    places = deferred("bailiwick.data.reading.places")

_SNAPSHOT = re.compile(r"[a-z0-9][a-z0-9_.\-]*@[^/\\]+|[0-9a-f]{4,64}")


Words = Callable[[str], "tuple[DataService, Snapshot]"]
"""Says which snapshot a word names, with the service that reads it. Raises NotFound, InvalidInput."""


def names_snapshot(word: str, base: Path) -> bool:
    """Whether a word is meant as a snapshot (`DATASET@NAME`, an id, a digest) rather than as a source."""
    return bool(_SNAPSHOT.fullmatch(word)) and not (base / word).exists()


def last_written(source: str, base: Path) -> int | None:
    """When the newest file of a source was written, in UTC milliseconds; None of what is not made of files."""
    try:
        return max(place.written() for place in places.places(source, base))
    except InvalidInput:  # a database, or the folder of a Delta table
        return None


def held_source(word: str, base: Path, *, now: int, options: SourceOptions | None = None) -> Held:
    """A source as it is now. Raises InvalidInput, Unavailable."""
    opened = sources.open_source(word, base, options=options)
    written = max((place.written() for place in opened.files), default=None)
    return Held(tuple(opened.schema.names), _source_reader(word, base, options), now, written)


def held_snapshot(
    data: DataService,
    snapshot: Snapshot,
    *,
    now: int | None = None,
    written: int | None = None,
    previous_rows: int | None = None,
    until: int | None = None,
) -> Held:
    """A snapshot, which was taken when it was kept unless `now` says otherwise."""

    def read(columns: list[str]) -> pa.RecordBatchReader:
        return data.reader(snapshot.workspace, snapshot.id, columns)

    names = tuple(name for name, _ in snapshot.columns)
    return Held(names, read, snapshot.created if now is None else now, written, previous_rows, until)


def other_sources(base: Path, find: Words) -> Others:
    """What references lead to: snapshots by name, else sources relative to `base`."""

    def read(word: str, columns: list[str]) -> pa.RecordBatchReader:
        if names_snapshot(word, base):
            data, snapshot = find(word)
            return data.reader(snapshot.workspace, snapshot.id, columns)
        return _source_reader(word, base, None)(columns)

    return read


def declared_checks(project: Project) -> list[Check]:
    """What `data.checks` of the project file asks, in a fixed order."""
    asked, found = project.data.checks, list[Check]()
    if asked.volume is not None:
        one = asked.volume
        found.append(
            Volume(least=one.least, most=one.most, of_previous=one.of_previous, severity=_severity(one.severity))
        )
    if asked.freshness is not None:
        column = asked.freshness.column or project.data.time
        severity = _severity(asked.freshness.severity)
        found.append(Freshness(column=column, max_age_ms=asked.freshness.max_age_ms, severity=severity))
    if asked.source_age is not None:
        severity = _severity(asked.source_age.severity)
        found.append(SourceAge(max_age_ms=asked.source_age.max_age_ms, severity=severity))
    if asked.duplicates is not None:
        again = asked.duplicates
        found.append(Duplicates(columns=again.columns, allowed=again.allowed, severity=_severity(again.severity)))
    found += [Unique(columns=each.columns, severity=_severity(each.severity)) for each in asked.unique]
    found += [
        References(columns=each.columns, source=each.source, of=each.of, severity=_severity(each.severity))
        for each in asked.references
    ]
    found += [
        Monotonic(column=each.column, within=each.within, strictly=each.strictly, severity=_severity(each.severity))
        for each in asked.monotonic
    ]
    found += [
        Condition(expression=each.holds, title=each.name, severity=_severity(each.severity)) for each in asked.sql
    ]
    return found


def parse_checks(
    *,
    conditions: Sequence[str] = (),
    unique: list[str],
    duplicates: list[str],
    references: list[str],
    fresh: list[str],
    rows: str,
    source_age: str,
    order: list[str],
    duration: Callable[[object], int],
) -> list[Check]:
    """Checks in the short notation of commands. Raises InvalidInput showing the notation."""
    found: list[Check] = []
    if rows:
        least, dots, most = rows.partition("..")
        if not dots or not all(side.isdigit() or not side for side in (least, most)) or least == most == "":
            raise InvalidInput(f"--rows is LEAST..MOST, not {rows!r}.", hint="E.g. 1000.. or 1000..2000")
        found.append(Volume(least=int(least) if least else None, most=int(most) if most else None))
    for text in fresh:
        column, _, age = text.rpartition("=")
        if not column:
            raise InvalidInput(f"--fresh is COLUMN=AGE, not {text!r}.", hint="E.g. departure=2d")
        found.append(Freshness(column=column, max_age_ms=_duration(age, duration)))
    if source_age:
        found.append(SourceAge(max_age_ms=_duration(source_age, duration)))
    found += [Duplicates(columns=() if text == "*" else _listed(text)) for text in duplicates]
    found += [Unique(columns=_listed(text)) for text in unique]
    for text in references:
        mine, _, there = text.partition("=")
        source, _, theirs = there.rpartition(":")
        if not (mine and source and theirs):
            raise InvalidInput(
                f"--references is COLUMN=SOURCE:COLUMN, not {text!r}.", hint="E.g. carrier=carriers.csv:code"
            )
        found.append(References(columns=_listed(mine), source=source, of=_listed(theirs)))
    for text in order:
        column, _, within = text.partition("/")
        found.append(Monotonic(column=column, within=_listed(within) if within else ()))
    found += [Condition(expression=text) for text in conditions]
    return found


def _source_reader(word: str, base: Path, options: SourceOptions | None) -> Callable[[list[str]], pa.RecordBatchReader]:
    def read(columns: list[str]) -> pa.RecordBatchReader:
        opened = sources.open_source(word, base, columns=columns, options=options)
        return pa.RecordBatchReader.from_batches(opened.schema, iter(opened))

    return read


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _duration(text: str, parse: Callable[[object], int]) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def _severity(word: str) -> str:
    return word.upper()
