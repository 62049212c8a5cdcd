"""Tokens of texts: covered by a vocabulary, counted, placed, and held against the schema."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.core.errors import InvalidInput
from bailiwick.data.schema import parse_schema
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics.language import add_language
from bailiwick.data.validation import validate


def _told(column: pa.Array, domain: str, vocabularies: Any = None) -> Any:
    table = pa.table({"t": column})
    dataset = compute_statistics(table).datasets[0]
    add_language(
        dataset, table, parse_schema(f'feature {{ name: "t" natural_language_domain {{ {domain} }} }}'), vocabularies
    )
    told = statistics_pb2.NaturalLanguageStatistics()
    assert dataset.features[0].custom_stats[0].any.Unpack(told)
    return told


def test_words_outside_the_vocabulary_lower_the_coverage() -> None:
    # numbers of TFDV's own test of a text feature without a vocabulary
    told = _told(pa.array([["Foo"], None, ["Baz"]]), 'coverage { oov_string_tokens: "Foo" }')
    assert (told.feature_coverage, told.avg_token_length) == (0.5, 3)
    assert (told.min_sequence_length, told.max_sequence_length) == (1, 1)


def test_numbers_are_words_of_the_vocabulary_and_others_are_not() -> None:
    told = _told(
        pa.array([[0, 1, 1], [7]]),
        'vocabulary: "v" coverage { excluded_int_tokens: 0 } token_constraints { string_value: "late" } '
        "token_constraints { int_value: 7 }",
        {"v": ["the", "late"]},
    )
    assert told.feature_coverage == pytest.approx(2 / 3)
    assert [(bucket.label, bucket.sample_count) for bucket in told.rank_histogram.buckets] == [("late", 2)]
    late, seven = told.token_statistics
    assert (late.string_token, late.frequency, late.fraction_of_sequences) == ("late", 2, 0.5)
    assert (late.per_sequence_min_frequency, late.per_sequence_max_frequency) == (0, 2)
    assert [bucket.low_value for bucket in late.positions.buckets] == pytest.approx([0.3, 0.6])
    assert (seven.int_token, seven.frequency) == (7, 1)


def test_plain_text_is_cut_into_words_and_held_against_the_schema() -> None:
    table = pa.table({"t": ["gate late", "late", None, ""]})
    schema = parse_schema(
        'feature { name: "t" type: BYTES natural_language_domain { coverage { min_coverage: 0.9 oov_string_tokens: "gate" } '
        'token_constraints { string_value: "late" min_per_sequence: 2 } } }'
    )
    statistics = compute_statistics(table)
    assert [anomaly.kind for anomaly in validate(statistics, schema)] == ["STATS_NOT_AVAILABLE"]
    add_language(statistics.datasets[0], table, schema)
    kinds = [anomaly.kind for anomaly in validate(statistics, schema)]
    assert kinds == ["FEATURE_COVERAGE_TOO_LOW", "SEQUENCE_VALUE_TOO_FEW_OCCURRENCES"]


def test_what_cannot_be_counted_is_named() -> None:
    with pytest.raises(InvalidInput, match="Feature 't': vocabulary 'w'"):
        _told(pa.array(["a"]), 'vocabulary: "w"', {"v": ["a"]})
    with pytest.raises(InvalidInput, match="Column 't' is double; texts are text"):
        _told(pa.array([0.5]), "")
