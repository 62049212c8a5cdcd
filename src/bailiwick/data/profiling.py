"""Profiles of sources that may be larger than memory: bins from one pass over the reference, counts batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from bailiwick.core.errors import InvalidInput
from bailiwick.data.profile import (
    FeatureProfile,
    NumericProfile,
    Profile,
    count,
    kind_of,
    profile_of_numbers,
    profile_of_texts,
    profiled,
    tally_numbers,
    tally_texts,
)
from bailiwick.data.sources import Source
from bailiwick.data.statistics.columns import ColumnPart
from bailiwick.data.statistics.merging import Part
from bailiwick.data.statistics.streaming import count_source, grouped
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
    reference = profile_of_part(found, {name: before.schema.field(name).type for name in chosen})
    if not all(found.columns[name].exact for name in chosen):
        reference = count_batches(reference, before)
    return reference, count_batches(reference, after)


def count_batches(profile: Profile, source: Source) -> Profile:
    """A source counted into the bins of a profile, in constant memory."""
    total = profile.empty()
    for rows in grouped(source, [feature.name for feature in profile.features]):
        total = total.merge(count(profile, rows))
    return total


def profile_of_part(counted: Part, kinds: Mapping[str, pa.DataType]) -> Profile:
    """Bins chosen of what was counted of columns of these types, with what fell into them: exactly where that is exact."""
    return Profile(counted.rows, tuple(_of_part(name, kind, counted.columns[name]) for name, kind in kinds.items()))


def tally_part(reference: Profile, counted: Part, kinds: Mapping[str, pa.DataType]) -> Profile:
    """What was counted put into the bins of a profile."""
    features = tuple(
        _tallied(feature, kinds[feature.name], counted.columns[feature.name]) for feature in reference.features
    )
    return Profile(counted.rows, features)


def _of_part(name: str, kind: pa.DataType, part: ColumnPart) -> FeatureProfile:
    if kind_of(kind) == "numeric":
        return profile_of_numbers(name, part.numbers, missing=part.missing)
    return profile_of_texts(name, _texts_of(kind, part), missing=part.missing)


def _tallied(feature: FeatureProfile, kind: pa.DataType, part: ColumnPart) -> FeatureProfile:
    if isinstance(feature, NumericProfile):
        return tally_numbers(feature, part.numbers, missing=part.missing)
    return tally_texts(feature, _texts_of(kind, part), missing=part.missing)


def _texts_of(kind: pa.DataType, part: ColumnPart) -> Texts:
    if not pa.types.is_boolean(kind):
        return part.texts
    words = pa.array(["true" if value else "false" for value in part.numbers.values], pa.string())
    return Texts(words, part.numbers.counts, total=part.present)
