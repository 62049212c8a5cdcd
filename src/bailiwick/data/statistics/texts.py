"""How often each text occurs: the state that statistics of text and bytes are merged by.

Exact up to a limit of different values. Past it the most frequent are kept (Misra and Gries 1982, merged as in Agarwal
et al. 2012): no count is too high, none too low by more than `error`. How many values are different is then
estimated from the smallest hashes (Bar-Yossef et al. 2002), to a standard error of 0.8 %. Totals are always exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from bailiwick.core.deferred import deferred
from bailiwick.data.plain_arrays import mask, no_values, numbers_of, places, truths_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np, pa, pc = deferred("numpy"), deferred("pyarrow"), deferred("pyarrow.compute")

_MOST_DISTINCT, _MOST_OF_ALL, _LEAST = 1 << 18, 1 << 22, 1 << 12
_BYTES_OF_ALL, _LEAST_BYTES = 256 << 20, 1 << 20
_LEAST_IN_SLICES, _LEAST_BYTES_IN_SLICES = 1 << 8, 1 << 14
_HASHES = 1 << 14
_AT_ONCE = 1 << 15
_WORTH_HASHING, _LOOKED_AT = 1 << 15, 1 << 12
_ODD, _MIX_ONE, _MIX_TWO = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

LONGEST_RANKED, LONG_TEXTS = 1024, "__LARGE_BYTES__"
"""Bytes of a text that is ranked by itself, and what all longer ones are called together."""

Counted: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Hashes: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many different values of a column are kept apart, and how many bytes they may have together."""

    values: int
    size: int

    @staticmethod
    def of(columns: int) -> Limits:
        """A quarter of a million values, fewer where there are more than 16 columns."""
        columns = max(columns, 1)
        values = max(min(_MOST_DISTINCT, _MOST_OF_ALL // columns), min(_LEAST, _MOST_DISTINCT))
        return Limits(values, max(_BYTES_OF_ALL // columns, _LEAST_BYTES))

    @staticmethod
    def of_slices(columns: int) -> Limits:
        """The same of columns within slices, of which there may be many."""
        values = max(min(_MOST_DISTINCT, _MOST_OF_ALL // max(columns, 1)), _LEAST_IN_SLICES)
        return Limits(values, max(_BYTES_OF_ALL // max(columns, 1), _LEAST_BYTES_IN_SLICES))


@dataclass(frozen=True, slots=True)
class Texts:
    """Different values with their counts; `total` values of `size` bytes in all; `hashes` once values are left out."""

    values: pa.Array = field(default_factory=lambda: no_values(pa.string()))
    counts: Counted = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    total: int = 0
    size: int = 0
    error: int = 0
    hashes: Hashes | None = None

    @staticmethod
    def of(values: pa.ChunkedArray, *, apart: bool = True) -> Texts:
        """Counts of a column of text or bytes, plain or dictionary-coded; nulls are left out.

        Without `apart` values that occur rarely may be left out at once, as they are where there are too many.
        """
        if values.null_count == len(values):
            return Texts()
        if pa.types.is_dictionary(values.type):
            return Texts.merge_all([_coded(chunk) for chunk in values.chunks if chunk.null_count < len(chunk)])
        if not apart and len(values) > _WORTH_HASHING and _are_different(values):
            return _frequent(values.drop_null())
        counted = values.value_counts()
        different, counts = counted.field(0), numbers_of(counted.field(1))
        if values.null_count:
            there = different.is_valid()
            different, counts = different.filter(there), counts[truths_of(there)]
        found = _counted(different, counts)
        if apart or found.kept <= _LEAST:
            return found
        few, counts, least = _most_frequent(different, counts, Limits(2 * _LEAST, _BYTES_OF_ALL))
        return Texts(few, counts, found.total, found.size, least, _hashes(different))

    @staticmethod
    def merge_all(parts: Sequence[Texts], limits: Limits | None = None) -> Texts:
        """Counts of all; everything is kept where there are no limits."""
        values, counts = _joined([part for part in parts if len(part.values)])
        error = sum(part.error for part in parts)
        hashes = None
        over = limits is not None and (len(values) > limits.values or values.nbytes > limits.size)
        if over or any(part.hashes is not None for part in parts):
            hashes = _least([_hashes(part.values) if part.hashes is None else part.hashes for part in parts])
        if limits is not None and over:
            values, counts, least = _most_frequent(values, counts, limits)
            error += least
        return Texts(values, counts, sum(part.total for part in parts), sum(part.size for part in parts), error, hashes)

    def merge(self, other: Texts, limits: Limits | None = None) -> Texts:
        """Counts of both."""
        return Texts.merge_all((self, other), limits)

    @property
    def kept(self) -> int:
        """How many values are kept apart."""
        return len(self.values)

    @property
    def exact(self) -> bool:
        """Whether every value is counted."""
        return self.hashes is None

    @property
    def unique(self) -> int:
        """How many different values there are."""
        if self.hashes is None or len(self.hashes) < _HASHES:
            return self.kept if self.hashes is None else len(self.hashes)
        return round((_HASHES - 1) / (float(self.hashes[-1]) / 2**64))

    @property
    def unique_error(self) -> float:
        """The standard error of `unique`, as a share of it."""
        estimated = self.hashes is not None and len(self.hashes) >= _HASHES
        return float((_HASHES - 2) ** -0.5) if estimated else 0.0

    def shortened(self) -> Texts:
        """The same with all long texts as one, `__LARGE_BYTES__`, as TFDV ranks them; how many are different is lost."""
        long = (numbers_of(pc.binary_length(self.values)) > LONGEST_RANKED) & (self.counts > 0)
        if not long.any():
            return self
        many = pa.array([LONG_TEXTS], self.values.type)
        parts = [
            Texts(self.values.filter(mask(~long)), self.counts[~long]),
            Texts(many, np.array([self.counts[long].sum()])),
        ]
        return Texts.merge_all([part for part in parts if part.kept])

    def ranked(self, most: int) -> list[tuple[Any, int]]:
        """The most frequent values, of equally frequent ones the later in order first, as TFDV ranks them."""
        values, counts = self.values, self.counts
        if len(counts) > most:  # all that may be among them, those tied with the last too
            least = np.partition(counts, -most)[-most]
            chosen = np.flatnonzero(counts >= least)
            values, counts = values.take(places(chosen)), counts[chosen]
        pairs = zip(counts.tolist(), values.to_pylist(), strict=True)
        return [(value, count) for count, value in sorted(pairs, reverse=True)[:most]]


def _are_different(values: pa.ChunkedArray) -> bool:
    """Whether most values are, going by the first of them."""
    some = values.slice(0, _LOOKED_AT)
    return bool(pc.count_distinct(some).as_py() > _LOOKED_AT // 2)


def _frequent(values: pa.ChunkedArray) -> Texts:
    """Counts of frequent values only, of values that hardly repeat: found by their hashes, which is faster than a table.

    Left out is what shares the first bits of its hash with so few that it cannot be more than one in 2^14 itself.
    """
    hashes = np.concatenate([_hashed(piece) for piece in _pieces(values)])
    buckets = (hashes >> np.uint64(46)).astype(np.int64)
    most = len(values) >> 14
    full = np.bincount(buckets, minlength=1 << 18) > most
    often = values.filter(mask(full[buckets]))
    found = Texts.of(often) if len(often) else Texts()
    size = int(pc.sum(pc.binary_length(values)).as_py())
    few, counts, least = _most_frequent(found.values, found.counts, Limits(2 * _LEAST, _BYTES_OF_ALL))
    return Texts(few, counts, len(values), size, max(most, least), _least([hashes]))


def _pieces(values: pa.ChunkedArray) -> Iterator[pa.Array]:
    for chunk in values.chunks:
        for start in range(0, len(chunk), _AT_ONCE):
            yield chunk.slice(start, _AT_ONCE)


def _counted(values: pa.Array, counts: Counted) -> Texts:
    size = int((numbers_of(pc.binary_length(values)).astype(np.int64) * counts).sum())
    return Texts(values, counts, int(counts.sum()), size)


def _coded(values: pa.DictionaryArray) -> Texts:
    """Counts by code; a dictionary may hold values that do not occur, and one value twice, but no null."""
    codes = values.indices.drop_null() if values.indices.null_count else values.indices
    table = np.bincount(numbers_of(codes), minlength=len(values.dictionary))
    found = np.flatnonzero(table)
    different = values.dictionary
    if len(found) < len(different):
        different = different.take(places(found))
    if different.type != pa.string():
        different = different.cast(pa.string())
    if pc.count_distinct(different).as_py() < len(different):
        return Texts.of(pa.chunked_array([values.cast(different.type)]))
    return _counted(different, table[found])


def _joined(parts: Sequence[Texts]) -> tuple[pa.Array, Counted]:
    if not parts:
        return Texts().values, Texts().counts
    if len(parts) == 1:
        return parts[0].values, parts[0].counts
    weights = np.concatenate([part.counts for part in parts])
    coded = pa.chunked_array([part.values for part in parts]).combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().chunk(0)
    sums = np.zeros(len(coded.dictionary), dtype=np.int64)
    np.add.at(sums, numbers_of(coded.indices), weights)
    return coded.dictionary, sums


def _most_frequent(values: pa.Array, counts: Counted, limits: Limits) -> tuple[pa.Array, Counted, int]:
    """The most frequent half of what is allowed, each counted less by the count of the first that is left out."""
    fitting = len(values) * limits.size // max(values.nbytes, 1)
    most = max(min(limits.values, fitting) // 2, 1)
    least = int(np.partition(counts, -most - 1)[-most - 1]) if len(counts) > most else 0
    chosen = np.flatnonzero(counts > least)
    return values.take(places(chosen)), counts[chosen] - least, least


def _least(found: Sequence[Hashes]) -> Hashes:
    """The smallest different ones. Equal hashes are hardly ever of different values."""
    joined = np.concatenate(found)
    if len(joined) > 4 * _HASHES:
        least = np.unique(np.partition(joined, 2 * _HASHES)[: 2 * _HASHES])
        if len(least) >= _HASHES:
            return least[:_HASHES]
    return np.unique(joined)[:_HASHES]


def _hashes(values: pa.Array) -> Hashes:
    """64 bits of each value, the same on every machine; of a long array the smallest only."""
    found = [_hashed(piece) for piece in _pieces(pa.chunked_array([values]))]
    return _least(found) if found else np.empty(0, dtype=np.uint64)


@cache
def _masks() -> Hashes:
    """By how many bytes are left, those of a word that count."""
    return np.array([(1 << 8 * left) - 1 for left in range(9)], dtype=np.uint64)


def _hashed(values: pa.Array) -> Hashes:
    """Eight bytes at a time: mixed in, multiplied, folded; at the end as SplitMix64 does."""
    _, offsets_buffer, data = values.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    starts, lengths = offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64)
    first, size = int(offsets[0]), int(offsets[-1] - offsets[0])
    octets = np.zeros(size + 8, dtype=np.uint8)
    octets[:size] = np.frombuffer(data, dtype=np.uint8)[first : first + size] if size else 0
    words = np.ndarray((size + 1,), dtype="<u8", buffer=octets, strides=(1,))  # one begins at each byte
    starts -= first
    mixed = lengths.astype(np.uint64) * np.uint64(_ODD)
    longer = np.arange(len(values))
    for done in range(0, int(lengths.max(initial=0)), 8):
        if done:
            longer = longer[lengths[longer] > done]
        everyone = len(longer) == len(values)
        left = lengths - done if everyone else lengths[longer] - done
        word = words[starts + done if everyone else starts[longer] + done] & _masks()[np.minimum(left, 8)]
        folded = ((mixed if everyone else mixed[longer]) ^ word) * np.uint64(_MIX_ONE)
        folded ^= folded >> np.uint64(32)
        if everyone:
            mixed = folded
        else:
            mixed[longer] = folded
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX_TWO)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
