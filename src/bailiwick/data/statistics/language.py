"""Statistics of texts as sequences of tokens: TFDV's `nl_statistics`, for features with a natural-language domain.

A list of text or whole numbers is a sequence of tokens, as TFDV has it; plain text is cut into words at white space, which
is ours. TFDV's `reported_sequences` are left out: they are whole texts of people, which statistics should not hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import is_list, storable
from bailiwick.data.statistics.compute import NUM_BUCKETS, NUM_RANK_BUCKETS, quantile_histogram

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np, pa = deferred("numpy"), deferred("pyarrow")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")

Piece: TypeAlias = "str | int"


@dataclass(slots=True)
class _Occurrences:
    """Where one token was found."""

    total: int = 0
    sequences: int = 0
    least: int | None = None
    most: int = 0
    positions: Counter[int] = field(default_factory=Counter)

    def add(self, sequence: Sequence[Piece], token: Piece) -> None:
        """Look for the token in one sequence."""
        places = [place for place, other in enumerate(sequence) if other == token]
        self.total += len(places)
        self.sequences += bool(places)
        self.least = len(places) if self.least is None else min(self.least, len(places))
        self.most = max(self.most, len(places))
        self.positions.update(place * NUM_BUCKETS // len(sequence) for place in places)


def add_language(
    dataset: Any, table: pa.Table, schema: Any, vocabularies: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Count tokens of each feature that the schema gives a natural-language domain.

    `vocabularies`: lists of words by the name that the domain has for them; a word's number is its place in the list.
    Raises InvalidInput for a vocabulary that is not there, and for a column of neither text nor whole numbers.
    """
    rows = storable(table)
    described = {feature.name: feature.natural_language_domain for feature in schema.feature
                 if feature.WhichOneof("domain_info") == "natural_language_domain"}  # fmt: skip
    for feature in dataset.features:
        name = feature.path.step[0]
        if name not in described:
            continue
        domain = described[name]
        words: Sequence[str] = ()
        if domain.vocabulary:
            if domain.vocabulary not in (vocabularies or {}):
                raise InvalidInput.choice(f"Feature {name!r}: vocabulary", domain.vocabulary, vocabularies or {})
            words = (vocabularies or {})[domain.vocabulary]
        found = _count(_sequences(name, rows.column(name)), domain, words)
        feature.custom_stats.add(name="nl_statistics").any.Pack(found)


def _sequences(name: str, column: pa.ChunkedArray) -> Iterable[list[Piece]]:
    kind = column.type.value_type if is_list(column.type) else column.type
    if not (pa.types.is_string(kind) or (pa.types.is_integer(kind) and is_list(column.type))):
        raise InvalidInput(f"Column {name!r} is {column.type}; texts are text, or lists of tokens.")
    for value in column.to_pylist():
        if value is not None:
            pieces = value.split() if isinstance(value, str) else value
            yield [piece for piece in pieces if piece is not None]


def _count(sequences: Iterable[list[Piece]], domain: Any, words: Sequence[str]) -> Any:
    numbers: dict[Piece, Piece] = {word: number for number, word in enumerate(words)}
    names: dict[Piece, Piece] = dict(enumerate(words))
    coverage, lengths_of = domain.coverage, domain.sequence_length_constraints
    excluded: set[Piece] = {*coverage.excluded_string_tokens, *coverage.excluded_int_tokens}
    uncounted: set[Piece] = {*lengths_of.excluded_string_value, *lengths_of.excluded_int_value}
    unknown = set(coverage.oov_string_tokens)
    tokens = (_constrained(constraint) for constraint in domain.token_constraints)
    asked = {token: _Occurrences() for token in tokens if token is not None}
    known: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    total = rows = 0
    for sequence in sequences:
        rows += 1
        as_words = [names.get(token, token) for token in sequence]
        as_numbers = [numbers.get(token, token) for token in sequence]
        for token, occurrences in asked.items() if sequence else ():
            occurrences.add(as_words if isinstance(token, str) else as_numbers, token)
        if sequence:
            counted = sum(not {word, number} & uncounted for word, number in zip(as_words, as_numbers, strict=True))
            lengths[counted] += 1
        for word, number in zip(as_words, as_numbers, strict=True):
            if not {word, number} & excluded:
                total += 1
                if isinstance(word, str) and word not in unknown:
                    known[word] += 1
    return _told(known, lengths, total, asked if lengths else {}, rows)


def _told(
    known: Counter[str], lengths: Counter[int], total: int, asked: Mapping[Piece, _Occurrences], rows: int
) -> Any:
    told = protos.NaturalLanguageStatistics()
    in_vocabulary = sum(known.values())
    if total:
        told.feature_coverage = in_vocabulary / total
    if in_vocabulary:
        told.avg_token_length = sum(len(word) * count for word, count in known.items()) / in_vocabulary
        of_words: Counter[int] = Counter()
        for word, count in known.items():
            of_words[len(word)] += count
        told.token_length_histogram.CopyFrom(_quantiles(of_words))
    if lengths:
        told.min_sequence_length, told.max_sequence_length = min(lengths), max(lengths)
        told.sequence_length_histogram.CopyFrom(_quantiles(lengths))
    ranked = sorted(known.items(), key=lambda pair: (-pair[1], pair[0]))
    for rank, (word, count) in enumerate(ranked[:NUM_RANK_BUCKETS]):
        told.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=word, sample_count=count)
    for token, found in asked.items():
        stats = told.token_statistics.add()
        setattr(stats, "string_token" if isinstance(token, str) else "int_token", token)
        if found.sequences:
            stats.frequency, stats.fraction_of_sequences = found.total, found.sequences / rows
            stats.per_sequence_min_frequency, stats.per_sequence_max_frequency = found.least or 0, found.most
            stats.per_sequence_avg_frequency = found.total / found.sequences
            for place, count in sorted(found.positions.items()):
                low, high = place / NUM_BUCKETS, (place + 1) / NUM_BUCKETS
                stats.positions.buckets.add(low_value=low, high_value=high, sample_count=count)
    return told


def _quantiles(counts: Mapping[int, int]) -> Any:
    values = sorted(counts)
    ends = np.cumsum([counts[value] for value in values])
    ranks = np.ceil(np.linspace(0, 1, NUM_BUCKETS + 1) * ends[-1]).clip(min=1)
    edges = [float(values[place]) for place in np.searchsorted(ends, ranks, side="left")]
    return quantile_histogram(edges, int(ends[-1]), 0)


def _constrained(constraint: Any) -> Piece | None:
    kind = constraint.WhichOneof("value")
    return None if kind is None else getattr(constraint, kind)
