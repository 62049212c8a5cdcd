"""Profiles of sources that may be larger than memory: bins from one pass over the reference, counts batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from bailiwick.core.errors import InvalidInput
from bailiwick.data.profile import (
    FeatureProfile,
    Profile,
    count,
    kind_of,
    profile_of_numbers,
    profile_of_texts,
    profiled,
)
from bailiwick.data.sources import Source
from bailiwick.data.statistics.columns import ColumnPart
from bailiwick.data.statistics.streaming import count_source, group_rows
from bailiwick.data.statistics.texts import Texts


def profile_sources(before: Source, after: Source, columns: Sequence[str] | None = None) -> tuple[Profile, Profile]:
    """Profiles of both in the bins of the first: of the columns that both have, or of those named.

    The reference is read again only where a column has so many different values that its bins come from an estimate.
    Raises InvalidInput for a column that one of them lacks, or that has no profile.
    """
    there = set(after.schema.names)
    shared = [name for name in before.schema.names if name in there]
    for name in columns or ():
        if name not in shared:
            raise InvalidInput.choice("Column of both sources", name, shared)
    chosen = profiled(before.schema, columns) if columns else profiled(pa.schema(map(before.schema.field, shared)))
    if not chosen:
        return Profile(0, ()), Profile(0, ())
    found = count_source(before, chosen)
    parts = [found.columns[name] for name in chosen]
    kinds = [before.schema.field(name).type for name in chosen]
    reference = Profile(found.rows, tuple(map(_of_part, chosen, kinds, parts)))
    if not all(part.exact for part in parts):
        reference = count_batches(reference, before)
    return reference, count_batches(reference, after)


def count_batches(profile: Profile, source: Source) -> Profile:
    """A source counted into the bins of a profile, in constant memory."""
    total = profile.empty()
    for rows in _grouped(source, [feature.name for feature in profile.features]):
        total = total.merge(count(profile, rows))
    return total


def _of_part(name: str, kind: pa.DataType, part: ColumnPart) -> FeatureProfile:
    if kind_of(kind) == "numeric":
        return profile_of_numbers(name, part.numbers, missing=part.missing)
    texts = part.texts
    if pa.types.is_boolean(kind):
        words = pa.array(["true" if value else "false" for value in part.numbers.values])
        texts = Texts(words, part.numbers.counts, total=part.present)
    return profile_of_texts(name, texts, missing=part.missing)


def _grouped(source: Source, columns: list[str]) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    rows, most = 0, group_rows(len(columns))
    for batch in source.coded():
        table = pa.Table.from_batches([batch]).select(columns)
        if held and table.schema != held[0].schema:  # one file has dictionaries and another has none
            yield pa.concat_tables(held)
            held, rows = [], 0
        held.append(table)
        rows += batch.num_rows
        if rows >= most:
            yield pa.concat_tables(held)
            held, rows = [], 0
    if held:
        yield pa.concat_tables(held)
