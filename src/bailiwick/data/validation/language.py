"""Rules of texts: how much of them the vocabulary covers, how long their tokens are, how often a token occurs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.data.statistics.view import FeatureView
from bailiwick.data.validation.anomalies import Finding

_NOT_COMPUTED = Finding(
    "STATS_NOT_AVAILABLE",
    "No statistics of the text",
    "The schema limits what texts may hold, but the statistics of their tokens were not computed.",
)
# of a constraint on a token: field, statistic, whether it is a least value, anomaly, words
_LIMITS = (
    ("min_fraction_of_sequences", "fraction_of_sequences", True, "SEQUENCE_VALUE_TOO_SMALL_FRACTION",
     "Token in too few texts", "is in {found:.6g} of the texts; it should be in at least {limit:.6g}"),
    ("max_fraction_of_sequences", "fraction_of_sequences", False, "SEQUENCE_VALUE_TOO_LARGE_FRACTION",
     "Token in too many texts", "is in {found:.6g} of the texts; it should be in at most {limit:.6g}"),
    ("min_per_sequence", "per_sequence_min_frequency", True, "SEQUENCE_VALUE_TOO_FEW_OCCURRENCES",
     "Token too rare within a text", "is in a text only {found:g} times; it should be there at least {limit:g} times"),
    ("max_per_sequence", "per_sequence_max_frequency", False, "SEQUENCE_VALUE_TOO_MANY_OCCURRENCES",
     "Token too frequent within a text", "is in a text {found:g} times; it should be there at most {limit:g} times"),
)  # fmt: skip


def check_language(feature: Any, view: FeatureView) -> Iterator[Finding]:
    """Coverage, length and occurrence of tokens, as far as the statistics `nl_statistics` were computed."""
    statistics = statistics_pb2.NaturalLanguageStatistics()
    custom = view.custom("nl_statistics")
    if custom is not None and not custom.any.Unpack(statistics):
        return
    domain = feature.natural_language_domain
    coverage = domain.coverage
    limited = coverage.HasField("min_coverage") or coverage.HasField("min_avg_token_length")
    if custom is None and (limited or domain.token_constraints):
        yield _NOT_COMPUTED
        feature.ClearField("natural_language_domain")
        return
    yield from _check_coverage(coverage, statistics)
    tokens = {_token(stats): stats for stats in statistics.token_statistics}
    for constraint in domain.token_constraints:
        token = _constrained(constraint)
        if token is None:
            continue
        if token not in tokens:
            yield _NOT_COMPUTED
            feature.ClearField("natural_language_domain")
            return
        yield from _check_token(constraint, tokens[token], token)


def _check_coverage(coverage: Any, statistics: Any) -> Iterator[Finding]:
    if coverage.HasField("min_coverage") and statistics.feature_coverage < coverage.min_coverage:
        found, limit = statistics.feature_coverage, coverage.min_coverage
        long = f"{found:.6g} of the tokens are in the vocabulary; at least {limit:.6g} should be."
        yield Finding("FEATURE_COVERAGE_TOO_LOW", "Too few tokens in the vocabulary", long)
        coverage.min_coverage = found
    if coverage.HasField("min_avg_token_length") and statistics.avg_token_length < coverage.min_avg_token_length:
        found, limit = statistics.avg_token_length, coverage.min_avg_token_length
        long = f"Tokens have {found:.6g} characters on average; they should have at least {limit:.6g}."
        yield Finding("FEATURE_COVERAGE_TOO_SHORT_AVG_TOKEN_LENGTH", "Tokens too short", long)
        coverage.min_avg_token_length = found


def _check_token(constraint: Any, statistics: Any, token: str | int) -> Iterator[Finding]:
    for field, statistic, least, kind, short, words in _LIMITS:
        found, limit = getattr(statistics, statistic), getattr(constraint, field)
        if constraint.HasField(field) and (found < limit if least else found > limit):
            yield Finding(kind, short, f"Token {token!r} {words.format(found=found, limit=limit)}.")
            setattr(constraint, field, type(limit)(found))


def _token(statistics: Any) -> str | int | None:
    kind = statistics.WhichOneof("token")
    return None if kind is None else getattr(statistics, kind)


def _constrained(constraint: Any) -> str | int | None:
    kind = constraint.WhichOneof("value")
    return None if kind is None else getattr(constraint, kind)
