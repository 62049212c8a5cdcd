"""What monitoring holds live traffic against: how often each value of each input was there, counted in a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from bailiwick.data.profile import FeatureProfile, Profile, build_profile, count

MOST_BYTES = 64 << 20
"""Of one column's values that bins are chosen from; of more, every second, fourth or so is taken. Counts are of all."""


def profile_of(read: Callable[[Sequence[str]], Iterable[pa.Table]], columns: Sequence[str], *, rows: int) -> Profile:
    """The profile of `rows` rows that `read` streams, column after column; all that `build_profile` says of the whole table.

    Where a column's values are more than `MOST_BYTES`, its bins are those of evenly spaced rows.
    """
    features: list[FeatureProfile] = []
    for column in columns:
        kept, whole = spaced(read([column]), most_bytes=MOST_BYTES)
        found = build_profile(kept)
        if not whole:
            bins, found = found.empty(), found.empty()
            for part in read([column]):
                found = found.merge(count(bins, part))
        features.extend(found.features)
    return Profile(rows=rows, features=tuple(features))


def spaced(parts: Iterable[pa.Table], *, step: int = 1, most_bytes: int) -> tuple[pa.Table, bool]:
    """Every `step`-th row, or fewer, evenly still, where those are more than `most_bytes`; and whether that is every row."""
    kept: list[pa.Table] = []
    first, size = 0, 0
    for part in parts:
        kept.append(_every(part, step, first))
        first += part.num_rows
        size += kept[-1].nbytes
        while size > most_bytes and step < first:
            together = pa.concat_tables(kept)
            kept, step = [together.take(pa.array(range(0, together.num_rows, 2)))], step * 2
            size = kept[0].nbytes
    return pa.concat_tables(kept), step == 1


def _every(part: pa.Table, step: int, first: int) -> pa.Table:
    if step == 1:
        return part
    return part.take(pa.array(range(-first % step, part.num_rows, step), pa.int64()))
