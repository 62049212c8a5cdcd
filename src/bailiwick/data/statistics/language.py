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
from bailiwick.data.statistics.room import Room
from bailiwick.data.statistics.telling import NUM_BUCKETS, NUM_RANK_BUCKETS, quantile_histogram

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
    found = Language(schema, vocabularies)
    found.add(storable(table))
    found.tell(dataset)


class Language:
    """What `add_language` tells, of rows that come in parts. Past the room for different words the rarer half is left out, and no
    count is too low by more than the custom statistic `nl_count_error` says, as a share of all words.
    """

    def __init__(
        self, schema: Any, vocabularies: Mapping[str, Sequence[str]] | None = None, *, room: Room | None = None
    ) -> None:
        self._texts: dict[str, _Texts] = {}
        for feature in schema.feature:
            if feature.WhichOneof("domain_info") == "natural_language_domain":
                domain, known = feature.natural_language_domain, vocabularies or {}
                if domain.vocabulary and domain.vocabulary not in known:
                    raise InvalidInput.choice(f"Feature {feature.name!r}: vocabulary", domain.vocabulary, known)
                words = known[domain.vocabulary] if domain.vocabulary else ()
                self._texts[feature.name] = _Texts(domain, words, room or Room())

    def add(self, rows: pa.Table) -> None:
        """The next rows, in storable types. Raises InvalidInput for a column of neither text nor whole numbers."""
        for name, texts in self._texts.items():
            if name in rows.column_names:
                texts.add(_sequences(name, rows.column(name)))

    def tell(self, dataset: Any) -> None:
        """Add what was found."""
        for feature in dataset.features:
            texts = self._texts.get(feature.path.step[0])
            if texts is not None:
                feature.custom_stats.add(name="nl_statistics").any.Pack(texts.told())
                if texts.error:
                    feature.custom_stats.add(name="nl_count_error", num=texts.error / texts.known_total)


def _sequences(name: str, column: pa.ChunkedArray) -> Iterable[list[Piece]]:
    kind = column.type.value_type if is_list(column.type) else column.type
    if not (pa.types.is_string(kind) or (pa.types.is_integer(kind) and is_list(column.type))):
        raise InvalidInput(f"Column {name!r} is {column.type}; texts are text, or lists of tokens.")
    for value in column.to_pylist():
        if value is not None:
            pieces = value.split() if isinstance(value, str) else value
            yield [piece for piece in pieces if piece is not None]


class _Texts:
    """One feature's sequences."""

    def __init__(self, domain: Any, words: Sequence[str], room: Room) -> None:
        self._numbers: dict[Piece, Piece] = {word: number for number, word in enumerate(words)}
        self._names: dict[Piece, Piece] = dict(enumerate(words))
        coverage, lengths_of = domain.coverage, domain.sequence_length_constraints
        self._excluded: set[Piece] = {*coverage.excluded_string_tokens, *coverage.excluded_int_tokens}
        self._uncounted: set[Piece] = {*lengths_of.excluded_string_value, *lengths_of.excluded_int_value}
        self._unknown = set(coverage.oov_string_tokens)
        tokens = (_constrained(constraint) for constraint in domain.token_constraints)
        self._asked = {token: _Occurrences() for token in tokens if token is not None}
        self._room = room
        self._known: Counter[str] = Counter()
        self._letters: Counter[int] = Counter()
        self._lengths: Counter[int] = Counter()
        self._total = self._rows = self.known_total = self.error = 0

    def add(self, sequences: Iterable[list[Piece]]) -> None:
        for sequence in sequences:
            self._rows += 1
            self._add_one(sequence)
            if len(self._known) > self._room.pairs:
                self._leave_out_rare()

    def _add_one(self, sequence: list[Piece]) -> None:
        as_words = [self._names.get(token, token) for token in sequence]
        as_numbers = [self._numbers.get(token, token) for token in sequence]
        for token, occurrences in self._asked.items() if sequence else ():
            occurrences.add(as_words if isinstance(token, str) else as_numbers, token)
        pairs = list(zip(as_words, as_numbers, strict=True))
        if sequence:
            self._lengths[sum(not {word, number} & self._uncounted for word, number in pairs)] += 1
        for word, number in pairs:
            if not {word, number} & self._excluded:
                self._total += 1
                if isinstance(word, str) and word not in self._unknown:
                    self._known[word] += 1
                    self._letters[len(word)] += 1
                    self.known_total += 1

    def _leave_out_rare(self) -> None:
        """Misra and Gries 1982, half of the counters at once."""
        least = sorted(self._known.values())[len(self._known) // 2]
        self._known = Counter({word: count - least for word, count in self._known.items() if count > least})
        self.error += least

    def told(self) -> Any:
        told = protos.NaturalLanguageStatistics()
        if self._total:
            told.feature_coverage = self.known_total / self._total
        if self.known_total:
            letters = sum(length * count for length, count in self._letters.items())
            told.avg_token_length = letters / self.known_total
            told.token_length_histogram.CopyFrom(_quantiles(self._letters))
        if self._lengths:
            told.min_sequence_length, told.max_sequence_length = min(self._lengths), max(self._lengths)
            told.sequence_length_histogram.CopyFrom(_quantiles(self._lengths))
        ranked = sorted(self._known.items(), key=lambda pair: (-pair[1], pair[0]))
        for rank, (word, count) in enumerate(ranked[:NUM_RANK_BUCKETS]):
            told.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=word, sample_count=count)
        for token, found in self._asked.items() if self._lengths else ():
            _tell_token(told.token_statistics.add(), token, found, self._rows)
        return told


def _tell_token(stats: Any, token: Piece, found: _Occurrences, rows: int) -> None:
    setattr(stats, "string_token" if isinstance(token, str) else "int_token", token)
    if not found.sequences:
        return
    stats.frequency, stats.fraction_of_sequences = found.total, found.sequences / rows
    stats.per_sequence_min_frequency, stats.per_sequence_max_frequency = found.least or 0, found.most
    stats.per_sequence_avg_frequency = found.total / found.sequences
    for place, count in sorted(found.positions.items()):
        low, high = place / NUM_BUCKETS, (place + 1) / NUM_BUCKETS
        stats.positions.buckets.add(low_value=low, high_value=high, sample_count=count)


def _quantiles(counts: Mapping[int, int]) -> Any:
    values = sorted(counts)
    ends = np.cumsum([counts[value] for value in values])
    ranks = np.ceil(np.linspace(0, 1, NUM_BUCKETS + 1) * ends[-1]).clip(min=1)
    edges = [float(values[place]) for place in np.searchsorted(ends, ranks, side="left")]
    return quantile_histogram(edges, int(ends[-1]), 0)


def _constrained(constraint: Any) -> Piece | None:
    kind = constraint.WhichOneof("value")
    return None if kind is None else getattr(constraint, kind)
